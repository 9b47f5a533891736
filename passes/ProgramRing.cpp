//===- ProgramRing.cpp - R and L in one persistent kernel -----------------===//

#include "ProgramBuilder.h"

#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;
using namespace monarch;

/// Some programs take the R step of every slab, the others the L step. Rows go
/// through a ring in memory that the L2 cache holds, as an intermediate of
/// `slots` keys. Keys, a slab's (k, c) in whole tiles of the readers, are
/// numbered through all slabs; key N is in slot N mod slots, and writer N mod
/// writers writes it in turn N / writers. Writers and readers are teams of the
/// programs' warps.
/// Programs and rows are settled first, so that rows are in the half of the L2
/// cache that reads them (monarch_tile.settle).
/// Counters say for each group of keys, a tile of the readers, how many have
/// been written, and how many teams of readers have read it.
///
/// None waits forever. Stuck writers have all counted the keys of the turn
/// before; of the one whose key is lowest the group `slots` before is unread,
/// so that readers, which are at most two groups behind what they wait for,
/// wait for a key that some writer has not come to: with slots >= writers + 3
/// groups it comes before the lowest, and so is nobody's.
LogicalResult ProgramBuilder::buildRing(RStepOp r, LStepOp l) {
  ScheduleAttr ofR = *op.getSchedule(), ofL = *op.getBeside();
  int64_t programsOfR = ofR.getRing(), programsOfL = ofL.getRing(),
          slots = ofR.getSlots(), step = ofL.getColumns();
  int64_t readers = ringReaders(), least = leastRingSlots(ringWriters(), step);
  if (ofR.getKind() != "wgmma" || ofL.getKind() != "wgmma" || !readers ||
      ofL.getElement() != ofR.getElement() || ofL.getSlots() != slots ||
      r.getSoftmax() != "one_tile" || g.b2() > ofR.getColumns() ||
      g.b1() > ofL.getRows() + ofL.getRest() || r.getState() ||
      r.getKeyMask() || causal || keyFrames || slabPairs > ofR.getRows() ||
      slabPairs > readers || readers > roundUp(slabPairs, pairGroup(ofR)) ||
      ofR.getRows() % 64 || ofL.getRows() % 64 || slots % step || step % 8 ||
      slots < least)
    return op.emitOpError("expected schedules of one ring and element, wgmma, "
                          "with whole rows of R and L, a slab's ")
           << slabPairs << " pairs for the " << teamsOf(ofL) << " teams of L's "
           << programsOfL << " programs, and a multiple of " << step
           << " slots, " << least << " or more";
  auto forall = scf::ForallOp::create(
      b, loc, ArrayRef<OpFoldResult>{b.getIndexAttr(programsOfR + programsOfL)},
      ValueRange(), std::nullopt);
  b.setInsertionPointToStart(forall.getBody());
  Value rows = arg(r.getAL());
  auto settled = tile::SettleOp::create(
      b, loc, b.getIndexType(), rows.getType(), rows.getType(),
      forall.getInductionVar(0), rows, args.lookup("ring_into"),
      args.lookup("scratch"), programsOfR + programsOfL, programsOfR,
      teamsOf(ofL));
  Value program = settled.getNumber();
  ring = settled.getNear();
  ringInto = settled.getNearInto();
  Value writes = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                       program, index(programsOfR));
  auto branch = scf::IfOp::create(b, loc, writes, /*withElseRegion=*/true);
  // Gives the number of a team among those of all programs from `first` on.
  auto role = [&](ScheduleAttr of, int64_t first, bool beside) {
    int64_t teams = teamsOf(of);
    auto role =
        tile::RoleOp::create(b, loc, "consumer", of.getWarps() / teams,
                             /*first=*/0, /*registers=*/0, beside, teams);
    use(of);
    Block *body = b.createBlock(&role.getBody());
    if (teams == 1)
      return first ? apply(map(1, {d(0) - first}), {program}) : program;
    return apply(map(2, {(d(0) - first) * teams + d(1)}),
                 {program, body->addArgument(b.getIndexType(), loc)});
  };
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    buildRingWriter(r, role(ofR, /*first=*/0, /*beside=*/false));
  }
  setProblem(l);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.elseBlock());
  {
    OpBuilder::InsertionGuard inner(b);
    buildRingReader(l, role(ofL, programsOfR, /*beside=*/true));
  }
  if (!ofL.getRest())
    return success();
  auto rest = tile::RoleOp::create(b, loc, "consumer", /*warps=*/1,
                                   /*first=*/ofL.getWarps(), /*registers=*/0,
                                   /*beside=*/true, ScheduleAttr::restTeams);
  Block *body = b.createBlock(&rest.getBody());
  m = ofL.getRest();
  buildRingReader(l, apply(map(1, {d(0) - programsOfR}), {program}),
                  body->addArgument(b.getIndexType(), loc));
  return success();
}

