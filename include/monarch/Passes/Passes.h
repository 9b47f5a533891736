//===- Passes.h - the passes between the levels ----------------*- C++ -*-===//
#ifndef MONARCH_PASSES_PASSES_H
#define MONARCH_PASSES_PASSES_H

#include "mlir/Pass/Pass.h"

#include <optional>

namespace mlir {
namespace affine {
class AffineDialect;
}
namespace func {
class FuncDialect;
}
namespace memref {
class MemRefDialect;
}
namespace scf {
class SCFDialect;
}
namespace math {
class MathDialect;
}
namespace vector {
class VectorDialect;
}
namespace LLVM {
class LLVMDialect;
}
namespace NVVM {
class NVVMDialect;
}
} // namespace mlir

namespace monarch {
class MonarchDialect;
namespace tile {
class TileDialect;
}
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "monarch/Passes/Passes.h.inc"

/// Registers the pipelines monarch-to-host and monarch-to-nvvm.
void registerMonarchPipelines();

/// The levels of docs/architecture.md, in lowering order; `host` and the GPU
/// levels exclude each other.
enum class Level { Problem, Steps, Fused, Tiled, Mapped, Host, Nvvm };
std::optional<Level> parseLevel(llvm::StringRef name);
llvm::StringRef levelName(Level level);

/// Adds the passes that take a module from level `from` to level `to`. `gpu`
/// chooses the end. Levels at or before `from` add nothing.
void buildPipeline(mlir::OpPassManager &pm, Level from, Level to, bool gpu);

} // namespace monarch

#endif // MONARCH_PASSES_PASSES_H
