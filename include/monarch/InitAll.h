//===- InitAll.h - the one registration point ------------------*- C++ -*-===//
#ifndef MONARCH_INITALL_H
#define MONARCH_INITALL_H

#include "mlir/IR/DialectRegistry.h"

namespace monarch {
/// Registers every dialect and extension a Monarch module can contain.
void registerAllDialects(mlir::DialectRegistry &registry);
/// Registers the project's passes and pipelines, and those of MLIR that go
/// with them (canonicalize, cse).
void registerAllPasses();
} // namespace monarch

#endif // MONARCH_INITALL_H
