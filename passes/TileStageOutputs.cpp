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

  /// Where a producer's teams await what `raise` says, each its part's turns.
  static tile::AwaitSignalOp awaited(tile::RaiseOp raise) {
    if (!raise.getSignal().getDefiningOp<tile::AllocSignalOp>() ||
        !isa<scf::ForOp>(raise->getParentOp()))
      return {};
    for (Operation *user : raise.getSignal().getUsers()) {
      auto await = dyn_cast<tile::AwaitSignalOp>(user);
      auto role = user->getParentOfType<tile::RoleOp>();
      if (await && role && role.getKind() == "producer" &&
          isa<scf::ForOp>(await->getParentOp()) &&
          await.getParts() == raise.getParts() &&
          await.getParts() == role.getTeams())
        return await;
    }
    return {};
  }

  /// Others copy out what consumers have staged, and say when the stage has
  /// been read and can be used again.
  static void copyOutBeside(tile::RaiseOp raise, tile::AwaitSignalOp staged,
                            ArrayRef<tile::StoreOp> stores, Value ring) {
    tile::StoreOp first = stores.front(), last = stores.back();
    Location loc = first.getLoc();
    auto loop = cast<scf::ForOp>(raise->getParentOp());
    auto turns = cast<scf::ForOp>(staged->getParentOp());
    auto consumer = raise->getParentOfType<tile::RoleOp>();
    OpBuilder b(raise.getSignal().getDefiningOp());
    Value taken = tile::AllocSignalOp::create(
        b, loc, cast<tile::SignalType>(raise.getSignal().getType()));
    b.setInsertionPoint(turns); // at first the stage is free
    tile::RaiseOp::create(b, loc, taken, turns.getLowerBound(),
                          staged.getParts());
    b.setInsertionPointAfter(staged);
    IRMapping mapping;
    mapping.map(loop.getInductionVar(), turns.getInductionVar());
    if (consumer.getTeams() > 1)
      mapping.map(
          consumer.getBody().getArgument(0),
          staged->getParentOfType<tile::RoleOp>().getBody().getArgument(0));
    auto here = [&](Value v) { return remake(b, v, consumer, mapping); };
    SmallVector<Value> indices = llvm::map_to_vector(last.getIndices(), here);
    Value limit = last.getLimit() ? here(last.getLimit()) : Value();
    tile::CopyOutOp::create(b, loc, ring, last.getDest(), indices, limit,
                            last.getMap(), last.getInBounds(),
                            /*evict=*/"last");
    tile::AwaitOutOp::create(b, loc, 0, /*complete=*/false);
    Value next =
        arith::AddIOp::create(b, loc, turns.getInductionVar(), turns.getStep());
    tile::RaiseOp::create(b, loc, taken, next, staged.getParts());
    tile::AwaitOutOp::create(b, loc, 0, /*complete=*/true);
    b.setInsertionPoint(first);
    tile::AwaitSignalOp::create(b, loc, taken, loop.getInductionVar(),
                                raise.getParts());
  }

  LogicalResult runOnRole(tile::RoleOp role) {
    auto programs = role->getParentOfType<scf::ForallOp>();
    llvm::MapVector<std::pair<Block *, Value>, Stores> outputs;
    role.walk([&](tile::StoreOp store) {
      if (store.getInterleave() && !store.getPeriod() &&
          isFactor(store.getDest()))
        outputs[{store->getBlock(), store.getDest()}].push_back(store);
    });
    outputs.remove_if([](auto &entry) { return !writesRows(entry.second); });
    if (outputs.empty() || !programs)
      return success();
    OpBuilder b(role);
    tile::RaiseOp raise;
    for (auto op : outputs.front().first.first->getOps<tile::RaiseOp>())
      raise = op;
    tile::AwaitSignalOp beside = raise ? awaited(raise) : tile::AwaitSignalOp();
    if (raise && (!beside || outputs.size() > 1))
      return raise.emitOpError("expected rows of one memory, and a producer "
                               "whose teams await the signal in a loop");
    for (auto &[where, stores] : outputs) {
      tile::StoreOp first = stores.front(), last = stores.back();
      Location loc = first.getLoc();
      auto value = cast<RankedTensorType>(first.getValue().getType());
      auto dest = cast<MemRefType>(first.getDest().getType());
      // Settled rows leave by a tensor map, whose swizzle keeps neighbours,
      // which are stored at once, in different banks.
      int64_t warps = tile::layoutOf(value).getWarps();
      auto layout =
          isSettled(first.getDest())
              ? tile::LayoutAttr::get(&getContext(), "swizzled", warps,
                                      /*rows=*/1)
              : tile::LayoutAttr::get(&getContext(), "staged", warps);
      auto tileType =
          RankedTensorType::get({value.getDimSize(0), dest.getShape().back()},
                                dest.getElementType(), layout);
      beside ? b.setInsertionPoint(raise.getSignal().getDefiningOp())
             : b.setInsertionPointToStart(&role.getBody().front());
      // A stage for each team of the role.
      Value ring = tile::AllocRingOp::create(
          b, loc,
          tile::RingType::get(&getContext(), role.getTeams(), tileType));
      if (beside) {
        copyOutBeside(raise, beside, stores, ring);
      } else {
        // Copies out end in order: all but this one's own may be under way.
        b.setInsertionPoint(first);
        tile::AwaitOutOp::create(b, loc, outputs.size() - 1,
                                 /*complete=*/false);
        b.setInsertionPointAfter(last);
        tile::CopyOutOp::create(b, loc, ring, last.getDest(), last.getIndices(),
                                last.getLimit(), last.getMap(),
                                last.getInBounds(), /*evict=*/"first");
      }
      for (tile::StoreOp store : stores) {
        b.setInsertionPoint(store);
        tile::StageOp::create(b, loc, store.getValue(), ring,
                              store.getColumnOffset());
        store.erase();
      }
      ++staged;
    }
    if (beside)
      return success();
    b.setInsertionPointToEnd(&role.getBody().front());
    tile::AwaitOutOp::create(b, role.getLoc(), 0, /*complete=*/false);
    return success();
  }

  void runOnOperation() override {
    for (auto kernel : getOperation().getOps<func::FuncOp>()) {
      auto refused = kernel.walk([&](tile::RoleOp role) {
        return role.getKind() == "consumer" && failed(runOnRole(role))
                   ? WalkResult::interrupt()
                   : WalkResult::advance();
      });
      if (refused.wasInterrupted())
        return signalPassFailure();
    }
  }
};
} // namespace
