//===- TilePrograms.h - the programs of tiled kernels ----------*- C++ -*-===//
#ifndef MONARCH_PASSES_TILEPROGRAMS_H
#define MONARCH_PASSES_TILEPROGRAMS_H

#include "PassDetail.h"

namespace monarch {

/// A tensor of the entry function as memory: an argument of the program, or a
/// slice of a workspace.
struct Buffer {
  std::string name;   ///< unique: "query", ..., "out", "ws0+0", ...
  std::string memory; ///< the argument or workspace of the plan
  int64_t offset = 0; ///< elements from the start of the workspace
  mlir::MemRefType type;
};

/// Pairs (a, j) whose rows for one key lie side by side in an intermediate. A
/// GPU's R step writes 8 of them together: pieces of 4 KiB, which the memory
/// takes faster than 512 bytes (docs/performance.md).
inline int64_t pairGroup(ScheduleAttr schedule) {
  return schedule.getKind() == "host" ? 1 : 8;
}

/// Extents of a token tensor as memory: [B, F, H, W, heads, D]. A sequence is
/// one row of its tokens, so that its padding is out of bounds.
Extents viewExtents(const Geometry &g, int64_t frames);

/// Writes the body of `function` for the steps of `kernel`. `b` stands at the
/// start of its entry block; `buffers` says where each tensor of the steps
/// lives, `args` holds the function's argument for each buffer's name and for
/// slab_begin, slab_count and, with KV length at run time, key_frames, and of
/// clusters, how many there are, how many of them have a `whole` slab, and into
/// how many `parts` the others' slabs are cut. A slab
/// is `slabPairs` consecutive pairs (a, j) of one batch entry and head.
mlir::LogicalResult
buildPrograms(KernelOp kernel, mlir::func::FuncOp function, mlir::OpBuilder &b,
              int64_t slabPairs,
              const llvm::DenseMap<mlir::Value, Buffer> &buffers,
              const llvm::StringMap<mlir::Value> &args);

} // namespace monarch

#endif // MONARCH_PASSES_TILEPROGRAMS_H
