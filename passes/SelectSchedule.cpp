//===- SelectSchedule.cpp - monarch-select-schedule -----------------------===//
//
// Target and shape to a schedule, by rule (ScheduleChoice.h), and where several
// fit by what they cost (ScheduleCost.h), or as asked for: the same input
// always gives the same schedule, nothing is measured.
//
//===----------------------------------------------------------------------===//

#include "ScheduleChoice.h"

#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_MONARCHSELECTSCHEDULE
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

namespace {

bool isCausal(Operation *step) {
  auto frames = step->getAttrOfType<IntegerAttr>("causal_frames");
  return frames && frames.getInt();
}

/// Whether every query reads the same keys, known now.
bool hasFixedKeys(Operation *step) {
  return !isCausal(step) &&
         llvm::none_of(step->getOperandTypes(), llvm::IsaPred<IndexType>);
}

/// `kernel.part=value` of the module's request.
struct Request {
  StringRef kernel, part, value;
};

/// A part of a schedule that can be asked for, the number that it is and the
/// least one; no number where more than one step or rule looks at it.
struct Part {
  StringLiteral name;
  int64_t Choice::*number = nullptr;
  int64_t least = 1;
};
constexpr Part parts[] = {{"kind"},
                          {"rows", &Choice::rows},
                          {"columns", &Choice::columns},
                          {"warps", &Choice::warps},
                          {"stages", &Choice::stages},
                          {"chunk", &Choice::chunk},
                          {"cluster"},
                          {"clusters"},
                          {"ring"},
                          {"slots"},
                          {"rest", &Choice::rest, 0},
                          {"producer", &Choice::producer, 0}};

/// The part of that name, null when there is none.
const Part *partNamed(StringRef name) {
  const Part *part =
      llvm::find_if(parts, [&](const Part &part) { return part.name == name; });
  return part == std::end(parts) ? nullptr : part;
}

/// "kind, rows, ... or producer".
std::string partNames() {
  ArrayRef<Part> all = parts;
  return llvm::join(llvm::map_range(all.drop_back(),
                                    [](const Part &part) { return part.name; }),
                    ", ") +
         " or " + all.back().name.str();
}

struct SelectSchedule
    : monarch::impl::MonarchSelectScheduleBase<SelectSchedule> {
  /// The GPU end does not do everything yet; what it does not is refused by
  /// the name of the option, never replaced.
  LogicalResult checkSupported(Operation *step, const Shape &s,
                               TargetAttr target) {
    auto refuse = [&](const Twine &what) {
      return step->emitOpError() << what << " is not supported on target "
                                 << target.getChip() << "; use target host";
    };
    if (isa<RedistributeOp>(step))
      return refuse("iterations > 1");
    if (isa<EntropyOp>(step))
      return refuse("an entropy that is not fused with its r_step");
    if (isa<ReplaceFramesOp>(step))
      return refuse("recompute_frames > 0");
    for (Value operand : step->getOperands())
      if (getElementTypeOrSelf(operand.getType()).isInteger(1))
        return refuse("key_mask");
    if (!s.element.isBF16() && !s.element.isF16())
      return step->emitOpError()
             << "dtype f32 is not supported on target " << target.getChip()
             << " (expected bf16 or f16); use target host";
    if (s.headDim != s.valueDim || (s.headDim != 64 && s.headDim != 128))
      return step->emitOpError()
             << "head_dim " << s.headDim << " with value dim " << s.valueDim
             << " is not supported on target " << target.getChip()
             << " (expected both 64 or both 128); use target host";
    return success();
  }

  LogicalResult readRequests() {
    auto attr =
        getOperation()->getAttrOfType<StringAttr>(scheduleRequestAttrName);
    if (!attr)
      return success();
    SmallVector<StringRef> texts;
    attr.getValue().split(texts, ',', -1, /*KeepEmpty=*/false);
    for (StringRef text : texts) {
      auto [name, value] = text.split('=');
      auto [kernel, part] = name.split('.');
      if (!partNamed(part) || value.empty())
        return getOperation().emitError(
                   "schedule: expected kernel.part=value with part ")
               << partNames() << ", got '" << text << "'";
      for (const Request &other : requests)
        if (other.kernel == kernel && other.part == part)
          return getOperation().emitError("schedule: '")
                 << name << "' is given twice";
      requests.push_back({kernel, part, value});
    }
    SmallVector<StringRef> kernels;
    getOperation().walk(
        [&](KernelOp kernel) { kernels.push_back(kernel.getName()); });
    for (const Request &request : requests)
      if (!llvm::is_contained(kernels, request.kernel))
        return getOperation().emitError(
                   "schedule: expected one of the kernels ")
               << llvm::join(kernels, ", ") << ", got '" << request.kernel
               << "'";
    getOperation()->removeAttr(scheduleRequestAttrName);
    return success();
  }

  /// Replaces what was asked for by number.
  LogicalResult apply(Choice &c, KernelOp kernel) {
    for (const Request &request : requests) {
      if (request.kernel != kernel.getName())
        continue;
      c.why += (c.why.empty() ? "" : "; ") + request.part.str() + " as asked";
      const Part &part = *partNamed(request.part);
      if (!part.number)
        continue;
      int64_t value;
      if (request.value.getAsInteger(10, value) || value < part.least)
        return kernel.emitOpError("schedule: expected a number from ")
               << part.least << " for " << part.name << ", got '"
               << request.value << "'";
      c.*part.number = value;
    }
    return success();
  }

  /// The cluster that an R or L step runs in, by rule or as asked; 0 after an
  /// error. Both steps decide alike: r_step.cluster is asked for, and an r_step
  /// on mma.sync has none.
  int64_t clusterFor(Operation *step, const Shape &s, TargetAttr target) {
    int64_t most = 1;
    if (target.getKind() == "wgmma" && isa<RStepOp, LStepOp>(step) &&
        keysFormBoxes(s.geometry))
      most = clusterOf(s, isCausal(step), target);
    for (const Request &request : requests)
      if (request.kernel == "r_step" && request.part == "kind" &&
          request.value != "wgmma")
        most = 1;
    StepPair steps = s.stepsOn(target);
    bool pays = most > 1 && clocksOfClusters(steps, most) < clocksApart(steps);
    int64_t cluster = pays ? most : 1;
    bool asked = false;
    for (const Request &request : requests) {
      if (request.part != "cluster")
        continue;
      asked = true;
      bool known = !request.value.getAsInteger(10, cluster);
      if (request.kernel != "r_step" || !known ||
          (cluster != 1 && cluster != most && !(most == 8 && cluster == 16))) {
        step->emitOpError("schedule: expected ")
            << "r_step.cluster=1"
            << (most == 8    ? ", 8 or 16"
                : most == 16 ? " or 16"
                             : "")
            << ", got " << request.kernel << ".cluster=" << request.value;
        return 0;
      }
    }
    if (most > cluster && !asked && isa<RStepOp>(step))
      step->emitRemark() << "no cluster of " << most
                         << comparison(clocksOfClusters(steps, most), steps);
    return cluster;
  }

  /// How many clusters run at once, by rule or as asked, for both steps alike;
  /// 0 after an error.
  int64_t clustersFor(Operation *step, int64_t cluster, TargetAttr target) {
    int64_t clusters = clustersAtOnce(target.getMultiprocessors(), cluster);
    for (const Request &request : requests) {
      if (request.part != "clusters")
        continue;
      if (request.kernel != "r_step" || cluster == 1 ||
          request.value.getAsInteger(10, clusters) || clusters < 1 ||
          clusters > 128) {
        step->emitOpError("schedule: expected r_step.clusters=1 to 128, with a "
                          "cluster, got ")
            << request.kernel << ".clusters=" << request.value
            << " with r_step.cluster=" << cluster;
        return 0;
      }
    }
    return clusters;
  }

  /// The ring of an R or L step, by rule or as asked, for both alike. Failure
  /// after an error.
  FailureOr<RingChoice> ringFor(Operation *step, const Shape &s,
                                TargetAttr target) {
    bool possible = target.getKind() == "wgmma" &&
                    isa<RStepOp, LStepOp>(step) && keysFormBoxes(s.geometry);
    std::optional<int64_t> programs, slots;
    for (const Request &request : requests) {
      if (request.part == "kind" || request.part == "cluster")
        possible = false;
      if (request.part != "ring" && request.part != "slots")
        continue;
      int64_t value = 0;
      if (request.kernel != "r_step" || request.value.getAsInteger(10, value) ||
          value < 0)
        return step->emitOpError("schedule: expected r_step.")
               << request.part << "=0 or more, got " << request.kernel << "."
               << request.part << "=" << request.value;
      (request.part == "ring" ? programs : slots) = value;
    }
    if (programs == 0)
      return RingChoice();
    RingChoice ring;
    if (possible)
      ring = ringOf(s, hasFixedKeys(step), target);
    if ((programs || slots) && !ring.ofR)
      return step->emitOpError(
          "schedule: expected r_step.ring=0; a ring is for targets with wgmma, "
          "b1 of 33 to 64 and more than 128 pairs a head, or b1 of 129 to 136, "
          "b2 of at most 80, head_dim 128, known frames and no causal_frames");
    if (!programs && !slots && !ring.pays) {
      StepPair steps = s.stepsOn(target);
      if (ring.ofR && isa<RStepOp>(step))
        step->emitRemark() << "no ring of " << ring.ofR << " and " << ring.ofL
                           << " programs, which wants 4 turns a slab and to "
                              "take less"
                           << comparison(clocksOfRing(steps, ring.ofR,
                                                      ring.tiles.rows),
                                         steps);
      return RingChoice();
    }
    if (programs && *programs > ring.ofR)
      return step->emitOpError("schedule: expected r_step.ring up to ")
             << ring.ofR << ", beside " << ring.ofL
             << " programs of the l_step, got " << *programs;
    ring.ofR = programs.value_or(ring.ofR);
    int64_t least = ring.leastSlots();
    int64_t most = std::min(mostRingBytes / ringSlotBytes(s, ring.tiles),
                            mostSlotsOfProgram * ring.ofR) /
                   ring.tiles.columns * ring.tiles.columns;
    if (most < least)
      return step->emitOpError("schedule: expected r_step.ring of more "
                               "programs, each with up to ")
             << mostSlotsOfProgram << " of at least " << least << " slots, got "
             << ring.ofR;
    ring.slots = slots.value_or(std::clamp(ring.slots, least, most));
    if (ring.slots % ring.tiles.columns || ring.slots < least ||
        ring.slots > most)
      return step->emitOpError("schedule: expected r_step.slots of ")
             << least << " to " << most << ", in multiples of "
             << ring.tiles.columns << ", got " << ring.slots;
    return ring;
  }

  LogicalResult select(KernelOp kernel, TargetAttr target) {
    bool gpu = target.getKind() != "host";
    Operation *main = nullptr;
    Shape shape;
    for (Operation &op : kernel.getBody().front().without_terminator()) {
      if (auto geometry = op.getAttrOfType<GeometryAttr>("geometry"))
        shape.geometry = geometry.getValue();
      if (!isa<ReplaceFramesOp>(op))
        main = &op;
    }
    if (!main)
      return kernel.emitOpError("expected a step in the kernel");
    auto query = cast<RankedTensorType>(main->getOperand(0).getType());
    shape.element = query.getElementType();
    shape.headDim = shape.valueDim = query.getDimSize(3);
    shape.heads = query.getDimSize(0) * query.getDimSize(2);
    TypeSwitch<Operation *>(main)
        .Case<RStepOp, DenseOp>([&](auto op) {
          if (op.getValue())
            shape.valueDim =
                cast<RankedTensorType>(op.getValue().getType()).getDimSize(3);
        })
        .Case<LStepOp>([&](auto op) {
          shape.valueDim =
              cast<RankedTensorType>(op.getY().getType()).getDimSize(4);
        });
    if (gpu)
      for (Operation &op : kernel.getBody().front().without_terminator())
        if (failed(checkSupported(&op, shape, target)))
          return failure();
    auto fail = [&] { return kernel.emitOpError("schedule: "); };
    auto r = dyn_cast<RStepOp>(main);
    int64_t cluster = clusterFor(main, shape, target);
    int64_t clusters = cluster ? clustersFor(main, cluster, target) : 0;
    if (!clusters)
      return failure();
    bool isL = isa<LStepOp>(main);
    FailureOr<RingChoice> ring = ringFor(main, shape, target);
    if (failed(ring))
      return failure();
    bool canWgmma =
        target.getKind() == "wgmma" &&
        (r ? r.getSoftmax() == "one_tile" && keysFormBoxes(shape.geometry)
           : isL && cluster == 1);
    bool isBetter =
        !isL || ring->ofL || shape.geometry.b1() >= leastRowsOfWgmmaL;
    StringRef kind = !gpu                   ? "host"
                     : canWgmma && isBetter ? "wgmma"
                                            : "mma_sync";
    for (const Request &request : requests)
      if (request.kernel == kernel.getName() && request.part == "kind") {
        bool possible = request.value == kind ||
                        (canWgmma && (request.value == "mma_sync" ||
                                      request.value == "wgmma"));
        if (!possible)
          return fail() << "kind " << request.value
                        << " is not possible for kernel " << kernel.getName()
                        << " on target " << target.getChip() << " (expected "
                        << (canWgmma ? "wgmma or mma_sync" : kind) << ")";
        kind = request.value;
      }
    Choice c;
    if (kind == "host")
      c = chooseHost(main, shape);
    else if (ring->ofR)
      c = isL ? chooseRingL(shape, *ring) : chooseRingR(shape, target, *ring);
    else if (cluster > 1)
      c = isL ? chooseExchangeL(shape, cluster, target)
              : chooseExchangeR(shape, cluster, target);
    else if (kind == "wgmma")
      c = isL ? chooseWgmmaL(shape, hasFixedKeys(main))
              : chooseWgmma(shape, target);
    else
      c = chooseMmaSync(main, shape, target);
    c.clusters = c.cluster > 1 ? clusters : 0;
    if (failed(apply(c, kernel)))
      return failure();
    if (kind == "wgmma" && r && c.columns < shape.geometry.b2())
      return fail() << "expected at least " << shape.geometry.b2()
                    << " columns for kind wgmma, a whole row of scores, got "
                    << c.columns;
    Type element = gpu ? shape.element : Type(Float32Type::get(&getContext()));
    auto schedule = ScheduleAttr::getChecked(
        fail, &getContext(), c.kind, c.rows, c.columns, c.warps, c.stages,
        c.chunk, element, c.cluster, c.ring, c.slots, c.rest, c.clusters,
        c.producer);
    if (!schedule)
      return failure();
    kernel.setScheduleAttr(schedule);
    kernel.emitRemark() << "kernel " << kernel.getName() << ": " << c.kind
                        << " " << c.rows << " x " << c.columns << " tiles, "
                        << c.warps << " warps, " << c.stages
                        << " stages: " << c.why;
    ++scheduled;
    return success();
  }

  void runOnOperation() override {
    TargetAttr target = targetOf(getOperation());
    if (!target) {
      getOperation().emitError()
          << "expected module attribute '" << targetAttrName
          << "' with the target to schedule for";
      return signalPassFailure();
    }
    if (failed(readRequests()))
      return signalPassFailure();
    auto result = getOperation().walk([&](KernelOp kernel) {
      return failed(select(kernel, target)) ? WalkResult::interrupt()
                                            : WalkResult::advance();
    });
    if (result.wasInterrupted())
      return signalPassFailure();
    setLevel(getOperation(), "fused");
  }

  SmallVector<Request> requests;
};
} // namespace
