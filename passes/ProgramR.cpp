//===- ProgramR.cpp - the R step and its entropy --------------------------===//

#include "ProgramBuilder.h"

using namespace mlir;
using namespace monarch;

/// Rows of queries: row d4 is (a, j) = (firstPair + d4) div and mod b2, at k.
Value ProgramBuilder::rowsOfR(Value query, Value firstPair, Value k,
                              Value limit) {
  int64_t b2 = g.b2();
  Address at = tokens({batch, head, firstPair, k}, (d(2) + d(4)).floorDiv(b2),
                      d(3), (d(2) + d(4)) % b2, /*isQuery=*/true);
  at.limit = limit;
  return load(query, at, m, element);
}

/// Scores of rows `q`, times `rowScale` or the step's scale, with columns
/// l0 .. l0 + n of block row k of key tile c. Of a whole row the scale can
/// wait: the largest score is the same before and after.
template <typename Op>
ProgramBuilder::Scores
ProgramBuilder::scoresOfR(Op step, Value q, Value rowScale, Value c, Value k,
                          Value l0, bool wholeRow, Value &keyTile,
                          Value &valueTile) {
  auto r = dyn_cast<RStepOp>(step.getOperation());
  Value key = arg(step.getKey());
  Value values = r && r.getValue() ? arg(r.getValue()) : Value();
  Value mask = step.getKeyMask() ? arg(step.getKeyMask()) : Value();
  int64_t b2 = g.b2();
  bool ragged = b2 % n != 0;
  Value limit;
  if (ragged)
    limit = apply(map(1, {b2 - d(0)}), {l0});
  auto address = [&](bool isMask) {
    Address at = tokens({batch, head, c, k, l0}, d(2), d(3), d(4) + d(5),
                        /*isQuery=*/false, isMask);
    at.limit = limit;
    return at;
  };
  Address at = address(false);
  keyTile = load(key, at, n, element);
  if (values)
    valueTile = load(values, at, n, element);
  Value valid;
  if (mask) {
    valid = maskBits(mask, address(true));
    keyTile = withoutRows(keyTile, valid);
    if (values)
      valueTile = withoutRows(valueTile, valid);
  } else if (ragged || llvm::is_contained(at.inBounds, false)) {
    valid = inBounds(key, at, n);
  }
  double scale = step.getScale().convertToDouble() * log2e;
  Value x = dot(q, keyTile, Value(), n, /*transposeRhs=*/true);
  // Times the scale masked scores have to stay finite, and far below others.
  bool canWait = wholeRow && !rowScale && scale > 0x1p-24 && scale < 0x1p24;
  if (!canWait)
    x = arith::MulFOp::create(b, loc, x,
                              rowScale ? broadcast(rowScale, 1, {m, n})
                                       : splat(scale, {m, n}));
  return {valid ? masked(x, valid) : x, canWait ? scale : 1};
}

ProgramBuilder::OneTile ProgramBuilder::softmaxOneTile(const Scores &x,
                                                       bool entropy) {
  OneTile row;
  row.max = rowMax(x.tile);
  Value t;
  if (x.scale == 1) {
    t = arith::SubFOp::create(b, loc, x.tile, broadcast(row.max, 1, {m, n}));
  } else {
    // One fma a score in place of a product and a difference.
    Value below = arith::MulFOp::create(b, loc, row.max, splat(-x.scale, {m}));
    t = math::FmaOp::create(b, loc, x.tile, splat(x.scale, {m, n}),
                            broadcast(below, 1, {m, n}));
  }
  Value p = math::Exp2Op::create(b, loc, t);
  row.sum = rowSum(p);
  if (entropy)
    row.entropy = rowSum(arith::MulFOp::create(b, loc, p, t));
  // Normalise the b2 probabilities, not the wider outputs.
  Value inverse = broadcast(safeReciprocal(row.sum), 1, {m, n});
  row.probabilities = asOperand(arith::MulFOp::create(b, loc, p, inverse));
  return row;
}

