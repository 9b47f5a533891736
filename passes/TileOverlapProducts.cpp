//===- TileOverlapProducts.cpp - monarch-tile-overlap-products ------------===//

#include "PassDetail.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_MONARCHTILEOVERLAPPRODUCTS
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

namespace {

/// What `op` needs from `start` onwards in its block, and `op`, in order; empty
/// when that includes `product` or an op that does more than wait for a tile.
SmallVector<Operation *> sliceFrom(Operation *start, Operation *op,
                                   Operation *product) {
  llvm::SetVector<Operation *> slice;
  SmallVector<Operation *> open = {op};
  while (!open.empty()) {
    Operation *next = open.pop_back_val();
    if (next == product)
      return {};
    if (next->getBlock() != start->getBlock() || next->isBeforeInBlock(start) ||
        !slice.insert(next))
      continue;
    if (!isMemoryEffectFree(next) && !isa<tile::AcquireOp>(next))
      return {};
    for (Value v : next->getOperands())
      if (Operation *def = v.getDefiningOp())
        open.push_back(def);
  }
  SmallVector<Operation *> ordered = slice.takeVector();
  llvm::sort(ordered,
             [](Operation *x, Operation *y) { return x->isBeforeInBlock(y); });
  return ordered;
}

struct TileOverlapProducts
    : monarch::impl::MonarchTileOverlapProductsBase<TileOverlapProducts> {
  /// With `ahead` the next product starts before this one is waited for.
  void runOnBlock(Block &block, bool ahead) {
    SmallVector<tile::DotOp> dots;
    for (auto dot : block.getOps<tile::DotOp>())
      if (isAsynchronous(dot))
        dots.push_back(dot);
    if (dots.empty())
      return;
    OpBuilder b(&getContext());
    Operation *here = dots[0]->getNextNode(); // where the wait for dots[i] goes
    for (size_t i = 0; i < dots.size(); ++i) {
      Operation *next = nullptr;
      int64_t pending = 0;
      if (i + 1 < dots.size())
        next = dots[i + 1]->getNextNode();
      if (i + 1 < dots.size() && ahead) {
        // What the next product needs, up to it, goes before this one's wait.
        for (Operation *op : sliceFrom(here, dots[i + 1], dots[i])) {
          if (op == here)
            here = op->getNextNode();
          else
            op->moveBefore(here);
          pending = 1;
        }
      }
      overlapped += pending;
      b.setInsertionPoint(here);
      auto wait = tile::AwaitOp::create(b, dots[i].getLoc(), dots[i].getType(),
                                        dots[i].getResult(), pending);
      dots[i].getResult().replaceAllUsesExcept(wait.getResult(), wait);
      here = next;
    }
  }

  void runOnOperation() override {
    for (auto kernel : getOperation().getOps<func::FuncOp>()) {
      // Teams that take turns overlap with each other; registers for a second
      // product are worth more to the warps beside them.
      ScheduleAttr schedule = scheduleOf(kernel);
      bool ahead = !schedule || schedule.getCluster() == 1;
      kernel.walk([&](Block *block) { runOnBlock(*block, ahead); });
    }
  }
};
} // namespace
