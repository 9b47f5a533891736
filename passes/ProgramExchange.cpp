//===- ProgramExchange.cpp - R and L in one cluster -----------------------===//

#include "ProgramBuilder.h"

using namespace mlir;
using namespace monarch;

/// R and L side by side in the programs of a cluster. A slab's rows are R's
/// rows of every member, each for its own (k, c); after every turn a member
/// holds, for its share of the pairs, the rows of all members. Member r takes
/// the (k, c) numbered r*turns .. r*turns + turns with c fastest, so that its
/// query rows stay the same while c runs. Numbers past the last (k, c) give
/// rows without weight.
LogicalResult ProgramBuilder::buildExchange(RStepOp r, LStepOp l) {
  ScheduleAttr ofR = *op.getSchedule(), ofL = *op.getBeside();
  int64_t members = ofR.getCluster(), own = ofR.getRows() / members;
  int64_t pairs = pairCount(), b1 = g.b1(), b2 = g.b2();
  if (ofR.getKind() != "wgmma" || ofL.getKind() != "mma_sync" || members < 2 ||
      ofL.getCluster() != members || ofL.getElement() != ofR.getElement() ||
      r.getSoftmax() != "one_tile" || g.b2() > ofR.getColumns() ||
      r.getState() || r.getKeyMask() || causal || g.sequenceTokens ||
      slabPairs > ofR.getRows() || ofR.getRows() % members ||
      ofL.getColumns() != members || ofL.getRows() % own ||
      ofL.getRows() / own < b1 || ofL.getRows() / own % 16)
    return op.emitOpError("expected schedules of one cluster and element: of R "
                          "wgmma with whole rows, a slab a program, of L "
                          "mma_sync with the rows of ")
           << own << " pairs against " << members << " keys";
  Value member = open({members})[0];
  Value tiles = keyTiles(), one = index(1), zero = index(0);
  auto divide = [&](Value x, Value by) -> Value {
    return arith::DivUIOp::create(b, loc, x, by);
  };
  auto plus = [&](Value x, Value y) -> Value {
    return arith::AddIOp::create(b, loc, x, y);
  };
  auto times = [&](Value x, Value y) -> Value {
    return arith::MulIOp::create(b, loc, x, y);
  };
  Value turns =
      divide(plus(times(tiles, index(b1)), index(members - 1)), index(members));
  Value first = times(member, turns);
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
    auto loop = scf::ForOp::create(b, loc, zero, turns, one, none);
    b.setInsertionPointToStart(loop.getBody());
    Value turn = loop.getInductionVar(), number = plus(first, turn);
    Value row = divide(number, tiles);
    Value c = arith::RemUIOp::create(b, loc, number, tiles);
    Value exists = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, row,
                                         index(b1));
    Value k = minOf(row, index(b1 - 1));
    Value isNew = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                        minOf(c, turn), index(teams));
    Value q = rowsOfTurn(isNew, loop.getRegionIterArg(0), [&] {
      return rowsOfR(arg(r.getQuery()), m0, k, rowLimit);
    });
    Value keyTile, valueTile;
    Value x = scoresOfR(r, q, Value(), c, k, zero, keyTile, valueTile);
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
  // The sum is kept by column and added up at the end: no thread waits for
  // others in a turn but for the maximum.
  State start = initial({dv}, false);
  start.sum = splat(0, {m, n});
  auto loop = scf::ForOp::create(b, loc, zero, turns, one, flatten(start));
  {
    OpBuilder::InsertionGuard inner(b);
    b.setInsertionPointToStart(loop.getBody());
    SmallVector<Type> partTypes(type.getParts());
    auto parts = tile::ReceiveOp::create(b, loc, partTypes, exchange,
                                         loop.getInductionVar(), rowLimit);
    double scale = l.getScale().convertToDouble() * log2e;
    Value x = biasedScores(q, parts.getResult(0), parts.getResult(2), scale,
                           /*groups=*/own);
    accumulate(loop, x, parts.getResult(1), /*groups=*/own);
  }
  storeOutput(loop, arg(l.getResult()), rows);
  return success();
}
