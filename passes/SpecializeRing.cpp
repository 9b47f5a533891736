//===- SpecializeRing.cpp - roles of a persistent kernel ------------------===//
//
// Part of monarch-tile-specialize-warps: the programs that write a ring in the
// L2 cache, and those that read it.
//
//===----------------------------------------------------------------------===//

#include "WarpSpecializer.h"

using namespace mlir;
using namespace monarch;

/// Registers of a thread beside the consumers of R and of L, and of one that
/// holds the rest of L's rows.
constexpr int64_t ringProducerRegisters = 24, ringReaderRegisters = 32,
                  ringRestRegisters = 192;

/// The number of a role's team, null where it has one.
static Value teamOf(tile::RoleOp role) {
  return role.getTeams() > 1 ? role.getBody().getArgument(0) : Value();
}

/// Turn t of team i of so many is turn t * teams + i of their rings.
static Value turnOfTeam(OpBuilder &b, Location loc, Value turn, Value team,
                        int64_t teams) {
  if (!team)
    return turn;
  Value count = arith::ConstantIndexOp::create(b, loc, teams);
  return arith::AddIOp::create(
      b, loc, arith::MulIOp::create(b, loc, turn, count), team);
}

/// A warp of the producer's for each of `teams`, from `warp` on, does `body`
/// for every turn of the consumers, or of its team of them, whose number is
/// `team` there, if not null.
void WarpSpecializer::messenger(
    int64_t warp, int64_t teams, scf::ForOp loop, tile::RoleOp consumer,
    Value team, llvm::function_ref<void(Value, IRMapping &)> body) {
  OpBuilder::InsertionGuard guard(b);
  tile::RoleOp role = makeRole("producer", 1, warp, /*registers=*/0, teams);
  IRMapping known;
  if (teams > 1) {
    Value number = role.getBody().addArgument(b.getIndexType(), loc);
    if (team)
      known.map(team, number);
  }
  eachTurn(loop, consumer, body, known);
}

/// Lets rows that `loop` carries, last of all, and loads anew in a branch, come
/// to where those before them are. The branch; null with an error if there is
/// none.
static scf::IfOp loadInPlace(scf::ForOp loop) {
  auto branch = loop.getNumRegionIterArgs()
                    ? loop.getYieldedValues().back().getDefiningOp<scf::IfOp>()
                    : scf::IfOp();
  auto load =
      branch ? branch.thenYield().getOperand(0).getDefiningOp<tile::LoadOp>()
             : tile::LoadOp();
  if (!load || branch->getParentOp() != loop || branch.getNumResults() != 1) {
    loop.emitError("expected a loop that carries the rows which a branch "
                   "loads");
    return {};
  }
  load.getIntoMutable().assign(loop.getRegionIterArgs().back());
  return branch;
}

/// Rows for the next turn, which the body loads in a branch and carries, come
/// beside what it does with this turn's: it waits for them when it begins anew.
/// Whether there are any is carried as well.
LogicalResult WarpSpecializer::loadAhead(scf::ForOp &loop) {
  scf::IfOp branch = loadInPlace(loop);
  if (!branch)
    return failure();
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
  b.setInsertionPointToStart(loop.getBody());
  auto anew =
      scf::IfOp::create(b, loop.getLoc(), loop.getRegionIterArgs().back(),
                        /*withElseRegion=*/false);
  b.setInsertionPointToStart(anew.thenBlock());
  auto role = loop->getParentOfType<tile::RoleOp>();
  tile::WaitOp::create(b, loop.getLoc(), 0, role.getWarpgroups());
  return success();
}

