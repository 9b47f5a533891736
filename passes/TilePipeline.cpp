//===- TilePipeline.cpp - monarch-tile-pipeline ---------------------------===//

#include "PassDetail.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_MONARCHTILEPIPELINE
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

namespace {

/// Loads that every warp needs whole: key and value tiles, and the bias.
bool wantsRing(tile::LoadOp load) {
  StringRef kind = tile::layoutOf(load.getType()).getKind();
  return kind == "shared" || kind == "swizzled" || kind == "columns";
}

/// A ring for the tile of `load`.
Value allocateRing(OpBuilder &b, tile::LoadOp load, int64_t stages) {
  auto type = cast<RankedTensorType>(load.getType());
  // Columns are read from rows as they lie in memory.
  tile::LayoutAttr layout = tile::layoutOf(type);
  auto shared = tile::LayoutAttr::get(
      b.getContext(),
      layout.getKind() == "columns" ? "shared" : layout.getKind(),
      layout.getWarps());
  auto tile =
      RankedTensorType::get(type.getShape(), type.getElementType(), shared);
  return tile::AllocRingOp::create(
      b, load.getLoc(), tile::RingType::get(b.getContext(), stages, tile));
}

/// One stage of a ring in the layout of `load`.
Value readStage(OpBuilder &b, tile::LoadOp load, Value ring, Value stage) {
  Value v = tile::ReadOp::create(b, load.getLoc(),
                                 cast<tile::RingType>(ring.getType()).getTile(),
                                 ring, stage);
  if (v.getType() == load.getType())
    return v;
  return tile::ConvertLayoutOp::create(b, load.getLoc(), load.getType(), v);
}

class LoopPipeliner {
public:
  LoopPipeliner(scf::ForOp loop, int64_t stages)
      : loop(loop), stages(stages), b(loop), loc(loop.getLoc()) {}

  /// Returns how many rings it made.
  int64_t run();

private:
  Value index(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }

  /// Starts the copies of the turn with induction variable `at`.
  void issue(Value at, Value stage) {
    Value enable = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, at,
                                         loop.getUpperBound());
    IRMapping mapping;
    mapping.map(loop.getInductionVar(), at);
    for (auto [load, ring] : llvm::zip(loads, rings)) {
      SmallVector<Value> indices;
      for (Value v : load.getIndices())
        indices.push_back(remake(b, v, loop, mapping));
      Value limit =
          load.getLimit() ? remake(b, load.getLimit(), loop, mapping) : Value();
      tile::CopyAsyncOp::create(b, loc, load.getSource(), indices, limit, ring,
                                stage, enable, load.getMap(),
                                load.getInBounds());
    }
    tile::CommitOp::create(b, loc);
  }

  scf::ForOp loop;
  int64_t stages;
  OpBuilder b;
  Location loc;
  SmallVector<tile::LoadOp> loads;
  SmallVector<Value> rings;
};

