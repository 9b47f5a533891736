//===- SelectSchedule.cpp - monarch-select-schedule -----------------------===//
//
// Target and shape to a schedule, by rule, and where several fit by what they
// cost (ScheduleCost.h): the same input always gives the same schedule, nothing
// is measured. Where a constant comes from a measurement, docs/performance.md
// has it.
//
//===----------------------------------------------------------------------===//

#include "PassDetail.h"
#include "ScheduleCost.h"

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

/// A schedule under construction, and why it is so.
struct Choice {
  StringRef kind;
  int64_t rows = 0, columns = 0, warps = 1, stages = 1, chunk = 0, cluster = 1;
  int64_t ring = 0, slots = 0, rest = 0, clusters = 0;
  std::string why;
};

/// What a schedule depends on besides the target.
struct Shape {
  Geometry geometry;
  int64_t headDim, valueDim;
  int64_t heads; ///< of all batches
  Type element;

  StepPair stepsOn(TargetAttr target) const {
    return {heads, geometry.queryTiles() * geometry.b2(),
            geometry.keyTiles() * geometry.b1(), geometry.b1(),
            target.getMultiprocessors()};
  }
};

/// What a way costs and what it would apart, for a remark.
std::string comparison(double clocks, const StepPair &steps) {
  auto thousands = [](double v) {
    return std::to_string(static_cast<int64_t>(v / 1000 + 0.5));
  };
  return ", an estimated " + thousands(clocks) + "k clocks against " +
         thousands(clocksApart(steps)) + "k apart";
}

/// The host end: tiles are buffers in cache, 16 floats a vector.
Choice chooseHost(Operation *step, const Shape &s) {
  const Geometry &g = s.geometry;
  Choice c;
  c.kind = "host";
  c.chunk = std::max(s.headDim, s.valueDim);
  if (isa<RStepOp, EntropyOp>(step)) {
    auto r = dyn_cast<RStepOp>(step);
    bool oneTile = r ? r.getSoftmax() == "one_tile" : g.b2() <= 256;
    c.rows = std::min<int64_t>(64, roundUp(g.queryTiles() * g.b2(), 4));
    c.columns = oneTile ? roundUp(g.b2(), 16) : 128;
    c.why = oneTile ? "a row of scores fits one tile" : "rows are tiled by 128";
  } else if (isa<RedistributeOp>(step)) {
    c.rows = roundUp(g.b1(), 4);
    c.columns = 64;
    c.why = "all rows of a block in one program, for the sums over queries";
  } else {
    int64_t rows = isa<LStepOp>(step) ? g.b1() : g.height * g.width;
    c.rows = std::min<int64_t>(64, roundUp(rows, 4));
    c.columns = 64;
    c.why = "keys are flattened over key tile and row";
  }
  return c;
}

/// mma.sync with cp.async rings: 16 rows are one m16 tile of a warp.
Choice chooseMmaSync(Operation *step, const Shape &s, TargetAttr target) {
  const Geometry &g = s.geometry;
  Choice c;
  c.kind = "mma_sync";
  int64_t rowBytes = (s.headDim + s.valueDim) * 2; // one key and one value
  if (auto r = dyn_cast<RStepOp>(step)) {
    int64_t total = g.queryTiles() * g.b2(); // rows packed over query tiles
    bool oneTile = r.getSoftmax() == "one_tile";
    // An online row keeps both outputs in registers beside its scores.
    c.columns = oneTile ? roundUp(g.b2(), 8) : s.headDim == 128 ? 32 : 64;
    // Two m16 tiles a warp halve the shared memory reads of a product. They fit
    // 255 registers when the row has at most 64 scores and outputs are made
    // `chunk` channels at a time; on chips with 99 KiB ptxas still spills.
    bool twoTiles =
        oneTile && c.columns <= 64 && target.getSharedMemory() >= 128 * 1024;
    int64_t perWarp = twoTiles ? 32 : 16;
    c.warps = std::clamp<int64_t>(ceilDiv(total, perWarp), 1,
                                  oneTile ? 128 / perWarp : 4);
    c.rows = perWarp * c.warps;
    c.chunk = oneTile ? 32 : s.headDim;
    c.stages = std::clamp<int64_t>(target.getSharedMemory() / 2 /
                                       (roundUp(c.columns, 16) * rowBytes),
                                   2, 3);
    c.why = oneTile ? "a row of scores fits one tile, rows packed over (a,j)"
                    : "rows longer than a tile: online softmax and entropy";
    return c;
  }
  int64_t rows = isa<LStepOp>(step) ? g.b1() : g.height * g.width;
  // Keys differ for every (a,j), so rows of one block share them: one program
  // for all rows of a block while 12 warps are enough.
  c.warps = isa<LStepOp>(step) && rows <= 192
                ? ceilDiv(rows, 16)
                : std::min<int64_t>(8, ceilDiv(rows, 16));
  if (isa<DenseOp>(step))
    c.warps = std::min<int64_t>(c.warps, 4);
  c.rows = 16 * c.warps;
  c.columns = 32;
  c.stages = 3;
  c.chunk = s.valueDim;
  c.why = "keys flattened over key tile and row, one m16 tile a warp";
  return c;
}