int64_t ProgramBuilder::ringWriters() {
  return op.getSchedule()->getRing() * teamsOf(*op.getSchedule());
}

int64_t ProgramBuilder::ringReaders() {
  return op.getBeside()->getRing() * teamsOf(*op.getBeside());
}

ProgramBuilder::RingPlace ProgramBuilder::ringPlace(Value number) {
  int64_t slots = op.getSchedule()->getSlots();
  int64_t step = op.getBeside()->getColumns();
  Value count = index(slots), groups = index(slots / step);
  RingPlace at;
  at.slot = arith::RemUIOp::create(b, loc, number, count);
  at.uses = arith::DivUIOp::create(b, loc, number, count);
  at.full = arith::DivUIOp::create(b, loc, at.slot, index(step));
  at.empty = arith::AddIOp::create(b, loc, at.full, groups);
  return at;
}

/// Rows of both factors in the ring: the first operand is the slot.
Address ProgramBuilder::ringRows(ArrayRef<Value> operands, AffineExpr pair,
                                 AffineExpr key, Value limit) {
  AffineExpr slot = d(0) + key;
  return {SmallVector<Value>(operands),
          map(operands.size() + 1,
              {b.getAffineConstantExpr(0), slot.floorDiv(8), pair, slot % 8}),
          SmallVector<bool>(4, true), limit};
}

/// Keys of a slab in the ring: whole tiles of the readers.
int64_t ProgramBuilder::ringKeys() {
  return roundUp(g.keyTiles() * g.b1(), op.getBeside()->getColumns());
}

/// What `build` makes, for which it may set another slab.
Value ProgramBuilder::inOtherSlab(llvm::function_ref<Value()> build) {
  llvm::SaveAndRestore<Value> saved[] = {{slab}, {batch}, {head}, {firstPair}};
  return build();
}

/// A slab's keys in the order of their numbers n = t * writers + w are not its
/// (k, c) in their order: those of one w follow one another, with c fastest, so
/// that a writer's query rows stay the same while c runs. Those past the last
/// (k, c) are rows without weight.
ProgramBuilder::RingTurn ProgramBuilder::ringTurn(Value turn, Value writer) {
  int64_t writers = ringWriters(), keys = ringKeys();
  Value zero = index(0);
  RingTurn of;
  of.number = apply(map(2, {d(0) * writers + d(1)}), {turn, writer});
  setSlab(arith::DivUIOp::create(b, loc, of.number, index(keys)));
  of.m0 = inHead(zero);
  Value inSlab = arith::RemUIOp::create(b, loc, of.number, index(keys));
  Value t = arith::DivUIOp::create(b, loc, inSlab, index(writers));
  Value w = arith::RemUIOp::create(b, loc, inSlab, index(writers));
  // The first keys % writers of them have one key more than the others.
  Value key = apply(map(3, {d(0) * (keys / writers) + d(1) + d(2)}),
                    {w, minOf(w, index(keys % writers)), t});
  Value row = arith::DivUIOp::create(b, loc, key, index(g.keyTiles()));
  of.c = arith::RemUIOp::create(b, loc, key, index(g.keyTiles()));
  of.exists = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, row,
                                    index(g.b1()));
  of.k = minOf(row, index(g.b1() - 1));
  of.isNew = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq,
                                   minOf(of.c, t), zero);
  return of;
}

