//===- FuseSteps.cpp - monarch-fuse-steps: steps to kernels ---------------===//

#include "PassDetail.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_MONARCHFUSESTEPS
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

/// Moves `steps`, consecutive producers of each other, into a new kernel.
static void wrap(ArrayRef<Operation *> steps, StringRef name) {
  Operation *last = steps.back();
  OpBuilder b(last);
  auto kernel =
      KernelOp::create(b, last->getLoc(), last->getResultTypes(),
                       b.getStringAttr(name), ScheduleAttr(), ScheduleAttr());
  Block &body = kernel.getBody().emplaceBlock();
  for (auto [inside, outside] :
       llvm::zip(last->getResults(), kernel.getResults()))
    inside.replaceAllUsesWith(outside);
  for (Operation *step : steps)
    step->moveBefore(&body, body.end());
  b.setInsertionPointToEnd(&body);
  YieldOp::create(b, last->getLoc(), last->getResults());
}

namespace {
struct FuseSteps : monarch::impl::MonarchFuseStepsBase<FuseSteps> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      llvm::StringMap<int> count;
      auto unique = [&](StringRef name) {
        int n = count[name]++;
        return n ? (name + "_" + Twine(n)).str() : name.str();
      };
      SmallVector<Operation *> steps;
      for (Operation &op : function.getOps())
        if (isa<RStepOp, EntropyOp, LStepOp, RedistributeOp, DenseOp>(op))
          steps.push_back(&op);
      for (Operation *step : steps) {
        StringRef name = step->getName().stripDialect();
        auto join = step->hasOneUse() && isa<DenseOp>(step)
                        ? dyn_cast<ReplaceFramesOp>(*step->user_begin())
                        : ReplaceFramesOp();
        // The join costs nothing when the dense kernel writes its frames into
        // the other output; alone it would copy a whole tensor.
        if (join && join.getWith() == step->getResult(0)) {
          wrap({step, join}, unique(name));
          ++fusedJoins;
        } else {
          wrap({step}, unique(name));
        }
        ++kernels;
      }
    }
  }
};
} // namespace