/// wgmma with TMA rings, for R steps whose row of scores is one tile: 64 rows a
/// warpgroup, a producer warpgroup beside them.
Choice chooseWgmma(const Shape &s, TargetAttr target) {
  const Geometry &g = s.geometry;
  Choice c;
  c.kind = "wgmma";
  c.columns = roundUp(g.b2(), 8);
  c.chunk = 64;
  // Three consumer warpgroups have 160 registers a thread: scores, packed
  // probabilities, queries and two chunks of outputs fit up to 96 columns.
  int64_t total = g.queryTiles() * g.b2();
  int64_t warpgroups =
      std::clamp<int64_t>(ceilDiv(total, 64), 1, c.columns <= 96 ? 3 : 2);
  c.warps = 4 * warpgroups;
  c.rows = 16 * c.warps;
  // One stage of keys and values, with its barriers; outputs leave through
  // shared memory too. More than 2 stages gain nothing (docs/performance.md).
  int64_t stage = roundUp(c.columns, 16) * (s.headDim + s.valueDim) * 2 + 32;
  int64_t outputs = c.rows * (s.headDim + s.valueDim) * 2;
  c.stages = std::clamp<int64_t>(
      (target.getSharedMemory() - 2048 - outputs) / stage, 1, 2);
  c.why = "a row of scores fits one tile, rows packed over (a,j)";
  return c;
}

/// wgmma for L steps of many block rows: 64 a warpgroup share a pair's keys and
/// values in shared memory, which mma.sync would read once for every 16. With a
/// `fixed` number of keys these come as boxes of tensor maps.
Choice chooseWgmmaL(const Shape &s, bool fixed) {
  Choice c;
  c.kind = "wgmma";
  c.warps = 4 * std::min<int64_t>(3, ceilDiv(s.geometry.b1(), 64));
  c.rows = 16 * c.warps;
  // More columns leave no registers, more stages gain nothing
  // (docs/performance.md).
  c.columns = fixed ? 96 : 64;
  c.stages = fixed ? 2 : 3;
  c.chunk = s.valueDim;
  c.why = "keys flattened over key tile and row, 64 block rows a warpgroup";
  return c;
}

/// From this many block rows on wgmma is faster for L (docs/performance.md).
constexpr int64_t leastRowsOfWgmmaL = 49;

/// Stages of an exchange that fit shared memory beside two stages of keys and
/// values and two teams' queries, with a row's bias and barriers; more than 3
/// gain nothing (docs/performance.md).
int64_t exchangeStages(const Shape &s, TargetAttr target) {
  int64_t rowBytes = (s.headDim + s.valueDim) * 2;
  int64_t keys = 2 * roundUp(s.geometry.b2(), 16) * rowBytes;
  int64_t queries = 2 * 64 * s.headDim * 2;
  int64_t stage = 64 * (rowBytes + 4);
  return std::min<int64_t>(
      3, (target.getSharedMemory() - 4096 - keys - queries) / stage);
}

/// How many programs can share the R and L steps of a slab of 64 pairs, 1 when
/// none can. In a cluster the intermediates go from one
/// multiprocessor to another and never to memory, but all of L's outputs stay
/// in registers: 64 pairs of round16(b1) rows, in tiles of 16 rows a warp. 8
/// members hold 16 rows a pair, 16 members 32.
int64_t clusterOf(const Shape &s, bool causal, TargetAttr target) {
  const Geometry &g = s.geometry;
  if (causal || g.sequenceTokens || g.b2() > 64 || g.b1() > 32 ||
      exchangeStages(s, target) < 2)
    return 1;
  int64_t cluster = g.b1() <= 16 ? 8 : 16;
  // Every member has rows to send in more than one turn.
  return g.keyTiles() * g.b1() > cluster ? cluster : 1;
}

