//===- ProgramExchange.cpp - R and L in one cluster -----------------------===//

#include "ProgramBuilder.h"

#include "monarch/Support/SlabParts.h"

using namespace mlir;
using namespace monarch;

/// A part of fewer turns is not worth putting together (docs/performance.md).
static constexpr int64_t leastTurnsOfPart = 4;

/// R and L side by side in the programs of a cluster. A slab's rows are R's
/// rows of every member, each for its own (k, c); after every turn a member
/// holds, for its share of the pairs, the rows of all members. Member r takes
/// the (k, c) numbered r*turns .. r*turns + turns with c fastest, so that its
/// query rows stay the same while c runs. Numbers past the last (k, c) give
/// rows without weight.
///
/// A cluster has a slab, or where those of the last wave leave room for more
/// clusters, a part of its turns: the last of its parts puts them together
/// (split-K: FlashDecoding has it for attention). It waits for clusters of
/// lower numbers only, which have begun before it.
LogicalResult ProgramBuilder::buildExchange(RStepOp r, LStepOp l) {
  ScheduleAttr ofR = *op.getSchedule(), ofL = *op.getBeside();
  int64_t members = ofR.getCluster(), own = ofR.getRows() / members;
  int64_t pairs = pairCount(), b1 = g.b1(), b2 = g.b2();
  if (ofR.getKind() != "wgmma" || ofL.getKind() != "mma_sync" || members < 2 ||
      ofL.getCluster() != members || ofL.getElement() != ofR.getElement() ||
      r.getSoftmax() != "one_tile" || g.b2() > ofR.getColumns() ||
      r.getState() || r.getKeyMask() || causal || g.sequenceTokens ||
      slabPairs > ofR.getRows() || ofR.getRows() % members ||
      ofR.getClusters() < 1 || ofL.getClusters() != ofR.getClusters() ||
      ofL.getColumns() != members || ofL.getRows() % own ||
      ofL.getRows() / own < b1 || ofL.getRows() / own % 16)
    return op.emitOpError("expected schedules of one cluster and element: of R "
                          "wgmma with whole rows, a slab a program, of L "
                          "mma_sync with the rows of ")
           << own << " pairs against " << members << " keys";
  auto forall = scf::ForallOp::create(
      b, loc,
      ArrayRef<OpFoldResult>{args.lookup("clusters"), b.getIndexAttr(members)},
      ValueRange(), std::nullopt);
  b.setInsertionPointToStart(forall.getBody());
  Value cluster = forall.getInductionVar(0), member = forall.getInductionVar(1);
  Value tiles = keyTiles(), one = index(1), zero = index(0);
  Value turns =
      divide(plus(times(tiles, index(b1)), index(members - 1)), index(members));
  Part part = partOf(cluster, turns);
  setSlab(part.slab);
  Value first = plus(times(member, turns), part.first);
  Value m0 = inHead(zero);
  // The pairs of the slab: fewer than rows, and fewer still in a head's last.
  Value rowLimit;
  if (slabPairs < ofR.getRows())
    rowLimit = index(slabPairs);
  if (pairs % slabPairs)
    rowLimit = minOf(index(slabPairs), apply(map(1, {pairs - d(0)}), {m0}));
  int64_t dim = cast<MemRefType>(arg(r.getKey()).getType()).getShape().back();
  int64_t dv = cast<MemRefType>(arg(r.getValue()).getType()).getShape().back();
  auto type = tile::ExchangeType::get(b.getContext(), members, ofL.getStages(),
                                      {tileType({ofR.getRows(), dim}, element),
                                       tileType({ofR.getRows(), dv}, element),
                                       f32Tile({ofR.getRows()})});
  Value exchange = tile::AllocExchangeOp::create(b, loc, type);
  OpBuilder::InsertionGuard guard(b);
  auto role = [&](ScheduleAttr of, int64_t firstWarp) {
    auto role = tile::RoleOp::create(b, loc, "consumer", of.getWarps(),
                                     firstWarp, /*registers=*/0,
                                     /*beside=*/firstWarp != 0, /*teams=*/1);
    use(of);
    b.createBlock(&role.getBody());
  };

  OpBuilder::InsertPoint after = b.saveInsertionPoint();
  role(ofR, 0);
  {
    // Teams of R's warps take turns; a team's rows change with k.
    int64_t teams = 16 * ofR.getWarps() / m;
    auto rowsType = tileType({m, dim}, element);
    Value none = arith::ConstantOp::create(b, loc, b.getZeroAttr(rowsType));
    auto loop = scf::ForOp::create(b, loc, zero, part.turns, one, none);
    b.setInsertionPointToStart(loop.getBody());
    Value turn = loop.getInductionVar(), number = plus(first, turn);
    Value row = divide(number, tiles);
    Value c = arith::RemUIOp::create(b, loc, number, tiles);
    Value exists = compare(arith::CmpIPredicate::slt, row, index(b1));
    Value k = minOf(row, index(b1 - 1));
    Value isNew =
        compare(arith::CmpIPredicate::slt, minOf(c, turn), index(teams));
    Value q = rowsOfTurn(isNew, loop.getRegionIterArg(0), [&] {
      return rowsOfR(arg(r.getQuery()), m0, k, rowLimit);
    });
    Value keyTile, valueTile;
    Scores x = scoresOfR(r, q, Value(), c, k, zero, /*wholeRow=*/true, keyTile,
                         valueTile);
    OneTile scores = softmaxOneTile(x, /*entropy=*/true);
    Value bias = biasOfTurn(scores, exists);
    // First, so that the scores need not be kept for the entropy.
    tile::SendOp::create(b, loc, bias, exchange, turn, rowLimit, 2, 0);
    auto products = [&](Value rhs, int64_t part) {
      eachProduct(scores.probabilities, rhs, [&](Value v, int64_t from) {
        tile::SendOp::create(b, loc, v, exchange, turn, rowLimit, part, from);
      });
    };
    products(keyTile, 0);
    products(valueTile, 1);
    scf::YieldOp::create(b, loc, q);
  }

  b.restoreInsertionPoint(after);
  b.setInsertionPoint(b.getInsertionBlock()->getTerminator());
  role(ofL, ofR.getWarps());
  setProblem(l);
  int64_t run = m / own; // rows of one pair
  // Pairs past the slab's, or past the head's last, are in no frame.
  AffineExpr local = d(3) * own + d(4).floorDiv(run);
  AffineExpr pair = d(2) + d(3) * own + d(4).floorDiv(run) +
                    local.floorDiv(slabPairs) * pairs;
  Address rows = tokens({batch, head, m0, member}, pair.floorDiv(b2),
                        d(4) % run, pair % b2, /*isQuery=*/true);
  if (rowLimit)
    rows.inBounds[1] = false;
  if (b1 % run) {
    rows.limit = index(b1);
    rows.period = run;
  }
  Value q = load(arg(l.getQuery()), rows, m, element);
  State start = initialOfL(dv);
  auto loop = scf::ForOp::create(b, loc, zero, part.turns, one, flatten(start));
  {
    OpBuilder::InsertionGuard inner(b);
    b.setInsertionPointToStart(loop.getBody());
    SmallVector<Type> partTypes(type.getParts());
    auto parts = tile::ReceiveOp::create(b, loc, partTypes, exchange,
                                         loop.getInductionVar(), rowLimit);
    double scale = l.getScale().convertToDouble() * log2e;
    Value x = biased(scoresOfL(q, parts.getResult(0), /*groups=*/own),
                     parts.getResult(2), scale, /*groups=*/own);
    accumulate(loop, x, parts.getResult(1), /*groups=*/own);
  }
  State s = unflatten(loop.getResults(), /*entropy=*/false);
  s.sum = rowSum(s.sum);
  auto isLast = scf::IfOp::create(b, loc, part.isLast, /*withElseRegion=*/true);
  b.setInsertionPointToStart(isLast.thenBlock());
  storeOutput(withOtherParts(s, part, member), arg(l.getResult()), rows);
  b.setInsertionPointToStart(isLast.elseBlock());
  // Nobody waits for a part without turns.
  auto some = scf::IfOp::create(b, loc, part.some, /*withElseRegion=*/false);
  b.setInsertionPointToStart(some.thenBlock());
  storePart(s, part, member);
  return success();
}

