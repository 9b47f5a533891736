//===- PassDetail.h - what the passes share --------------------*- C++ -*-===//
#ifndef MONARCH_PASSES_PASSDETAIL_H
#define MONARCH_PASSES_PASSDETAIL_H

#include "monarch/Dialect/MonarchDialect.h"
#include "monarch/Dialect/TileDialect.h"
#include "monarch/Passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Pass/Pass.h"

namespace monarch {

/// The module's target, null when it has none.
inline TargetAttr targetOf(mlir::ModuleOp module) {
  return module->getAttrOfType<TargetAttr>(targetAttrName);
}

/// Records which level the module has reached.
inline void setLevel(mlir::ModuleOp module, llvm::StringRef level) {
  module->setAttr(levelAttrName,
                  mlir::StringAttr::get(module.getContext(), level));
}

/// The schedule of a kernel function, null when it is not a kernel.
inline ScheduleAttr scheduleOf(mlir::Operation *function) {
  return function->getAttrOfType<ScheduleAttr>(tile::scheduleAttrName);
}

/// Tokens are [B, F, H, W, heads, D]; intermediates are factors
/// [slab, P/group, NK, group, D] or a value a row [slab, P/group, NK, group].
inline bool isTokens(mlir::Value memory) {
  return mlir::cast<mlir::MemRefType>(memory.getType()).getRank() == 6;
}
inline bool isFactor(mlir::Value memory) {
  return mlir::cast<mlir::MemRefType>(memory.getType()).getRank() == 5;
}

/// What a reduction of `kind`, "max" or "sum", makes of two values.
inline mlir::Value combined(mlir::OpBuilder &b, mlir::Location loc,
                            llvm::StringRef kind, mlir::Value x,
                            mlir::Value y) {
  if (kind == "max")
    return mlir::arith::MaximumFOp::create(b, loc, x, y);
  return mlir::arith::AddFOp::create(b, loc, x, y);
}

/// Size of the even parts of at most `most` that `total` is cut into.
inline int64_t evenPart(int64_t total, int64_t most) {
  return ceilDiv(total, ceilDiv(total, most));
}

/// Teams of warps of a program, which do the same for tiles of their own.
inline int64_t teamsOf(ScheduleAttr schedule) {
  return std::max<int64_t>(1, 16 * schedule.getWarps() / schedule.getRows());
}

/// Slots of a ring without which its programs may wait for each other
/// (ProgramRing.cpp has the argument): for a turn of all writers and three
/// groups of the keys that a reader takes at a time.
inline int64_t leastRingSlots(int64_t writers, int64_t group) {
  return writers + 3 * group;
}

/// Memory of which `monarch_tile.settle` has placed the rows.
inline bool isSettled(mlir::Value memory) {
  return memory.getDefiningOp<tile::SettleOp>() != nullptr;
}

/// Whether `warps` of a role are whole warpgroups, whose products of swizzled
/// tiles are wgmma. Others multiply by mma.sync.
inline bool areWarpgroups(int64_t warps) { return warps % 4 == 0; }

/// Whether `dot` runs beside the program (monarch_tile.await).
inline bool isAsynchronous(tile::DotOp dot) {
  auto rhs = mlir::cast<mlir::RankedTensorType>(dot.getRhs().getType());
  return rhs.getEncoding() && tile::layoutOf(rhs).getKind() == "swizzled" &&
         areWarpgroups(tile::layoutOf(dot.getType()).getWarps());
}

/// What threads of `warps` read of a ring that bulk copies fill: rows as they
/// lie in memory, and operands of mma.sync. wgmma reads swizzled tiles itself.
inline bool isReadByThreads(mlir::RankedTensorType tile, int64_t warps) {
  return tile::layoutOf(tile).getKind() != "swizzled" || !areWarpgroups(warps);
}

/// An error at a product, load, store or broadcast in runs of rows (`groups`,
/// `period`), for a lowering that knows none.
inline mlir::LogicalResult refuseRuns(mlir::Operation *op) {
  auto integer = [&](llvm::StringRef name, int64_t otherwise) {
    auto attr = op->getAttrOfType<mlir::IntegerAttr>(name);
    return attr ? attr.getInt() : otherwise;
  };
  if (integer("groups", 1) == 1 && integer("period", 0) == 0)
    return mlir::success();
  return op->emitOpError("expected no groups and no period here");
}

/// True when the b2 keys of a block row lie along one axis of the grid, as one
/// box of a bulk copy reads them.
inline bool keysFormBoxes(const Geometry &g) {
  int axes = 0;
  for (int x = 0; x < 3; ++x)
    axes += !g.blocks.isRow[x] && g.tile[x] != 1;
  bool tokensInOrder = g.tile[1] == 1 || g.blocks.isRow[1];
  return axes <= 1 && (!g.sequenceTokens || tokensInOrder);
}

/// `v` at the builder's place: scalar ops inside `scope` that it is made of are
/// made again, with what `mapping` puts in the place of their operands.
inline mlir::Value remake(mlir::OpBuilder &b, mlir::Value v,
                          mlir::Operation *scope, mlir::IRMapping &mapping) {
  if (mlir::Value known = mapping.lookupOrNull(v))
    return known;
  mlir::Operation *op = v.getDefiningOp();
  if (!op || !scope || !scope->isProperAncestor(op))
    return v;
  for (mlir::Value operand : op->getOperands())
    mapping.map(operand, remake(b, operand, scope, mapping));
  b.clone(*op, mapping);
  return mapping.lookup(v);
}

} // namespace monarch

#endif // MONARCH_PASSES_PASSDETAIL_H
