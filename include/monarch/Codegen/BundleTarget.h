//===- BundleTarget.h - a compiled module as part of a bundle --*- C++ -*-===//
#ifndef MONARCH_CODEGEN_BUNDLETARGET_H
#define MONARCH_CODEGEN_BUNDLETARGET_H

#include "monarch/Bundle/Bundle.h"

#include "mlir/IR/BuiltinOps.h"

namespace monarch {

/// Compiles a GPU module, at any level, down to PTX and, when ptxas is there,
/// to a cubin. The module is lowered in place.
mlir::FailureOr<TargetImage> compileTarget(mlir::ModuleOp module);

} // namespace monarch

#endif // MONARCH_CODEGEN_BUNDLETARGET_H