/// Clusters from `whole` on have parts of slabs: first all slabs' first part,
/// then their second, ... Few turns are shared by less, so that there is
/// something to do before what they have is put together; parts past those have
/// none.
ProgramBuilder::Part ProgramBuilder::partOf(Value cluster, Value turns) {
  Value whole = args.lookup("whole"), parts = args.lookup("parts");
  Value cut = minus(args.lookup("slab_count"), whole);
  Part part;
  part.cut = cut;
  part.ofCut = minus(cluster, whole);
  Value isCut = compare(arith::CmpIPredicate::sge, cluster, whole);
  // Sums of comparisons and divisions by constants, which take no registers but
  // those that a warp shares: a quotient of two numbers would.
  Value zero = index(0), number = zero, share = turns;
  for (int64_t i = 1; i < mostSlabParts; ++i)
    number = plus(number, select(compare(arith::CmpIPredicate::sge, part.ofCut,
                                         times(cut, index(i))),
                                 index(1), zero));
  number = select(isCut, number, zero);
  for (int64_t n = 2; n <= mostSlabParts; ++n)
    share = select(compare(arith::CmpIPredicate::eq, parts, index(n)),
                   apply(map(1, {d(0).ceilDiv(n)}), {turns}), share);
  share = arith::MaxSIOp::create(b, loc, share, index(leastTurnsOfPart));
  share = select(isCut, share, turns);
  part.slab = select(isCut, plus(whole, minus(part.ofCut, times(number, cut))),
                     cluster);
  part.number = number;
  part.first = minOf(times(number, share), turns);
  Value end = minOf(plus(part.first, share), turns);
  part.turns = minus(end, part.first);
  part.some = compare(arith::CmpIPredicate::sgt, part.turns, zero);
  // Of parts without turns none is the last.
  part.isLast = both(compare(arith::CmpIPredicate::eq, end, turns), part.some);
  return part;
}