void ProgramBuilder::buildRingWriter(RStepOp r, Value writer) {
  int64_t writers = ringWriters(), keys = ringKeys();
  Value zero = index(0), one = index(1);
  // Turns of this writer: the numbers writer + turn * writers below the end.
  Value end =
      arith::MulIOp::create(b, loc, args.lookup("slab_count"), index(keys));
  Value total = apply(map(2, {(d(0) - d(1) + writers - 1).floorDiv(writers)}),
                      {end, writer});
  // Rows of queries are carried from turn to turn. Those of the next turn are
  // loaded when this turn's scores are there.
  int64_t dim = cast<MemRefType>(arg(r.getKey()).getType()).getShape().back();
  auto rowsType = tileType({m, dim}, element);
  Value none = arith::ConstantOp::create(b, loc, b.getZeroAttr(rowsType));
  auto rowsFor = [&](const RingTurn &turn, Value isNew, Value kept) {
    return rowsOfTurn(isNew, kept, [&] {
      // Pairs past the head's last read zeros; those past the slab's are
      // another slab's as well, and nobody's here.
      Value limit;
      if (pairCount() % m)
        limit = apply(map(1, {pairCount() - d(0)}), {turn.m0});
      return rowsOfR(arg(r.getQuery()), turn.m0, turn.k, limit);
    });
  };
  auto isBefore = [&](Value turn) {
    return compare(arith::CmpIPredicate::slt, turn, total);
  };
  Value first = rowsFor(ringTurn(zero, writer), isBefore(zero), none);
  auto loop = scf::ForOp::create(b, loc, zero, total, one, first);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value turn = loop.getInductionVar(), q = loop.getRegionIterArg(0);
  RingTurn now = ringTurn(turn, writer);
  Value keyTile, valueTile;
  Scores x = scoresOfR(r, q, Value(), now.c, now.k, zero, /*wholeRow=*/true,
                       keyTile, valueTile);
  Value nextRows = inOtherSlab([&] {
    Value next = plus(turn, one);
    RingTurn of = ringTurn(next, writer);
    return rowsFor(of, both(of.isNew, isBefore(next)), q);
  });
  // Here and not before the first store: while a wait is passed, no value of
  // the softmax is live.
  RingPlace at = ringPlace(now.number);
  tile::AwaitCountOp::create(
      b, loc, args.lookup("counters"), at.empty,
      arith::MulIOp::create(b, loc, at.uses, index(ringReaders())));
  OneTile scores = softmaxOneTile(x, /*entropy=*/true);
  Value bias = biasOfTurn(scores, now.exists);
  Value limit;
  if (slabPairs < m)
    limit = index(slabPairs);
  store(bias, arg(r.getCL()),
        factorRows({zero, zero, at.slot}, d(1) + d(3), d(2), limit));
  Address rows = ringRows({at.slot}, d(1), b.getAffineConstantExpr(0), limit);
  int64_t column = 0;
  for (Value rhs : {keyTile, valueTile}) {
    eachProduct(scores.probabilities, rhs, [&](Value v, int64_t from) {
      store(v, ringInto, rows, column + from);
    });
    column += cast<RankedTensorType>(rhs.getType()).getDimSize(1);
  }
  tile::AddCountOp::create(b, loc, args.lookup("counters"), at.full,
                           /*reads=*/false);
  scf::YieldOp::create(b, loc, nextRows);
}

/// What the teams of a role have found of the same rows, for each of them.
ProgramBuilder::State ProgramBuilder::putTogether(State s) {
  auto over = [&](StringRef kind, Value v) -> Value {
    return tile::ReduceTeamsOp::create(b, loc, v.getType(), kind, v);
  };
  State all = withMaximum(s, over("max", s.max));
  for (Value *v : {&all.sum, &all.acc[0]})
    *v = over("sum", *v);
  return all;
}

