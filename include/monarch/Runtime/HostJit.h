//===- HostJit.h - attention on this machine's processor -------*- C++ -*-===//
//
// The only part of the runtime that links the compiler. Shapes and strides are
// those of docs/semantics.md.
//
//===----------------------------------------------------------------------===//
#ifndef MONARCH_RUNTIME_HOSTJIT_H
#define MONARCH_RUNTIME_HOSTJIT_H

#include "monarch/Geometry/Problem.h"
#include "monarch/Runtime/Tensors.h"

#include "llvm/Support/Error.h"

#include <functional>
#include <memory>

namespace mlir {
class ModuleOp;
}

namespace monarch {

class HostProgram {
public:
  /// Takes a module at level `host` and compiles it; the module is changed.
  static llvm::Expected<std::unique_ptr<HostProgram>>
  create(mlir::ModuleOp module);
  ~HostProgram();

  /// Runs heads [headBegin, headEnd) of every batch entry; -1 means all.
  /// `threads` 0 means one a core. `progress` gets the fraction done.
  llvm::Error run(const AttentionTensors &tensors, int64_t headBegin = 0,
                  int64_t headEnd = -1, unsigned threads = 0,
                  std::function<void(double)> progress = {});

private:
  struct Impl;
  explicit HostProgram(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl;
};

} // namespace monarch

#endif // MONARCH_RUNTIME_HOSTJIT_H