int64_t LoopPipeliner::run() {
  for (auto load : loop.getBody()->getOps<tile::LoadOp>())
    if (wantsRing(load))
      loads.push_back(load);
  if (loads.empty())
    return 0;
  // Rings belong to the whole program, not to one turn of an outer loop.
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(
        loop->getParentOfType<scf::ForallOp>().getBody());
    for (tile::LoadOp load : loads)
      rings.push_back(allocateRing(b, load, stages));
  }
  for (int64_t s = 0; s + 1 < stages; ++s) {
    Value at = arith::AddIOp::create(
        b, loc, loop.getLowerBound(),
        arith::MulIOp::create(b, loc, loop.getStep(), index(s)));
    issue(at, index(s));
  }

  // The stage of this turn is carried along.
  SmallVector<Value> inits(loop.getInitArgs());
  inits.push_back(index(0));
  auto pipelined =
      scf::ForOp::create(b, loc, loop.getLowerBound(), loop.getUpperBound(),
                         loop.getStep(), inits);
  Block *body = pipelined.getBody();
  b.setInsertionPointToStart(body);
  Value stage = pipelined.getRegionIterArgs().back();
  tile::WaitOp::create(b, loc, stages - 2);
  Value last = index(stages - 1);
  Value isFirst =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, stage, index(0));
  Value previous = arith::SelectOp::create(
      b, loc, isFirst, last, arith::SubIOp::create(b, loc, stage, index(1)));
  Value ahead = arith::AddIOp::create(
      b, loc, pipelined.getInductionVar(),
      arith::MulIOp::create(b, loc, loop.getStep(), index(stages - 1)));
  issue(ahead, previous);

  SmallVector<Value> tiles;
  for (auto [load, ring] : llvm::zip(loads, rings))
    tiles.push_back(readStage(b, load, ring, stage));
  for (auto [load, v] : llvm::zip(loads, tiles))
    load.replaceAllUsesWith(v);

  // Move the rest of the body over.
  loop.getInductionVar().replaceAllUsesWith(pipelined.getInductionVar());
  for (auto [oldArg, newArg] :
       llvm::zip(loop.getRegionIterArgs(), pipelined.getRegionIterArgs()))
    oldArg.replaceAllUsesWith(newArg);
  auto yield = cast<scf::YieldOp>(loop.getBody()->getTerminator());
  SmallVector<Value> yielded(yield.getOperands());
  for (Operation &op :
       llvm::make_early_inc_range(loop.getBody()->without_terminator()))
    if (!llvm::is_contained(loads, dyn_cast<tile::LoadOp>(op)))
      op.moveBefore(body, body->end());
  b.setInsertionPointToEnd(body);
  Value isLast =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, stage, last);
  yielded.push_back(
      arith::SelectOp::create(b, loc, isLast, index(0),
                              arith::AddIOp::create(b, loc, stage, index(1))));
  scf::YieldOp::create(b, loc, yielded);

  b.setInsertionPointAfter(pipelined);
  // The next turn of an outer loop fills the ring again: all must have read it.
  if (pipelined->getParentOfType<scf::ForOp>())
    tile::WaitOp::create(b, loc, 0);
  for (auto [oldResult, newResult] :
       llvm::zip(loop.getResults(), pipelined.getResults()))
    oldResult.replaceAllUsesWith(newResult);
  loop.erase();
  return rings.size();
}

/// Loads that are in no loop, as a single key tile leaves them: copied, waited
/// for and read once.
int64_t stageStraightLine(Block &block) {
  SmallVector<tile::LoadOp> loads;
  for (auto load : block.getOps<tile::LoadOp>())
    if (wantsRing(load))
      loads.push_back(load);
  if (loads.empty())
    return 0;
  // All are loaded before the first is used.
  OpBuilder b(loads.back());
  Location loc = loads.back().getLoc();
  Value zero = arith::ConstantIndexOp::create(b, loc, 0);
  Value enable = arith::ConstantIntOp::create(b, loc, 1, 1);
  SmallVector<Value> rings;
  for (tile::LoadOp load : loads) {
    rings.push_back(allocateRing(b, load, 1));
    tile::CopyAsyncOp::create(b, loc, load.getSource(), load.getIndices(),
                              load.getLimit(), rings.back(), zero, enable,
                              load.getMap(), load.getInBounds());
  }
  tile::CommitOp::create(b, loc);
  tile::WaitOp::create(b, loc, 0);
  for (auto [load, ring] : llvm::zip(loads, rings)) {
    load.replaceAllUsesWith(readStage(b, load, ring, zero));
    load.erase();
  }
  return rings.size();
}

struct TilePipeline : monarch::impl::MonarchTilePipelineBase<TilePipeline> {
  void runOnOperation() override {
    for (auto kernel : getOperation().getOps<func::FuncOp>()) {
      ScheduleAttr schedule = scheduleOf(kernel);
      bool hasRoles =
          !kernel.getBody().empty() &&
          kernel.walk([](tile::RoleOp) { return WalkResult::interrupt(); })
              .wasInterrupted();
      if (!schedule || hasRoles)
        continue; // monarch-tile-specialize-warps has made its rings
      if (schedule.getStages() < 2) {
        kernel.emitError("expected a schedule of at least 2 stages, got ")
            << schedule.getStages();
        return signalPassFailure();
      }
      auto runs = kernel.walk([&](tile::LoadOp load) {
        return wantsRing(load) && failed(refuseRuns(load))
                   ? WalkResult::interrupt()
                   : WalkResult::advance();
      });
      if (runs.wasInterrupted())
        return signalPassFailure();
      SmallVector<scf::ForOp> loops;
      kernel.walk([&](scf::ForOp loop) { loops.push_back(loop); });
      for (scf::ForOp loop : loops)
        rings += LoopPipeliner(loop, schedule.getStages()).run();
      kernel.walk([&](scf::ForallOp programs) {
        rings += stageStraightLine(*programs.getBody());
      });
    }
    setLevel(getOperation(), "mapped");
  }
};
} // namespace
