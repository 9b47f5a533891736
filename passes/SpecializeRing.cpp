//===- SpecializeRing.cpp - roles of a persistent kernel ------------------===//
//
// Part of monarch-tile-specialize-warps: the programs that write a ring in the
// L2 cache, and those that read it.
//
//===----------------------------------------------------------------------===//

#include "WarpSpecializer.h"

using namespace mlir;
using namespace monarch;

/// The programs of a ring have five warpgroups, which start with 96 registers a
/// thread: of 5 * 96, R's get 3 * 144 + 2 * 24, L's 4 * 112 + 32.
constexpr int64_t ringConsumerRegisters = 144, ringProducerRegisters = 24;
constexpr int64_t ringTeamRegisters = 112, ringReaderRegisters = 32;

/// A warp of the producer's does `body` for every turn of the consumers, or as
/// many as there are teams, from `warp` on.
void WarpSpecializer::messenger(
    int64_t warp, scf::ForOp loop, tile::RoleOp consumer,
    llvm::function_ref<void(Value, IRMapping &)> body, int64_t teams) {
  OpBuilder::InsertionGuard guard(b);
  tile::RoleOp role = makeRole("producer", 1, warp, /*registers=*/0, teams);
  if (teams > 1)
    role.getBody().addArgument(b.getIndexType(), loc);
  eachTurn(loop, consumer, body);
}

/// Rows for the next turn, which the body loads in a branch and carries, come
/// beside what it does with this turn's: it waits for them when it begins anew.
/// Whether there are any is carried as well.
LogicalResult WarpSpecializer::loadAhead(scf::ForOp &loop) {
  auto branch = loop.getNumRegionIterArgs() == 1
                    ? loop.getYieldedValues()[0].getDefiningOp<scf::IfOp>()
                    : scf::IfOp();
  auto load =
      branch ? branch.thenYield().getOperand(0).getDefiningOp<tile::LoadOp>()
             : tile::LoadOp();
  if (!load || branch->getParentOp() != loop || branch.getNumResults() != 1)
    return loop.emitError(
        "expected a loop that carries the rows which a branch "
        "loads");
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(loop);
  Value none = arith::ConstantIntOp::create(b, loop.getLoc(), 0, 1);
  IRRewriter rewriter(b);
  FailureOr<LoopLikeOpInterface> with = loop.replaceWithAdditionalYields(
      rewriter, none, /*replaceInitOperandUsesInLoop=*/false,
      [&](OpBuilder &, Location, ArrayRef<BlockArgument>) {
        return SmallVector<Value>{branch.getCondition()};
      });
  if (failed(with))
    return failure();
  loop = cast<scf::ForOp>(**with);
  load.getIntoMutable().assign(loop.getRegionIterArg(0));
  b.setInsertionPointToStart(loop.getBody());
  auto anew = scf::IfOp::create(b, loop.getLoc(), loop.getRegionIterArg(1),
                                /*withElseRegion=*/false);
  b.setInsertionPointToStart(anew.thenBlock());
  tile::WaitOp::create(b, loop.getLoc(), 0);
  return success();
}

