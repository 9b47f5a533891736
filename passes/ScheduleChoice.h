//===- ScheduleChoice.h - schedules by rule ---------------------*- C++ -*-===//
//
// What fits a shape and a target. Where a constant comes from a measurement,
// docs/performance.md has it.
//
//===----------------------------------------------------------------------===//

#ifndef MONARCH_PASSES_SCHEDULECHOICE_H
#define MONARCH_PASSES_SCHEDULECHOICE_H

#include "PassDetail.h"
#include "ScheduleCost.h"

#include <string>

namespace monarch {
using namespace mlir;

/// A schedule under construction, and why it is so.
struct Choice {
  StringRef kind;
  int64_t rows = 0, columns = 0, warps = 1, stages = 1, chunk = 0, cluster = 1;
  int64_t ring = 0, slots = 0, rest = 0, clusters = 0, producer = 0;
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
std::string comparison(double clocks, const StepPair &steps);

/// The host end: tiles are buffers in cache, 16 floats a vector.
Choice chooseHost(Operation *step, const Shape &s);

/// mma.sync with cp.async rings: 16 rows are one m16 tile of a warp.
Choice chooseMmaSync(Operation *step, const Shape &s, TargetAttr target);

/// wgmma with TMA rings, for R steps whose row of scores is one tile: 64 rows a
/// warpgroup, a producer warpgroup beside them.
Choice chooseWgmma(const Shape &s, TargetAttr target);

/// wgmma for L steps of many block rows: 64 a warpgroup share a pair's keys and
/// values in shared memory, which mma.sync would read once for every 16. With a
/// `fixed` number of keys these come as boxes of tensor maps.
Choice chooseWgmmaL(const Shape &s, bool fixed);

/// From this many block rows on wgmma is faster for L (docs/performance.md).
inline constexpr int64_t leastRowsOfWgmmaL = 49;

/// How many programs can share the R and L steps of a slab of 64 pairs, 1 when
/// none can. In a cluster the intermediates go from one
/// multiprocessor to another and never to memory, but all of L's outputs stay
/// in registers: 64 pairs of round16(b1) rows, in tiles of 16 rows a warp. 8
/// members hold 16 rows a pair, 16 members 32.
int64_t clusterOf(const Shape &s, bool causal, TargetAttr target);

/// R of a cluster: a slab of 64 rows at a time, beside L; two teams of warps
/// take turns.
Choice chooseExchangeR(const Shape &s, int64_t cluster, TargetAttr target);

/// L of a cluster: all rows of a member's pairs, 16 a warp, against one key of
/// every member.
Choice chooseExchangeL(const Shape &s, int64_t cluster, TargetAttr target);

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

/// A persistent kernel: how many programs run R and how many L.
struct RingChoice {
  int64_t ofR = 0, ofL = 0; ///< 0: none
  int64_t slots = 0;        ///< keys that the ring holds
  bool pays = false;        ///< by its cost
  RingTiles tiles;

  /// The least that may be, rounded up to tiles of L's.
  int64_t leastSlots() const;
};

/// Bytes of a ring that may be asked for.
inline constexpr int64_t mostRingBytes = 64 << 20;

/// Slots of one program of R's at most: it has a barrier for each turn that its
/// slots let it run ahead, and two of them, in shared memory
/// (monarch-tile-specialize-warps). 64 such barriers fit.
inline constexpr int64_t mostSlotsOfProgram = 30;

/// One key's rows, of all pairs of a slab.
int64_t ringSlotBytes(const Shape &s, const RingTiles &tiles);

/// Where a cluster has no registers for L's outputs, but some warpgroups have
/// for those of a pair, R and L share the multiprocessors: L's hold all pairs
/// of a slab, the others deal its (k, c) among them. Rows go through the L2
/// cache and not through memory.
RingChoice ringOf(const Shape &s, bool fixedKeys, TargetAttr target);

/// R of a persistent kernel: as alone, for programs that stay.
Choice chooseRingR(const Shape &s, TargetAttr target, RingChoice ring);

/// L of a persistent kernel: a pair a team.
Choice chooseRingL(const Shape &s, RingChoice ring);

} // namespace monarch

#endif // MONARCH_PASSES_SCHEDULECHOICE_H
