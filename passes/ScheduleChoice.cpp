//===- ScheduleChoice.cpp - schedules by rule -----------------------------===//

#include "ScheduleChoice.h"

using namespace mlir;
using namespace monarch;

std::string monarch::comparison(double clocks, const StepPair &steps) {
  auto thousands = [](double v) {
    return std::to_string(static_cast<int64_t>(v / 1000 + 0.5));
  };
  return ", an estimated " + thousands(clocks) + "k clocks against " +
         thousands(clocksApart(steps)) + "k apart";
}

Choice monarch::chooseHost(Operation *step, const Shape &s) {
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

Choice monarch::chooseMmaSync(Operation *step, const Shape &s,
                              TargetAttr target) {
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

Choice monarch::chooseWgmma(const Shape &s, TargetAttr target) {
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

Choice monarch::chooseWgmmaL(const Shape &s, bool fixed) {
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

/// Stages of an exchange that fit shared memory beside two stages of keys and
/// values and two teams' queries, with a row's bias and barriers; more than 3
/// gain nothing (docs/performance.md).
static int64_t exchangeStages(const Shape &s, TargetAttr target) {
  int64_t rowBytes = (s.headDim + s.valueDim) * 2;
  int64_t keys = 2 * roundUp(s.geometry.b2(), 16) * rowBytes;
  int64_t queries = 2 * 64 * s.headDim * 2;
  int64_t stage = 64 * (rowBytes + 4);
  return std::min<int64_t>(
      3, (target.getSharedMemory() - 4096 - keys - queries) / stage);
}

int64_t monarch::clusterOf(const Shape &s, bool causal, TargetAttr target) {
  const Geometry &g = s.geometry;
  if (causal || g.sequenceTokens || g.b2() > 64 || g.b1() > 32 ||
      exchangeStages(s, target) < 2)
    return 1;
  int64_t cluster = g.b1() <= 16 ? 8 : 16;
  // Every member has rows to send in more than one turn.
  return g.keyTiles() * g.b1() > cluster ? cluster : 1;
}

Choice monarch::chooseExchangeR(const Shape &s, int64_t cluster,
                                TargetAttr target) {
  StepPair steps = s.stepsOn(target);
  Choice c;
  c.kind = "wgmma";
  c.rows = 64;
  c.columns = roundUp(s.geometry.b2(), 8);
  c.warps = 8;
  c.stages = 2;
  c.chunk = 64;
  c.cluster = cluster;
  // Teams that start their own copies lose 5 to 10 % (docs/performance.md).
  c.producer = 4;
  c.why = "rows go to the l_step through a cluster of " +
          std::to_string(cluster) +
          comparison(clocksOfClusters(steps, cluster), steps);
  return c;
}

Choice monarch::chooseExchangeL(const Shape &s, int64_t cluster,
                                TargetAttr target) {
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

constexpr RingTiles ringOfFewRows = {192, 1, 64, 0, 4, 32, 2, 34 << 20};
constexpr RingTiles ringOfManyRows = {64, 2, 128, 16, 1, 64, 4, 24 << 20};

static std::optional<RingTiles> ringTilesFor(const Shape &s) {
  int64_t b1 = s.geometry.b1();
  if (b1 > 32 && b1 <= 64)
    return ringOfFewRows;
  if (b1 > 128 && b1 <= 136)
    return ringOfManyRows;
  return std::nullopt;
}

/// Pairs of a slab: a head's, in equal parts of at most R's rows.
static int64_t ringPairs(const Shape &s, const RingTiles &tiles) {
  return evenPart(s.geometry.queryTiles() * s.geometry.b2(), tiles.rows);
}

int64_t monarch::ringSlotBytes(const Shape &s, const RingTiles &tiles) {
  return roundUp(ringPairs(s, tiles), 16) * ((s.headDim + s.valueDim) * 2 + 4);
}

int64_t RingChoice::leastSlots() const {
  return roundUp(leastRingSlots(ofR * tiles.teamsOfR, tiles.columns),
                 tiles.columns);
}

RingChoice monarch::ringOf(const Shape &s, bool fixedKeys, TargetAttr target) {
  const Geometry &g = s.geometry;
  int64_t keys = g.keyTiles() * g.b1();
  std::optional<RingTiles> tiles = ringTilesFor(s);
  // Three warpgroups of R: 144 registers a thread are enough for 80 scores.
  if (!fixedKeys || g.sequenceTokens || g.b2() > 80 || !tiles ||
      g.queryTiles() * g.b2() <= tiles->rows - 64 || s.headDim != 128 ||
      s.valueDim != 128)
    return {};
  RingChoice ring;
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

Choice monarch::chooseRingR(const Shape &s, TargetAttr target,
                            RingChoice ring) {
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

Choice monarch::chooseRingL(const Shape &s, RingChoice ring) {
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