/// Writers of a ring: a producer beside them, one of whose warps starts the
/// copies. Others wait for programs that read, copy rows out for a warpgroup
/// each (monarch-tile-stage-outputs), and count, each of which takes a way to
/// the L2 cache and back: consumers only exchange signals with them.
LogicalResult WarpSpecializer::runRing(tile::RoleOp consumer,
                                       MutableArrayRef<tile::LoadOp> loads) {
  auto loop = dyn_cast<scf::ForOp>(loads.front()->getParentOp());
  if (!loop || loop->getParentOp() != consumer || consumer.getFirst() ||
      getConstantIntValue(loop.getLowerBound()) != 0 ||
      getConstantIntValue(loop.getStep()) != 1)
    return consumer.emitError("expected one loop over turns, from 0 by 1, in "
                              "the first role");
  if (failed(loadAhead(loop)) || failed(allocate(loads, schedule.getStages())))
    return failure();
  loc = consumer.getLoc();
  b.setInsertionPoint(consumer);
  for (auto store : loop.getBody()->getOps<tile::StoreOp>())
    if (isFactor(store.getDest())) {
      if (failed(nameBox(store)))
        return failure();
      break;
    }
  // A turn's place in the ring is free when the one that was there so many
  // turns before has been counted.
  auto signalType = tile::SignalType::get(
      b.getContext(),
      llvm::PowerOf2Ceil(ceilDiv(schedule.getSlots(), schedule.getRing()) + 2));
  auto counts = llvm::to_vector(loop.getBody()->getOps<tile::AwaitCountOp>());
  auto adds = llvm::to_vector(loop.getBody()->getOps<tile::AddCountOp>());
  if (counts.size() != 1 || adds.size() != 1)
    return consumer.emitError("expected one wait and one count a turn");
  tile::AwaitCountOp wait = counts.front();
  tile::AddCountOp add = adds.front();
  tile::RoleOp readers;
  programs.walk([&](tile::RoleOp other) {
    if (other.getTeams() > 1)
      readers = other;
  });
  if (!readers)
    return consumer.emitError("expected teams that read the ring");
  int64_t parts = schedule.getWarps() / 4;
  Value free = tile::AllocSignalOp::create(b, loc, signalType);
  Value stored = tile::AllocSignalOp::create(
      b, loc, tile::SignalType::get(b.getContext(), parts));
  Value written = tile::AllocSignalOp::create(b, loc, signalType);
  // All warps beside the consumers, as many as readers have.
  makeRole("producer", 20 - schedule.getWarps(), schedule.getWarps(),
           ringProducerRegisters);
  messenger(0, loop, consumer, [&](Value turn, IRMapping &mapping) {
    for (auto [i, load] : llvm::enumerate(loads))
      copy(i, load, turn, Value(), consumer, mapping);
  });
  messenger(1, loop, consumer, [&](Value turn, IRMapping &mapping) {
    tile::AwaitCountOp::create(b, loc, wait.getCounters(),
                               remake(b, wait.getIndex(), consumer, mapping),
                               remake(b, wait.getLeast(), consumer, mapping));
    tile::RaiseOp::create(b, loc, free, turn);
  });
  messenger(2, loop, consumer, [&](Value turn, IRMapping &mapping) {
    tile::AwaitSignalOp::create(b, loc, written, turn);
    tile::AddCountOp::create(b, loc, add.getCounters(),
                             remake(b, add.getIndex(), consumer, mapping),
                             /*reads=*/false);
  });
  auto passOn = [&](Value turn, IRMapping &) {
    tile::AwaitSignalOp::create(b, loc, stored, turn, parts);
    tile::RaiseOp::create(b, loc, written, turn);
  };
  messenger(3, loop, consumer, passOn, /*teams=*/parts);
  b.setInsertionPoint(wait);
  tile::AwaitSignalOp::create(b, loc, free, loop.getInductionVar());
  wait.erase();
  b.setInsertionPoint(add);
  tile::RaiseOp::create(b, loc, stored, loop.getInductionVar(), parts);
  add.erase();
  consumer.setRegisters(ringConsumerRegisters);
  for (auto [i, load] : llvm::enumerate(loads)) {
    acquire(i, load, loop.getBody(), loop.getInductionVar());
    load.erase();
  }
  return runReaders(readers);
}