/// R of a cluster: a slab of 64 rows at a time, beside L; two teams of warps
/// take turns.
Choice chooseExchangeR(const Shape &s, int64_t cluster, TargetAttr target) {
  StepPair steps = s.stepsOn(target);
  Choice c;
  c.kind = "wgmma";
  c.rows = 64;
  c.columns = roundUp(s.geometry.b2(), 8);
  c.warps = 8;
  c.stages = 2;
  c.chunk = 64;
  c.cluster = cluster;
  c.why = "rows go to the l_step through a cluster of " +
          std::to_string(cluster) +
          comparison(clocksOfClusters(steps, cluster), steps);
  return c;
}

/// L of a cluster: all rows of a member's pairs, 16 a warp, against one key of
/// every member.
Choice chooseExchangeL(const Shape &s, int64_t cluster, TargetAttr target) {
  Choice c;
  c.kind = "mma_sync";
  c.rows = 64 / cluster * roundUp(s.geometry.b1(), 16);
  c.columns = cluster;
  c.warps = c.rows / 16;
  c.stages = exchangeStages(s, target);
  c.chunk = s.valueDim;
  c.cluster = cluster;
  c.why = "rows come from the r_step through a cluster of " +
          std::to_string(cluster);
  return c;
}

/// Tiles of a ring's programs by how many block rows a pair has. Up to 64 are a
/// warpgroup's, four pairs a program; then a slab's pairs are as many as R's
/// rows. 129 to 136 are a program's, whose single warps have those past 128
/// (they have registers for 8 of their 16 rows), and R's rows are fewer: teams
/// of a warpgroup each take keys of their own.
struct RingTiles {
  int64_t rows;      ///< of a team of R's
  int64_t teamsOfR;  ///< of a program
  int64_t rowsOfL;   ///< of a team of L's
  int64_t restOfL;   ///< of single warps beside them
  int64_t teamsOfL;  ///< of a program
  int64_t columns;   ///< keys that L takes at a time
  int64_t stagesOfL; ///< for each of its teams
  /// Of the ring: more are evicted from a Hopper's L2 cache before they are
  /// read (docs/performance.md).
  int64_t bytes;
};
constexpr RingTiles ringOfFewRows = {192, 1, 64, 0, 4, 32, 2, 32 << 20};
constexpr RingTiles ringOfManyRows = {64, 2, 128, 16, 1, 64, 4, 24 << 20};

std::optional<RingTiles> ringTilesFor(const Shape &s) {
  int64_t b1 = s.geometry.b1();
  if (b1 > 32 && b1 <= 64)
    return ringOfFewRows;
  if (b1 > 128 && b1 <= 136)
    return ringOfManyRows;
  return std::nullopt;
}

/// A persistent kernel: how many programs run R and how many L.
struct Ring {
  int64_t ofR = 0, ofL = 0; ///< 0: none
  int64_t slots = 0;        ///< keys that the ring holds
  bool pays = false;        ///< by its cost
  RingTiles tiles;

  /// The least that may be, rounded up to tiles of L's.
  int64_t leastSlots() const;
};

/// Bytes of a ring that may be asked for.
constexpr int64_t mostRingBytes = 64 << 20;

/// Slots of one program of R's at most: it has a barrier for each turn that its
/// slots let it run ahead, and two of them, in shared memory
/// (monarch-tile-specialize-warps). 64 such barriers fit.
constexpr int64_t mostSlotsOfProgram = 30;

/// Pairs of a slab: a head's, in equal parts of at most R's rows.
int64_t ringPairs(const Shape &s, const RingTiles &tiles) {
  return evenPart(s.geometry.queryTiles() * s.geometry.b2(), tiles.rows);
}

/// One key's rows, of all pairs of a slab.
int64_t ringSlotBytes(const Shape &s, const RingTiles &tiles) {
  return roundUp(ringPairs(s, tiles), 16) * ((s.headDim + s.valueDim) * 2 + 4);
}

int64_t Ring::leastSlots() const {
  return roundUp(leastRingSlots(ofR * tiles.teamsOfR, tiles.columns),
                 tiles.columns);
}

