//===- FuseOnlineEntropy.cpp - monarch-fuse-online-entropy ----------------===//

#include "PassDetail.h"

#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_MONARCHFUSEONLINEENTROPY
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

/// True when both read the same scores.
static bool sameScores(RStepOp r, EntropyOp e) {
  return r.getQuery() == e.getQuery() && r.getKey() == e.getKey() &&
         r.getState() == e.getState() &&
         r.getStateWeight() == e.getStateWeight() &&
         r.getKeyFrames() == e.getKeyFrames() &&
         r.getKeyMask() == e.getKeyMask() &&
         r.getGeometry() == e.getGeometry() &&
         r.getScaleAttr() == e.getScaleAttr() &&
         r.getTemperatureFloorAttr() == e.getTemperatureFloorAttr() &&
         r.getCausalFrames() == e.getCausalFrames() &&
         r.getCausalOffset() == e.getCausalOffset();
}

namespace {
struct FuseOnlineEntropy
    : monarch::impl::MonarchFuseOnlineEntropyBase<FuseOnlineEntropy> {
  using MonarchFuseOnlineEntropyBase::MonarchFuseOnlineEntropyBase;

  /// The widest row that one tile holds. On a GPU key and value tiles have to
  /// fit in shared memory, in two stages unless TMA fills them, and a row's
  /// scores in registers: with mma.sync ptxas spills past 160 of them
  /// (docs/performance.md).
  int64_t tileColumns(RStepOp r) {
    int64_t limit = maxTileColumns;
    TargetAttr target = targetOf(getOperation());
    if (target && target.getSharedMemory()) {
      auto type = cast<RankedTensorType>(r.getKey().getType());
      int64_t rowBytes =
          2 * type.getDimSize(3) * (type.getElementTypeBitWidth() / 8);
      bool wgmma = target.getKind() == "wgmma" &&
                   keysFormBoxes(r.getGeometry().getValue());
      int64_t stages = wgmma ? 1 : 2;
      limit =
          std::min({limit, int64_t(wgmma ? 256 : 160),
                    target.getSharedMemory() / (stages * rowBytes) / 8 * 8});
    }
    return limit;
  }

  void runOnOperation() override {
    SmallVector<EntropyOp> entropies;
    getOperation().walk([&](EntropyOp e) { entropies.push_back(e); });
    for (EntropyOp e : entropies) {
      RStepOp r;
      for (Operation *user : e.getQuery().getUsers())
        if (auto candidate = dyn_cast<RStepOp>(user))
          if (!candidate.getCL() && candidate->getBlock() == e->getBlock() &&
              sameScores(candidate, e))
            r = candidate;
      if (!r) {
        e.emitRemark("not fused: no r_step reads the same scores");
        continue;
      }
      bool oneTile = r.getGeometry().getValue().b2() <= tileColumns(r);
      OpBuilder b(r);
      auto fused = RStepOp::create(
          b, r.getLoc(), r.getAL().getType(),
          r.getY() ? r.getY().getType() : Type(), e.getCL().getType(),
          r.getQuery(), r.getKey(), r.getValue(), r.getState(),
          r.getStateWeight(), r.getKeyFrames(), r.getKeyMask(), r.getGeometry(),
          r.getScale(), r.getTemperatureFloor(), r.getCausalFrames(),
          r.getCausalOffset(), oneTile ? "one_tile" : "online");
      r.getAL().replaceAllUsesWith(fused.getAL());
      if (r.getY())
        r.getY().replaceAllUsesWith(fused.getY());
      e.getCL().replaceAllUsesWith(fused.getCL());
      e.erase();
      r.erase();
      ++fusedSteps;
    }
  }
};
} // namespace
