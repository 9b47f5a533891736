//===- Factorize.cpp - monarch-factorize: problem to steps ----------------===//

#include "PassDetail.h"

#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_MONARCHFACTORIZE
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

/// Rewrites one attention op as the formulas of docs/semantics.md, t = 1..T.
static Value factorize(OpBuilder &b, AttentionOp op) {
  const Geometry &g = op.getGeometry().getValue();
  auto query = cast<RankedTensorType>(op.getQuery().getType());
  int64_t headDim = query.getDimSize(3);
  int64_t valueDim =
      cast<RankedTensorType>(op.getValue().getType()).getDimSize(3);
  auto factor = [&](int64_t last) {
    SmallVector<int64_t> shape = {query.getDimSize(0), query.getDimSize(2),
                                  g.queryTiles() * g.b2(),
                                  g.keyTiles() * g.b1()};
    if (last)
      shape.push_back(last);
    return RankedTensorType::get(shape, b.getF32Type());
  };
  Location loc = op.getLoc();
  Value state, weight, out;
  for (uint64_t t = 1; t <= op.getIterations(); ++t) {
    bool last = t == op.getIterations();
    auto r = RStepOp::create(
        b, loc, factor(headDim), last ? Type(factor(valueDim)) : Type(), Type(),
        op.getQuery(), op.getKey(), last ? op.getValue() : Value(), state,
        weight, op.getKeyFrames(), op.getKeyMask(), op.getGeometry(),
        op.getScale(), op.getTemperatureFloor(), op.getCausalFrames(),
        op.getCausalOffset(), "two_pass");
    Value cL = EntropyOp::create(
        b, loc, factor(0), op.getQuery(), op.getKey(), state, weight,
        op.getKeyFrames(), op.getKeyMask(), op.getGeometry(), op.getScale(),
        op.getTemperatureFloor(), op.getCausalFrames(), op.getCausalOffset());
    if (last) {
      out = LStepOp::create(b, loc, op.getResult().getType(), op.getQuery(),
                            r.getAL(), cL, r.getY(), op.getKeyFrames(),
                            op.getGeometry(), op.getScale(),
                            op.getCausalFrames(), op.getCausalOffset());
      continue;
    }
    auto next = RedistributeOp::create(
        b, loc, factor(headDim), factor(0), op.getQuery(), r.getAL(), cL,
        op.getKeyFrames(), op.getGeometry(), op.getScale(),
        op.getCausalFrames(), op.getCausalOffset());
    state = next.getAR();
    weight = next.getCR();
  }
  if (uint64_t frames = op.getRecomputeFrames()) {
    Value dense = DenseOp::create(
        b, loc, op.getResult().getType(), op.getQuery(), op.getKey(),
        op.getValue(), op.getKeyFrames(), op.getKeyMask(), op.getGeometry(),
        frames, op.getScale(), op.getCausalFrames(), op.getCausalOffset());
    out = ReplaceFramesOp::create(b, loc, out, dense, op.getGeometry(), frames);
  }
  return out;
}

namespace {
struct Factorize : monarch::impl::MonarchFactorizeBase<Factorize> {
  void runOnOperation() override {
    getOperation().walk([&](AttentionOp op) {
      OpBuilder b(op);
      op.replaceAllUsesWith(factorize(b, op));
      op.erase();
      ++factorized;
    });
    setLevel(getOperation(), "steps");
  }
};
} // namespace