Value ProgramBuilder::rowsOfTurn(Value isNew, Value kept,
                                 llvm::function_ref<Value()> load) {
  auto branch = scf::IfOp::create(b, loc, kept.getType(), isNew, true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  scf::YieldOp::create(b, loc, load());
  b.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(b, loc, kept);
  return branch.getResult(0);
}

Value ProgramBuilder::biasOfTurn(const OneTile &scores, Value exists) {
  Value bias = entropyTerm(scores.max, scores.sum, scores.entropy);
  return arith::SelectOp::create(
      b, loc, exists, bias, splat(std::numeric_limits<float>::infinity(), {m}));
}

void ProgramBuilder::eachProduct(Value probabilities, Value rhs,
                                 llvm::function_ref<void(Value, int64_t)> use) {
  int64_t columns = cast<RankedTensorType>(rhs.getType()).getDimSize(1);
  int64_t chunk = std::min(schedule.getChunk(), columns);
  for (int64_t from = 0; from < columns; from += chunk)
    use(dot(probabilities, rhs, Value(), chunk, false, from), from);
}

template <typename Op> LogicalResult ProgramBuilder::buildR(Op step) {
  auto r = dyn_cast<RStepOp>(step.getOperation());
  Value value = r ? r.getValue() : Value();
  bool wantAL = static_cast<bool>(r);
  bool oneTile = r ? r.getSoftmax() != "online" && g.b2() <= n : g.b2() <= n;
  Value cLDest =
      r ? (r.getCL() ? arg(r.getCL()) : Value()) : arg(step->getResult(0));
  int64_t pairs = pairCount(), b2 = g.b2(), b1 = g.b1();
  double scale = step.getScale().convertToDouble() * log2e;

  // Row k is the fastest index: programs side by side write neighbouring rows
  // of the intermediate. On wgmma R moves as fast as the memory lets it: there
  // slabs are, whose programs read the same keys at the same time, so that the
  // memory is read once.
  SmallVector<Value> program =
      open({ceilDiv(slabPairs, m), b1}, schedule.getKind() == "wgmma");
  Value local = apply(map(1, {d(0) * m}), {program[0]}), k = program[1];
  Value m0 = inHead(local);
  Value rowLimit;
  if (pairs % m)
    rowLimit = apply(map(1, {pairs - d(0)}), {m0});
  Value state = step.getState() ? arg(step.getState()) : Value();
  Value query = arg(step.getQuery());
  Value values = value ? arg(value) : Value();
  int64_t dim = cast<MemRefType>(query.getType()).getShape().back();

  Value q;
  if (!state)
    q = rowsOfR(query, m0, k, rowLimit);

  auto loop = scf::ForOp::create(
      b, loc, index(0), visibleTiles(m0, /*lastOfRows=*/true), index(1));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value c = loop.getInductionVar();
  Value kk = apply(map(2, {d(0) * b1 + d(1)}), {c, k});

  Value rowScale;
  if (state) {
    Address at = factorRows({slab, local, kk}, d(1) + d(3), d(2), rowLimit);
    q = load(state, at, m, element);
    Value weight = load(arg(step.getStateWeight()), at, m, b.getF32Type());
    double floor = step.getTemperatureFloor().convertToDouble();
    rowScale = arith::DivFOp::create(
        b, loc, splat(scale, {m}),
        arith::MaximumFOp::create(b, loc, weight, splat(floor, {m})));
  }

  Address aLRows = factorRows({slab, local, kk}, d(1) + d(3), d(2), rowLimit);
  if (oneTile) {
    Value keyTile, valueTile;
    Scores x = scoresOfR(step, q, rowScale, c, k, index(0), /*wholeRow=*/true,
                         keyTile, valueTile);
    OneTile row = softmaxOneTile(x, static_cast<bool>(cLDest));
    if (cLDest)
      store(entropyTerm(row.max, row.sum, row.entropy), cLDest, aLRows);
    if (wantAL) {
      auto products = [&](Value rhs, Value dest) {
        eachProduct(row.probabilities, rhs, [&](Value v, int64_t from) {
          store(v, dest, aLRows, from);
        });
      };
      products(keyTile, arg(r.getAL()));
      if (values)
        products(valueTile, arg(r.getY()));
    }
    return success();
  }

  SmallVector<int64_t> widths;
  if (wantAL)
    widths.push_back(dim);
  if (values)
    widths.push_back(cast<MemRefType>(values.getType()).getShape().back());
  State first = initial(widths, /*entropy=*/true);
  auto inner = scf::ForOp::create(b, loc, index(0), index(ceilDiv(b2, n)),
                                  index(1), flatten(first));
  {
    OpBuilder::InsertionGuard innerGuard(b);
    b.setInsertionPointToStart(inner.getBody());
    Value l0 = apply(map(1, {d(0) * n}), {inner.getInductionVar()});
    Value keyTile, valueTile;
    Value x = scoresOfR(step, q, rowScale, c, k, l0, /*wholeRow=*/false,
                        keyTile, valueTile)
                  .tile;
    State s = unflatten(inner.getRegionIterArgs(), true);
    Value p = advance(s, x);
    if (wantAL) {
      Value probs = asOperand(p);
      s.acc[0] = dot(probs, keyTile, s.acc[0], widths[0]);
      if (values)
        s.acc[1] = dot(probs, valueTile, s.acc[1], widths[1]);
    }
    scf::YieldOp::create(b, loc, flatten(s));
  }
  State s = unflatten(inner.getResults(), true);
  if (cLDest)
    store(entropyTerm(s.max, s.sum, s.entropy), cLDest, aLRows);
  Value inverse = safeReciprocal(s.sum);
  auto finish = [&](Value acc, Value dest) {
    auto shape = cast<RankedTensorType>(acc.getType()).getShape();
    store(arith::MulFOp::create(b, loc, acc, broadcast(inverse, 1, shape)),
          dest, aLRows);
  };
  if (wantAL)
    finish(s.acc[0], arg(r.getAL()));
  if (values)
    finish(s.acc[1], arg(r.getY()));
  return success();
}

template ProgramBuilder::Scores
ProgramBuilder::scoresOfR<RStepOp>(RStepOp, Value, Value, Value, Value, Value,
                                   bool, Value &, Value &);
template LogicalResult ProgramBuilder::buildR<RStepOp>(RStepOp);
template LogicalResult ProgramBuilder::buildR<EntropyOp>(EntropyOp);