/// Rows of a part: their maximum, or sum.
Address ProgramBuilder::partRows(Value ofCut, Value member, int64_t which) {
  return {{ofCut, member},
          map(3, {d(0), d(1), b.getAffineConstantExpr(which), d(2)}),
          SmallVector<bool>(4, true),
          Value()};
}

Address ProgramBuilder::partOutputs(Value ofCut, Value member) {
  return {{ofCut, member},
          map(3, {d(0), d(1), d(2)}),
          SmallVector<bool>(3, true),
          Value()};
}

Value ProgramBuilder::counterOfPart(Value ofCut, Value member) {
  return apply(map(2, {d(0) * op.getBeside()->getCluster() + d(1)}),
               {ofCut, member});
}

void ProgramBuilder::storePart(const State &s, const Part &part, Value member) {
  Value rows = args.lookup("part_rows");
  store(s.max, rows, partRows(part.ofCut, member, 0));
  store(s.sum, rows, partRows(part.ofCut, member, 1));
  store(s.acc[0], args.lookup("part_outputs"), partOutputs(part.ofCut, member));
  tile::AddCountOp::create(b, loc, args.lookup("counters"),
                           counterOfPart(part.ofCut, member), /*reads=*/false);
}

/// `s`, the last part's, with what those before it have.
ProgramBuilder::State
ProgramBuilder::withOtherParts(const State &s, const Part &part, Value member) {
  // Those of a slab are as far apart as there are slabs. A loop with constant
  // bounds has nothing that waits in registers from the start of the program.
  auto loop = scf::ForOp::create(b, loc, index(1), index(mostSlabParts),
                                 index(1), flatten(s));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  State mine = unflatten(loop.getRegionIterArgs(), /*entropy=*/false);
  Value other = minus(part.ofCut, times(loop.getInductionVar(), part.cut));
  auto exists =
      scf::IfOp::create(b, loc, loop.getResultTypes(),
                        compare(arith::CmpIPredicate::sge, other, index(0)),
                        /*withElseRegion=*/true);
  scf::YieldOp::create(b, loc, exists.getResults());
  b.setInsertionPointToStart(exists.elseBlock());
  scf::YieldOp::create(b, loc, flatten(mine));
  b.setInsertionPointToStart(exists.thenBlock());
  tile::AwaitCountOp::create(b, loc, args.lookup("counters"),
                             counterOfPart(other, member), index(1),
                             /*reset=*/true);
  Value rows = args.lookup("part_rows");
  State its;
  its.max = load(rows, partRows(other, member, 0), m, b.getF32Type());
  its.sum = load(rows, partRows(other, member, 1), m, b.getF32Type());
  its.acc.push_back(load(args.lookup("part_outputs"),
                         partOutputs(other, member), m, b.getF32Type()));
  Value max = arith::MaximumFOp::create(b, loc, mine.max, its.max);
  State both = withMaximum(mine, max);
  its = withMaximum(its, max);
  both.sum = arith::AddFOp::create(b, loc, both.sum, its.sum);
  both.acc[0] = arith::AddFOp::create(b, loc, both.acc[0], its.acc[0]);
  scf::YieldOp::create(b, loc, flatten(both));
  return unflatten(loop.getResults(), /*entropy=*/false);
}