/// Readers of a ring: teams, and beside them a warp for each, which starts the
/// copies when other programs have written. A team counts what has come. Tile t
/// of team i is turn t * teams + i of its rings.
LogicalResult WarpSpecializer::runReaders(tile::RoleOp role) {
  auto beside = kernel->getAttrOfType<ScheduleAttr>(tile::besideAttrName);
  tile::AwaitCountOp wait;
  tile::AddCountOp add;
  role.walk([&](tile::AwaitCountOp op) { wait = op; });
  role.walk([&](tile::AddCountOp op) { add = op; });
  auto loop = wait ? dyn_cast<scf::ForOp>(wait->getParentOp()) : scf::ForOp();
  auto slabs = loop ? dyn_cast<scf::ForOp>(loop->getParentOp()) : scf::ForOp();
  auto step = loop ? getConstantIntValue(loop.getStep()) : std::nullopt;
  auto end = loop ? getConstantIntValue(loop.getUpperBound()) : std::nullopt;
  if (!beside || !add || !slabs || slabs->getParentOp() != role || !step ||
      !end || *end % *step || schedule.getWarps() != 12 ||
      role.getTeams() != ringTeams || role.getWarps() != 4 ||
      getConstantIntValue(loop.getLowerBound()) != 0 ||
      getConstantIntValue(slabs.getLowerBound()) != 0 ||
      getConstantIntValue(slabs.getStep()) != 1)
    return role.emitError("expected a wait and a count in a loop over whole "
                          "tiles in a loop over slabs");
  SmallVector<tile::LoadOp> loads(loop.getBody()->getOps<tile::LoadOp>());
  int64_t teams = role.getTeams(), perSlab = *end / *step;
  if (failed(allocate(loads, teams * beside.getStages())))
    return failure();
  loc = role.getLoc();
  auto number = [&](int64_t v) -> Value {
    return arith::ConstantIndexOp::create(b, loc, v);
  };
  auto plus = [&](Value x, Value y) -> Value {
    return arith::AddIOp::create(b, loc, x, y);
  };
  auto times = [&](Value x, int64_t y) -> Value {
    return arith::MulIOp::create(b, loc, x, number(y));
  };
  Value team = role.getBody().front().getArgument(0);

  b.setInsertionPoint(role);
  {
    OpBuilder::InsertionGuard guard(b);
    makeRole("producer", teams, role.getFirst() + teams * role.getWarps(),
             ringReaderRegisters);
    // For every tile, with the loops' variables there.
    auto eachTile = [&](llvm::function_ref<void(Value, IRMapping &)> body) {
      IRMapping outside, mapping;
      Value tiles =
          times(remake(b, slabs.getUpperBound(), role, outside), perSlab);
      auto turns = scf::ForOp::create(b, loc, number(0), tiles, number(1));
      OpBuilder::InsertionGuard inside(b);
      b.setInsertionPointToStart(turns.getBody());
      Value tile = turns.getInductionVar(), per = number(perSlab);
      mapping.map(slabs.getInductionVar(),
                  arith::DivUIOp::create(b, loc, tile, per).getResult());
      mapping.map(loop.getInductionVar(),
                  times(arith::RemUIOp::create(b, loc, tile, per), *step));
      body(tile, mapping);
    };
    // A lane for each box of a tile: 8 keys.
    tile::RoleOp copier =
        makeRole("producer", 1, 0, /*registers=*/0, teams, *step / 8);
    Value its = copier.getBody().addArgument(b.getIndexType(), loc);
    eachTile([&](Value tile, IRMapping &mapping) {
      tile::AwaitCountOp::create(b, loc, wait.getCounters(),
                                 remake(b, wait.getIndex(), role, mapping),
                                 remake(b, wait.getLeast(), role, mapping));
      mapping.map(team, its);
      for (auto [x, load] : llvm::enumerate(loads))
        copy(x, load, plus(times(tile, teams), its), Value(), role, mapping);
    });
  }
  b.setInsertionPointToStart(loop.getBody());
  Value inSlab =
      arith::DivUIOp::create(b, loc, loop.getInductionVar(), number(*step));
  Value tile = plus(times(slabs.getInductionVar(), perSlab), inSlab);
  Value turn = plus(times(tile, teams), team);
  for (auto [i, load] : llvm::enumerate(loads)) {
    acquire(i, load, loop.getBody(), turn);
    load.erase();
  }
  auto acquires = llvm::to_vector(loop.getBody()->getOps<tile::AcquireOp>());
  add->moveAfter(acquires.back());
  wait.erase();
  role.setRegisters(ringTeamRegisters);
  return success();
}
