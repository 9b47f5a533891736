//===- ProgramDense.cpp - dense attention ---------------------------------===//

#include "ProgramBuilder.h"

using namespace mlir;
using namespace monarch;

LogicalResult ProgramBuilder::buildDense(DenseOp step) {
  Extents view = viewExtents(g, g.queryFrames);
  int64_t perFrame = view[1] * view[2];
  double scale = step.getScale().convertToDouble() * log2e;
  // One program stays inside a frame, so that its rows see the same keys (A4).
  SmallVector<Value> program =
      open({static_cast<int64_t>(step.getFrames()), ceilDiv(perFrame, m)});
  Value frame = program[0], m0 = apply(map(1, {d(0) * m}), {program[1]});
  Address rows = linearTokens({batch, head, frame, m0}, d(2), d(3) + d(4));
  if (perFrame % m)
    rows.limit = apply(map(1, {perFrame - d(0)}), {m0});
  Value q = load(arg(step.getQuery()), rows, m, element);
  Value key = arg(step.getKey()), value = arg(step.getValue());
  Value mask = step.getKeyMask() ? arg(step.getKeyMask()) : Value();
  int64_t dv = cast<MemRefType>(value.getType()).getShape().back();

  Value frames = keyFrames ? keyFrames : index(viewExtents(g, g.keyFrames)[0]);
  if (causal)
    frames = minOf(frames, visibleFrames(frame));
  Value count = apply(map(1, {d(0) * perFrame}), {frames});
  bool fixed = !keyFrames && !causal;
  bool ragged = !fixed || g.keyTokens() % n != 0;
  auto loop = scf::ForOp::create(b, loc, index(0), count, index(n),
                                 flatten(initial({dv}, false)));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value t0 = loop.getInductionVar();
    Value limit;
    if (ragged)
      limit = arith::SubIOp::create(b, loc, count, t0);
    auto address = [&](bool isMask) {
      Address at = linearTokens({batch, head, t0}, b.getAffineConstantExpr(0),
                                d(2) + d(3), isMask);
      at.limit = limit;
      return at;
    };
    Address at = address(false);
    Value keyTile = load(key, at, n, element);
    Value valueTile = load(value, at, n, element);
    Value valid;
    if (mask) {
      valid = maskBits(mask, address(true));
      keyTile = withoutRows(keyTile, valid);
      valueTile = withoutRows(valueTile, valid);
    } else if (ragged) {
      valid = inBounds(key, at, n);
    }
    Value s = dot(q, keyTile, Value(), n, /*transposeRhs=*/true);
    Value x = arith::MulFOp::create(b, loc, s, splat(scale, {m, n}));
    if (valid)
      x = masked(x, valid);
    accumulate(loop, x, valueTile);
  }
  storeOutput(loop, arg(step.getResult()), rows);
  return success();
}
