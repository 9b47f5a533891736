//===- TileStageOutputs.cpp - monarch-tile-stage-outputs ------------------===//

#include "PassDetail.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_MONARCHTILESTAGEOUTPUTS
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

namespace {

struct TileStageOutputs
    : monarch::impl::MonarchTileStageOutputsBase<TileStageOutputs> {
  /// Stores of one tile in chunks, which together write whole rows.
  using Stores = SmallVector<tile::StoreOp>;

  static bool writesRows(ArrayRef<tile::StoreOp> stores) {
    tile::StoreOp first = stores.front();
    auto dest = cast<MemRefType>(first.getDest().getType());
    int64_t columns = 0;
    for (tile::StoreOp store : stores)
      columns +=
          cast<RankedTensorType>(store.getValue().getType()).getDimSize(1);
    return columns == dest.getShape().back();
  }

  /// A signal that follows copies out comes when they are complete: in the next
  /// turn, and there before it waits for anything of other programs, which may
  /// wait for this.
  static void raiseLater(tile::RaiseOp raise, Operation *firstStore) {
    auto loop = cast<scf::ForOp>(raise->getParentOp());
    Location loc = raise.getLoc();
    OpBuilder b(firstStore);
    for (auto wait : loop.getBody()->getOps<tile::AwaitSignalOp>()) {
      b.setInsertionPoint(wait);
      break;
    }
    auto raiseBefore = [&](Value turn) {
      tile::AwaitOutOp::create(b, loc, 0, /*complete=*/true);
      Value before = arith::SubIOp::create(b, loc, turn, loop.getStep());
      Value any = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sgt, turn,
                                        loop.getLowerBound());
      tile::RaiseOp::create(b, loc, raise.getSignal(), before, any);
    };
    raiseBefore(loop.getInductionVar());
    b.setInsertionPointAfter(loop);
    raiseBefore(loop.getUpperBound());
    raise.erase();
  }

  void runOnRole(tile::RoleOp role) {
    auto programs = role->getParentOfType<scf::ForallOp>();
    llvm::MapVector<std::pair<Block *, Value>, Stores> outputs;
    role.walk([&](tile::StoreOp store) {
      if (store.getInterleave() && !store.getPeriod() &&
          isFactor(store.getDest()))
        outputs[{store->getBlock(), store.getDest()}].push_back(store);
    });
    outputs.remove_if([](auto &entry) { return !writesRows(entry.second); });
    if (outputs.empty() || !programs)
      return;
    OpBuilder b(role);
    // Others wait for a turn's copies out.
    tile::RaiseOp raise;
    for (auto op : outputs.front().first.first->getOps<tile::RaiseOp>())
      raise = op;
    Operation *firstStore = outputs.front().second.front();
    bool isAwaited = static_cast<bool>(raise);
    if (isAwaited)
      raiseLater(raise, firstStore);
    for (auto &[where, stores] : outputs) {
      tile::StoreOp first = stores.front(), last = stores.back();
      Location loc = first.getLoc();
      auto value = cast<RankedTensorType>(first.getValue().getType());
      auto dest = cast<MemRefType>(first.getDest().getType());
      auto layout = tile::LayoutAttr::get(&getContext(), "staged",
                                          tile::layoutOf(value).getWarps());
      auto tileType =
          RankedTensorType::get({value.getDimSize(0), dest.getShape().back()},
                                dest.getElementType(), layout);
      b.setInsertionPointToStart(&role.getBody().front());
      Value ring = tile::AllocRingOp::create(
          b, loc, tile::RingType::get(&getContext(), 1, tileType));
      // Copies out end in order: all but this one's own may be under way.
      b.setInsertionPoint(first);
      if (!isAwaited)
        tile::AwaitOutOp::create(b, loc, outputs.size() - 1,
                                 /*complete=*/false);
      b.setInsertionPointAfter(last);
      tile::CopyOutOp::create(b, loc, ring, last.getDest(), last.getIndices(),
                              last.getLimit(), last.getMap(),
                              last.getInBounds(),
                              /*evict=*/isAwaited ? "last" : "first");
      for (tile::StoreOp store : stores) {
        b.setInsertionPoint(store);
        tile::StageOp::create(b, loc, store.getValue(), ring,
                              store.getColumnOffset());
        store.erase();
      }
      ++staged;
    }
    if (isAwaited)
      return;
    b.setInsertionPointToEnd(&role.getBody().front());
    tile::AwaitOutOp::create(b, role.getLoc(), 0, /*complete=*/false);
  }

  void runOnOperation() override {
    for (auto kernel : getOperation().getOps<func::FuncOp>())
      kernel.walk([&](tile::RoleOp role) {
        if (role.getKind() == "consumer")
          runOnRole(role);
      });
  }
};
} // namespace
