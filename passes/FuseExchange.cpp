//===- FuseExchange.cpp - monarch-fuse-exchange ---------------------------===//

#include "PassDetail.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_MONARCHFUSEEXCHANGE
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

namespace {
struct FuseExchange : monarch::impl::MonarchFuseExchangeBase<FuseExchange> {
  /// The kernel of the R step that `l` reads, when nothing else reads it.
  static KernelOp writerOf(LStepOp l) {
    auto r = l.getAL().getDefiningOp<KernelOp>();
    if (!r || r == l->getParentOp())
      return {};
    for (Value v : r.getResults())
      for (Operation *user : v.getUsers())
        if (user != l)
          return {};
    return r;
  }

  static void fuse(KernelOp r, KernelOp l) {
    OpBuilder b(l);
    auto both = KernelOp::create(b, l.getLoc(), l.getResultTypes(),
                                 b.getStringAttr("attention"),
                                 r.getScheduleAttr(), l.getScheduleAttr());
    Block &body = both.getBody().emplaceBlock();
    auto yield = cast<YieldOp>(r.getBody().front().getTerminator());
    for (auto [outside, inside] :
         llvm::zip(r.getResults(), yield.getOperands()))
      outside.replaceAllUsesWith(inside);
    yield.erase();
    body.getOperations().splice(body.end(),
                                r.getBody().front().getOperations());
    body.getOperations().splice(body.end(),
                                l.getBody().front().getOperations());
    l.replaceAllUsesWith(both);
    l.erase();
    r.erase();
  }

  void runOnOperation() override {
    SmallVector<LStepOp> steps;
    getOperation().walk([&](LStepOp l) { steps.push_back(l); });
    for (LStepOp l : steps) {
      auto reader = l->getParentOfType<KernelOp>();
      if (!reader || !reader.getSchedule() || reader.getBeside() ||
          (reader.getSchedule()->getCluster() == 1 &&
           !reader.getSchedule()->getRing()))
        continue;
      KernelOp writer = writerOf(l);
      if (!writer || !writer.getSchedule() ||
          writer.getSchedule()->getCluster() !=
              reader.getSchedule()->getCluster() ||
          !writer.getSchedule()->getRing() !=
              !reader.getSchedule()->getRing()) {
        reader.emitOpError("expected to read one r_step whose schedule has the "
                           "same cluster of ")
            << reader.getSchedule()->getCluster() << ", or a ring as well";
        return signalPassFailure();
      }
      fuse(writer, reader);
      ++fused;
    }
  }
};
} // namespace
