//===- Targets.h - what can be compiled for --------------------*- C++ -*-===//
#ifndef MONARCH_CODEGEN_TARGETS_H
#define MONARCH_CODEGEN_TARGETS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

namespace mlir {
class MLIRContext;
}

namespace monarch {
class TargetAttr;

/// One row of the capability table. The table is the only place that names
/// chips; passes see a `#monarch.target` made from a row.
struct Target {
  llvm::StringLiteral name; ///< "sm_90a", "host"
  llvm::StringLiteral kind; ///< schedule family: "mma_sync", "host"
  int ptx;                  ///< PTX version times ten
  int64_t sharedMemory;     ///< bytes a block may use
  int64_t multiprocessors;  ///< of the usual chip of that name
  llvm::StringLiteral description;
  bool isGpu() const { return kind != "host"; }
};

llvm::ArrayRef<Target> allTargets();
/// Null when there is no such target.
const Target *findTarget(llvm::StringRef name);
/// The best target that code can be compiled for on a chip of compute
/// capability `chip` (90 for 9.0); null when there is none.
const Target *targetForDevice(int chip);
TargetAttr targetAttr(mlir::MLIRContext *context, const Target &target);

} // namespace monarch

#endif // MONARCH_CODEGEN_TARGETS_H