/// Writers of a ring, one of them or teams: a producer beside them, one of
/// whose warps starts the copies. Others wait for programs that read, copy rows
/// out for a warpgroup each (monarch-tile-stage-outputs), and count, each of
/// which takes a way to the L2 cache and back: consumers only exchange signals
/// with them. Teams have warps of their own for each.
LogicalResult WarpSpecializer::runRing(tile::RoleOp consumer,
                                       MutableArrayRef<tile::LoadOp> loads) {
  auto loop = dyn_cast<scf::ForOp>(loads.front()->getParentOp());
  if (!loop || loop->getParentOp() != consumer || consumer.getFirst() ||
      getConstantIntValue(loop.getLowerBound()) != 0 ||
      getConstantIntValue(loop.getStep()) != 1)
    return consumer.emitError("expected one loop over turns, from 0 by 1, in "
                              "the first role");
  // What differs between teams: their turns, and stages of all rings.
  // Values of teams come while their turn's scores are made: where there is
  // room for another stage it is for keys.
  int64_t teams = consumer.getTeams(), stages = teams * schedule.getStages();
  if (failed(loadAhead(loop)) ||
      failed(allocate(loads, {teams > 1 ? stages + teams : stages, stages})))
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
  int64_t writers = schedule.getRing() * teams;
  auto signalType = tile::SignalType::get(
      b.getContext(),
      teams * llvm::PowerOf2Ceil(ceilDiv(schedule.getSlots(), writers) + 2));
  auto counts = llvm::to_vector(loop.getBody()->getOps<tile::AwaitCountOp>());
  auto adds = llvm::to_vector(loop.getBody()->getOps<tile::AddCountOp>());
  if (counts.size() != 1 || adds.size() != 1)
    return consumer.emitError("expected one wait and one count a turn");
  tile::AwaitCountOp wait = counts.front();
  tile::AddCountOp add = adds.front();
  SmallVector<tile::RoleOp> readers;
  programs.walk([&](tile::RoleOp other) {
    if (other.getBeside())
      readers.push_back(other);
  });
  if (readers.empty())
    return consumer.emitError("expected a role beside it that reads the ring");
  // Of one warpgroup each: parts of a role, or its teams.
  int64_t parts = teams * consumer.getWarpgroups();
  int64_t allWarps = 4; // and a producer's
  for (tile::RoleOp reader : readers)
    allWarps += reader.getTeams() * reader.getWarps();
  int64_t others = allWarps - schedule.getWarps();
  if ((teams > 1 && parts != teams) || others < 3 * teams + parts || others % 4)
    return consumer.emitError("expected one warpgroup, or teams of one, and ")
           << 3 * teams + parts << " or more of the readers' " << allWarps
           << " warps beside them";
  Value free = tile::AllocSignalOp::create(b, loc, signalType);
  Value stored = tile::AllocSignalOp::create(
      b, loc, tile::SignalType::get(b.getContext(), parts));
  Value written = tile::AllocSignalOp::create(b, loc, signalType);
  makeRole("producer", others, schedule.getWarps(), ringProducerRegisters);
  Value team = teamOf(consumer);
  auto copyAll = [&](Value turn, IRMapping &mapping) {
    Value number = team ? mapping.lookup(team) : Value();
    Value at = turnOfTeam(b, loc, turn, number, teams);
    for (auto [i, load] : llvm::enumerate(loads))
      copy(i, load, at, Value(), consumer, mapping);
  };
  messenger(0, teams, loop, consumer, team, copyAll);
  auto await = [&](Value turn, IRMapping &mapping) {
    tile::AwaitCountOp::create(b, loc, wait.getCounters(),
                               remake(b, wait.getIndex(), consumer, mapping),
                               remake(b, wait.getLeast(), consumer, mapping));
    tile::RaiseOp::create(b, loc, free, turn, teams);
  };
  messenger(teams, teams, loop, consumer, team, await);
  auto count = [&](Value turn, IRMapping &mapping) {
    tile::AwaitSignalOp::create(b, loc, written, turn, teams);
    tile::AddCountOp::create(b, loc, add.getCounters(),
                             remake(b, add.getIndex(), consumer, mapping),
                             /*reads=*/false);
  };
  messenger(2 * teams, teams, loop, consumer, team, count);
  auto passOn = [&](Value turn, IRMapping &) {
    tile::AwaitSignalOp::create(b, loc, stored, turn, parts);
    tile::RaiseOp::create(b, loc, written, turn, teams);
  };
  messenger(3 * teams, parts, loop, consumer, team, passOn);
  b.setInsertionPoint(wait);
  tile::AwaitSignalOp::create(b, loc, free, loop.getInductionVar(), teams);
  wait.erase();
  b.setInsertionPoint(add);
  tile::RaiseOp::create(b, loc, stored, loop.getInductionVar(), parts);
  add.erase();
  consumer.setRegisters(
      shareOf(schedule.getWarps(), allWarps, ringProducerRegisters * others));
  b.setInsertionPointToStart(loop.getBody());
  Value turn = turnOfTeam(b, loc, loop.getInductionVar(), team, teams);
  for (auto [i, load] : llvm::enumerate(loads)) {
    acquire(i, load, loop.getBody(), turn);
    load.erase();
  }
  return runReaders(readers.front(), ArrayRef(readers).drop_front());
}

