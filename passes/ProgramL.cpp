//===- ProgramL.cpp - the L step, last or to redistribute -----------------===//

#include "ProgramBuilder.h"

using namespace mlir;
using namespace monarch;

LogicalResult ProgramBuilder::buildL(LStepOp step) {
  int64_t pairs = pairCount(), b1 = g.b1(), b2 = g.b2();
  double scale = step.getScale().convertToDouble() * log2e;
  SmallVector<Value> program = open({slabPairs, ceilDiv(b1, m)});
  Value local = program[0], pair = inHead(local);
  Value i0 = apply(map(1, {d(0) * m}), {program[1]});
  Value keys = arg(step.getAL()), bias = arg(step.getCL()),
        values = arg(step.getY());
  int64_t dv = cast<MemRefType>(values.getType()).getShape().back();

  Address rows = tokens({batch, head, pair, i0}, d(2).floorDiv(b2), d(3) + d(4),
                        d(2) % b2, /*isQuery=*/true);
  if (b1 % m)
    rows.limit = apply(map(1, {b1 - d(0)}), {i0});
  Value count =
      apply(map(1, {d(0) * b1}), {visibleTiles(pair, /*lastOfRows=*/false)});
  if (pairs % slabPairs) {
    // The last slab of a head has places for more pairs than there are: their
    // programs read no key and store nothing.
    Value exists = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                         pair, index(pairs));
    auto ifExists = [&](Value v) {
      return arith::SelectOp::create(b, loc, exists, v, index(0));
    };
    rows.limit = ifExists(rows.limit ? rows.limit : index(m));
    count = ifExists(count);
  }
  Value q = load(arg(step.getQuery()), rows, m, element);
  bool fixed = !keyFrames && !causal;
  bool ragged = !fixed || (g.keyTiles() * b1) % n != 0;
  auto loop = scf::ForOp::create(b, loc, index(0), count, index(n),
                                 flatten(initialOfL(dv)));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value kk = loop.getInductionVar();
    // What a box of memory has past the last key reads as zero; what the bias
    // has there is not looked at.
    bool inBulk = schedule.getKind() == "wgmma" && fixed;
    Value limit;
    if (ragged && !inBulk)
      limit = arith::SubIOp::create(b, loc, count, kk);
    Address at = factorRows({slab, local, kk}, d(1), d(2) + d(3), limit);
    Value biasTile = load(bias, at, n, b.getF32Type());
    if (ragged && inBulk)
      at.inBounds[2] = false;
    Value keyTile = load(keys, at, n, element);
    Value valueTile = load(values, at, n, element);
    Value valid = ragged ? inBounds(keys, at, n) : Value();
    Value x =
        biased(scoresOfL(q, keyTile), biasTile, scale, /*groups=*/1, valid);
    accumulate(loop, x, valueTile);
  }
  storeOutput(loop, arg(step.getResult()), rows);
  return success();
}

LogicalResult ProgramBuilder::buildRedistribute(RedistributeOp step) {
  int64_t pairs = pairCount(), b1 = g.b1(), b2 = g.b2();
  if (b1 > m)
    return step.emitOpError() << "expected a schedule with all " << b1
                              << " block rows in one tile, got " << m;
  double scale = step.getScale().convertToDouble() * log2e;
  Value pair = open({pairs})[0];
  Value keys = arg(step.getAL()), bias = arg(step.getCL());
  int64_t dim = cast<MemRefType>(keys.getType()).getShape().back();
  Address rows = tokens({batch, head, pair}, d(2).floorDiv(b2), d(3), d(2) % b2,
                        /*isQuery=*/true);
  if (b1 % m)
    rows.limit = index(b1);
  Value query = arg(step.getQuery());
  Value q = load(query, rows, m, element);
  Value count =
      apply(map(1, {d(0) * b1}), {visibleTiles(pair, /*lastOfRows=*/false)});

  auto scores = [&](Value kk, Address &at) {
    Value limit = arith::SubIOp::create(b, loc, count, kk);
    at = factorRows({slab, pair, kk}, d(1), d(2) + d(3), limit);
    Value keyTile = load(keys, at, n, element);
    Value biasTile = load(bias, at, n, b.getF32Type());
    Value x = biased(scoresOfL(q, keyTile), biasTile, scale);
    return masked(x, inBounds(bias, at, n));
  };
  // L is normalised over all keys (A1), so the sums over queries need a second
  // pass over them.
  auto first = scf::ForOp::create(b, loc, index(0), count, index(n),
                                  flatten(initial({}, false)));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(first.getBody());
    Address at;
    Value x = scores(first.getInductionVar(), at);
    State s = unflatten(first.getRegionIterArgs(), false);
    advance(s, x);
    scf::YieldOp::create(b, loc, flatten(s));
  }
  State s = unflatten(first.getResults(), false);
  Value inverse = broadcast(safeReciprocal(s.sum), 1, {m, n});
  Value valid = broadcast(inBounds(query, rows, m), 1, {m, n});
  auto second = scf::ForOp::create(b, loc, index(0), count, index(n));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(second.getBody());
  Address at;
  Value x = scores(second.getInductionVar(), at);
  Value p = math::Exp2Op::create(
      b, loc, arith::SubFOp::create(b, loc, x, broadcast(s.max, 1, {m, n})));
  Value l = arith::MulFOp::create(b, loc, p, inverse);
  l = arith::SelectOp::create(b, loc, valid, l, splat(0, {m, n})); // G3
  store(dot(l, q, Value(), dim, false, 0, /*transposeLhs=*/true),
        arg(step.getAR()), at);
  store(reduce(l, "sum", 0), arg(step.getCR()), at);
  return success();
}