/// Team `reader` of all readers holds pair `reader` of every slab. It carries
/// the pair's rows of queries, and loads those of the next slab when the last
/// scores of this one are there.
/// With `restTeam` it is one of those that share the rest of the pair's rows:
/// each takes every so many-th tile. What others wait and count for is for them
/// too: both hold the same stages (monarch-tile-specialize-warps).
void ProgramBuilder::buildRingReader(LStepOp l, Value reader, Value restTeam) {
  int64_t b1 = g.b1(), b2 = g.b2(), pairs = pairCount(), perSlab = ringKeys();
  int64_t dv = cast<RankedTensorType>(l.getY().getType()).getShape().back();
  double scale = l.getScale().convertToDouble() * log2e;
  Value zero = index(0), slabCount = args.lookup("slab_count");
  int64_t before = restTeam ? op.getBeside()->getRows() : 0;
  bool carries = !restTeam;
  constexpr auto slt = arith::CmpIPredicate::slt, eq = arith::CmpIPredicate::eq;
  auto rowsOfSlab = [&](Value number) {
    setSlab(number);
    Value pair = inHead(reader);
    Address rows = tokens({batch, head, pair}, d(2).floorDiv(b2), d(3) + before,
                          d(2) % b2, /*isQuery=*/true);
    // Teams past the slab's pairs, or past the head's, keep in step with the
    // others and store nothing.
    Value exists = both(compare(slt, reader, index(slabPairs)),
                        compare(slt, pair, index(pairs)));
    rows.limit = select(exists, index(std::min(b1 - before, m)), zero);
    return rows;
  };
  auto queries = [&](const Address &rows) {
    return load(arg(l.getQuery()), rows, m, element);
  };
  SmallVector<Value> first;
  if (carries)
    first.push_back(queries(rowsOfSlab(zero)));
  auto slabs = scf::ForOp::create(b, loc, zero, slabCount, index(1), first);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(slabs.getBody());
  Address rows = rowsOfSlab(slabs.getInductionVar());
  Value q = carries ? slabs.getRegionIterArg(0) : queries(rows);
  // The tiles of all slabs are dealt in turn, so that a team is always at the
  // same stages of a ring and sees each of their phases.
  int64_t teams = restTeam ? ScheduleAttr::restTeams : 1;
  Value start = zero;
  if (restTeam)
    start = apply(map(2, {(d(0) - d(1) * (perSlab / n)) % teams * n}),
                  {restTeam, slab});
  SmallVector<Value> initial = flatten(initialOfL(dv));
  if (carries)
    initial.push_back(q);
  auto loop = scf::ForOp::create(b, loc, start, index(perSlab),
                                 index(n * teams), initial);
  {
    OpBuilder::InsertionGuard inner(b);
    b.setInsertionPointToStart(loop.getBody());
    RingPlace at = ringPlace(
        apply(map(2, {d(0) * perSlab + d(1)}), {slab, loop.getInductionVar()}));
    Value fills = plus(at.uses, index(1));
    if (!restTeam)
      tile::AwaitCountOp::create(b, loc, args.lookup("counters"), at.full,
                                 times(fills, index(n)));
    Value rowTile = load(ring, ringRows({at.slot, reader}, d(1), d(2), Value()),
                         n, element);
    Value biasTile =
        load(arg(l.getCL()),
             factorRows({zero, reader, at.slot}, d(1), d(2) + d(3), Value()), n,
             b.getF32Type());
    if (!restTeam)
      tile::AddCountOp::create(b, loc, args.lookup("counters"), at.empty,
                               /*reads=*/true);
    int64_t all = cast<RankedTensorType>(rowTile.getType()).getDimSize(1);
    Value here = carries ? loop.getRegionIterArgs().back() : q;
    Value scores = scoresOfL(here, rowTile);
    SmallVector<Value> next;
    if (carries) { // before values of the softmax want registers
      Value after = plus(slab, index(1));
      Value isNew =
          both(compare(eq, loop.getInductionVar(), index(perSlab - n)),
               compare(slt, after, slabCount));
      next.push_back(inOtherSlab([&] {
        return rowsOfTurn(isNew, here,
                          [&] { return queries(rowsOfSlab(after)); });
      }));
    }
    accumulate(loop, biased(scores, biasTile, scale), rowTile, /*groups=*/1,
               /*offset=*/all - dv, next);
  }
  State s = unflatten(loop.getResults().drop_back(carries), /*entropy=*/false);
  if (restTeam) {
    s.sum = rowSum(s.sum);
    s = putTogether(s);
    rows.limit = select(compare(eq, restTeam, zero), rows.limit, zero);
  }
  storeOutput(s, arg(l.getResult()), rows);
  if (carries)
    scf::YieldOp::create(b, loc, loop.getResults().back());
}