/// Where a cluster has no registers for L's outputs, but some warpgroups have
/// for those of a pair, R and L share the multiprocessors: L's hold all pairs
/// of a slab, the others deal its (k, c) among them. Rows go through the L2
/// cache and not through memory.
Ring ringOf(const Shape &s, bool fixedKeys, TargetAttr target) {
  const Geometry &g = s.geometry;
  int64_t keys = g.keyTiles() * g.b1();
  std::optional<RingTiles> tiles = ringTilesFor(s);
  // Three warpgroups of R: 144 registers a thread are enough for 80 scores.
  if (!fixedKeys || g.sequenceTokens || g.b2() > 80 || !tiles ||
      g.queryTiles() * g.b2() <= tiles->rows - 64 || s.headDim != 128 ||
      s.valueDim != 128)
    return {};
  Ring ring;
  ring.tiles = *tiles;
  ring.ofL = ceilDiv(ringPairs(s, *tiles), tiles->teamsOfL);
  ring.ofR = std::min(ceilDiv(keys, tiles->teamsOfR),
                      target.getMultiprocessors() - ring.ofL);
  if (ring.ofR < 1)
    return {};
  // With fewer turns a slab nothing has been measured.
  StepPair steps = s.stepsOn(target);
  ring.pays = keys >= 4 * ring.ofR * tiles->teamsOfR &&
              clocksOfRing(steps, ring.ofR, tiles->rows) < clocksApart(steps);
  ring.slots =
      tiles->bytes / ringSlotBytes(s, *tiles) / tiles->columns * tiles->columns;
  return ring;
}

/// R of a persistent kernel: as alone, for programs that stay.
Choice chooseRingR(const Shape &s, TargetAttr target, Ring ring) {
  StepPair steps = s.stepsOn(target);
  Choice c = chooseWgmma(s, target);
  c.rows = ring.tiles.rows;
  c.warps = ring.tiles.teamsOfR * c.rows / 16;
  if (ring.tiles.teamsOfR > 1)
    c.stages = 1;
  c.ring = ring.ofR;
  c.slots = ring.slots;
  c.why = "rows go to the l_step through a ring in L2, " +
          std::to_string(ring.ofR) + " programs beside its " +
          std::to_string(ring.ofL) +
          comparison(clocksOfRing(steps, ring.ofR, ring.tiles.rows), steps);
  return c;
}

/// L of a persistent kernel: a pair a team.
Choice chooseRingL(const Shape &s, Ring ring) {
  Choice c;
  c.kind = "wgmma";
  c.rows = ring.tiles.rowsOfL;
  c.warps = ring.tiles.teamsOfL * c.rows / 16;
  c.columns = ring.tiles.columns;
  c.rest = ring.tiles.restOfL;
  c.stages = ring.tiles.stagesOfL;
  c.chunk = s.valueDim;
  c.ring = ring.ofL;
  c.slots = ring.slots;
  c.why = "rows come from the r_step through a ring in L2, a pair for every " +
          std::to_string(c.rows / 64) + " warpgroups";
  return c;
}

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
    SmallVector<StringRef> parts;
    attr.getValue().split(parts, ',', -1, /*KeepEmpty=*/false);
    for (StringRef text : parts) {
      auto [name, value] = text.split('=');
      auto [kernel, part] = name.split('.');
      if (!llvm::is_contained({"kind", "rows", "columns", "warps", "stages",
                               "chunk", "cluster", "clusters", "ring", "slots",
                               "rest"},
                              part) ||
          value.empty())
        return getOperation().emitError(
                   "schedule: expected kernel.part=value with part kind, rows, "
                   "columns, warps, stages, chunk, cluster, clusters, ring, "
                   "slots or rest, got "
                   "'")
               << text << "'";
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
      if (llvm::is_contained({"kind", "cluster", "clusters", "ring", "slots"},
                             request.part))
        continue;
      int64_t value;
      if (request.value.getAsInteger(10, value) ||
          value < (request.part == "rest" ? 0 : 1))
        return kernel.emitOpError("schedule: expected a positive number for ")
               << request.part << ", got '" << request.value << "'";
      int64_t &part = request.part == "rows"      ? c.rows
                      : request.part == "columns" ? c.columns
                      : request.part == "warps"   ? c.warps
                      : request.part == "stages"  ? c.stages
                      : request.part == "rest"    ? c.rest
                                                  : c.chunk;
      part = value;
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
  FailureOr<Ring> ringFor(Operation *step, const Shape &s, TargetAttr target) {
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
      return Ring();
    Ring ring;
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
      return Ring();
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
    FailureOr<Ring> ring = ringFor(main, shape, target);
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
        c.chunk, element, c.cluster, c.ring, c.slots, c.rest, c.clusters);
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
