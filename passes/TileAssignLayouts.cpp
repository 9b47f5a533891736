//===- TileAssignLayouts.cpp - monarch-tile-assign-layouts ----------------===//

#include "PassDetail.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_MONARCHTILEASSIGNLAYOUTS
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

/// Factors [bh, P/group, NK, group, D] are intermediates; tokens have rank 6.
static bool isFactor(Value memory) {
  return cast<MemRefType>(memory.getType()).getRank() == 5;
}

/// The layout kind that the uses of a tile ask for.
static StringRef kindFor(Value v, ScheduleAttr schedule) {
  int64_t rank = cast<RankedTensorType>(v.getType()).getRank();
  bool isLoad = v.getDefiningOp<tile::LoadOp>() != nullptr;
  if (rank == 1) {
    for (Operation *user : v.getUsers())
      if (auto broadcast = dyn_cast<tile::BroadcastOp>(user))
        if (broadcast.getAxis() == 0)
          return "columns";
    return "rows";
  }
  if (!isLoad)
    return "acc";
  for (Operation *user : v.getUsers())
    if (auto dot = dyn_cast<tile::DotOp>(user))
      if (dot.getRhs() == v)
        return schedule.getKind() == "wgmma" ? "swizzled" : "shared";
  return "lhs";
}

namespace {
struct TileAssignLayouts
    : monarch::impl::MonarchTileAssignLayoutsBase<TileAssignLayouts> {
  void assign(Value v, ScheduleAttr schedule) {
    auto type = dyn_cast<RankedTensorType>(v.getType());
    if (!type || type.getEncoding())
      return;
    auto layout = tile::LayoutAttr::get(&getContext(), kindFor(v, schedule),
                                        schedule.getWarps());
    auto placed =
        RankedTensorType::get(type.getShape(), type.getElementType(), layout);
    v.setType(placed);
    if (auto constant = v.getDefiningOp<arith::ConstantOp>())
      constant.setValueAttr(DenseElementsAttr::get(
          placed, cast<DenseElementsAttr>(constant.getValue())
                      .getSplatValue<Attribute>()));
  }

  void runOnKernel(func::FuncOp kernel, ScheduleAttr schedule) {
    bool readsFactors = false;
    kernel.walk([&](tile::LoadOp load) {
      readsFactors |= isFactor(load.getSource()) &&
                      cast<RankedTensorType>(load.getType()).getRank() == 2;
    });
    kernel.walk([&](Operation *op) {
      for (Value v : op->getResults())
        assign(v, schedule);
      for (Region &region : op->getRegions())
        for (Block &block : region)
          for (Value v : block.getArguments())
            assign(v, schedule);
    });
    kernel.walk([&](tile::DotOp dot) {
      tile::LayoutAttr layout = tile::layoutOf(dot.getLhs().getType());
      if (layout.getKind() == "lhs")
        return;
      auto type = cast<RankedTensorType>(dot.getLhs().getType());
      auto wanted = RankedTensorType::get(
          type.getShape(), type.getElementType(),
          tile::LayoutAttr::get(&getContext(), "lhs", schedule.getWarps()));
      OpBuilder b(dot);
      // A product in several chunks shares one conversion.
      tile::ConvertLayoutOp conversion;
      for (Operation *user : dot.getLhs().getUsers())
        if (auto existing = dyn_cast<tile::ConvertLayoutOp>(user))
          if (existing.getType() == wanted)
            conversion = existing;
      if (!conversion) {
        b.setInsertionPointAfterValue(dot.getLhs());
        conversion = tile::ConvertLayoutOp::create(b, dot.getLoc(), wanted,
                                                   dot.getLhs());
        ++conversions;
      }
      dot.getLhsMutable().assign(conversion);
    });
    // Intermediates hold interleaved channels. A kernel that reads them
    // interleaves its queries and its outputs; the one that writes them, those.
    kernel.walk([&](Operation *op) {
      if (auto load = dyn_cast<tile::LoadOp>(op)) {
        if (readsFactors && tile::layoutOf(load.getType()).getKind() == "lhs")
          load.setInterleave(true);
      } else if (auto store = dyn_cast<tile::StoreOp>(op)) {
        auto type = cast<RankedTensorType>(store.getValue().getType());
        if (type.getRank() == 2 && readsFactors != isFactor(store.getDest()))
          store.setInterleave(true);
      }
    });
  }

  void runOnOperation() override {
    for (auto kernel : getOperation().getOps<func::FuncOp>())
      if (ScheduleAttr schedule = scheduleOf(kernel))
        runOnKernel(kernel, schedule);
  }
};
} // namespace