/// Readers of a ring: teams, and beside them a warp for each, which starts the
/// copies when other programs have written. A team counts what has come. Tile t
/// of team i is turn t * teams + i of its rings. Those that hold the `rest` of
/// the rows read the same stages, and each team the tiles that it is for.
LogicalResult WarpSpecializer::runReaders(tile::RoleOp role,
                                          ArrayRef<tile::RoleOp> rest) {
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
      !end || *end % *step || !role.getWarpgroups() ||
      getConstantIntValue(loop.getLowerBound()) != 0 ||
      getConstantIntValue(slabs.getLowerBound()) != 0 ||
      getConstantIntValue(slabs.getStep()) != 1)
    return role.emitError("expected a wait and a count in a loop over whole "
                          "tiles in a loop over slabs");
  SmallVector<tile::LoadOp> loads(loop.getBody()->getOps<tile::LoadOp>());
  int64_t teams = role.getTeams(), perSlab = *end / *step;
  int64_t warps = teams * role.getWarps() + 4, others = 4 * ringReaderRegisters;
  for (tile::RoleOp other : rest)
    warps += other.getTeams() * other.getWarps();
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
  Value team = teamOf(role);

  b.setInsertionPoint(role);
  {
    OpBuilder::InsertionGuard guard(b);
    makeRole("producer", 4, warps - 4, ringReaderRegisters);
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
    Value its;
    if (team)
      its = copier.getBody().addArgument(b.getIndexType(), loc);
    eachTile([&](Value tile, IRMapping &mapping) {
      tile::AwaitCountOp::create(b, loc, wait.getCounters(),
                                 remake(b, wait.getIndex(), role, mapping),
                                 remake(b, wait.getLeast(), role, mapping));
      if (team)
        mapping.map(team, its);
      for (auto [x, load] : llvm::enumerate(loads))
        copy(x, load, turnOfTeam(b, loc, tile, its, teams), Value(), role,
             mapping);
    });
  }
  auto acquireAll = [&](scf::ForOp slabs, scf::ForOp loop,
                        MutableArrayRef<tile::LoadOp> loads, Value team) {
    b.setInsertionPointToStart(loop.getBody());
    Value inSlab =
        arith::DivUIOp::create(b, loc, loop.getInductionVar(), number(*step));
    Value tile = plus(times(slabs.getInductionVar(), perSlab), inSlab);
    Value turn = turnOfTeam(b, loc, tile, team, teams);
    for (auto [i, load] : llvm::enumerate(loads)) {
      acquire(i, load, loop.getBody(), turn);
      load.erase();
    }
  };
  acquireAll(slabs, loop, loads, team);
  auto acquires = llvm::to_vector(loop.getBody()->getOps<tile::AcquireOp>());
  add->moveAfter(acquires.back());
  wait.erase();
  // Rows of the next slab come beside what the last tile's scores lead to. For
  // the first slab's, which are there, the wait says nothing.
  if (!loadInPlace(loop))
    return failure();
  b.setInsertionPointToStart(slabs.getBody());
  tile::WaitOp::create(b, loc, 0, role.getWarpgroups());
  for (tile::RoleOp other : rest) {
    SmallVector<tile::LoadOp> same;
    other.walk([&](scf::ForOp inner) {
      if (inner->getParentOp() != other)
        llvm::append_range(same, inner.getBody()->getOps<tile::LoadOp>());
    });
    auto inner = same.empty() ? scf::ForOp()
                              : dyn_cast<scf::ForOp>(same[0]->getParentOp());
    auto outer =
        inner ? dyn_cast<scf::ForOp>(inner->getParentOp()) : scf::ForOp();
    if (teams != 1 || same.size() != loads.size() || !outer ||
        outer->getParentOp() != other ||
        getConstantIntValue(inner.getStep()) !=
            *step * static_cast<int64_t>(other.getTeams()))
      return other.emitError("expected the loads of the one team before it, in "
                             "a loop over its tiles in a loop over slabs");
    acquireAll(outer, inner, same, Value());
    other.setRegisters(ringRestRegisters);
    others += ringRestRegisters * 4;
  }
  role.setRegisters(shareOf(teams * role.getWarps(), warps, others));
  return success();
}
