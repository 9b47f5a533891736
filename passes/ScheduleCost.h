//===- ScheduleCost.h - what ways to run R and L cost ---------------------===//
//
// Clocks of a Hopper chip, from measurements in docs/performance.md ("What a
// schedule costs", with how far off they are). They rank ways; they promise no
// times.
//
//===----------------------------------------------------------------------===//

#ifndef MONARCH_PASSES_SCHEDULECOST_H
#define MONARCH_PASSES_SCHEDULECOST_H

#include "monarch/Geometry/Geometry.h"
#include "monarch/Support/SlabParts.h"

#include <algorithm>

namespace monarch {

/// R and L of a problem.
struct StepPair {
  int64_t heads;           ///< of all batches
  int64_t pairs, keys;     ///< (a, j) and (c, k) of a head
  int64_t blockRows;       ///< b1, of a pair
  int64_t multiprocessors; ///< of the chip
};

/// Two kernels, rows through memory, which is what limits them: 4,900 clocks of
/// a multiprocessor for 64 pairs' rows of a key, 6,400 where L's products for
/// more than 128 block rows do. Starting and draining both takes 130,000 more.
inline double clocksApart(const StepPair &p) {
  double rows = static_cast<double>(p.heads) * p.pairs / 64 * p.keys;
  return rows * (p.blockRows > 128 ? 6400 : 4900) / p.multiprocessors + 130000;
}

/// Clusters of `members` that run at once: of 132 multiprocessors 15 * 8 and 7
/// * 16 form them (cudaOccupancyMaxActiveClusters).
inline int64_t clustersAtOnce(int64_t multiprocessors, int64_t members) {
  int64_t reserved = members == 8 ? 12 : 20;
  return std::max<int64_t>(1, (multiprocessors - reserved) / members);
}

/// Waves of clusters of `members` for 64 pairs each. A turn of a key a member
/// takes 2,370 clocks with 8 members and 2,780 with 16; four turns more to put
/// a part to the others.
inline double clocksOfClusters(const StepPair &p, int64_t members) {
  int64_t atOnce = clustersAtOnce(p.multiprocessors, members);
  int64_t slabs = p.heads * ceilDiv(p.pairs, 64);
  int64_t turns = ceilDiv(p.keys, members);
  SlabParts cut = cutSlabs(slabs, atOnce);
  double its = ceilDiv(cut.whole, atOnce) * turns;
  if (cut.parts > 1)
    its +=
        ceilDiv(cut.clusters - cut.whole, atOnce) * ceilDiv(turns, cut.parts) +
        4 * (cut.parts - 1);
  return its * (members == 8 ? 2370 : 2780);
}

/// One kernel of `writers` and readers of a ring, for slabs of up to `rows`
/// pairs: 7,600 clocks for a writer's turn of 192 rows; of 64, with teams that
/// have turns side by side, 3,100 a turn; four turns to fill and to drain, and
/// 27,000 to settle.
inline double clocksOfRing(const StepPair &p, int64_t writers, int64_t rows) {
  double keys = static_cast<double>(p.heads) * ceilDiv(p.pairs, rows) * p.keys;
  double turn = rows > 64 ? 7600 : 3100;
  return (keys / writers + 4) * turn + 27000;
}

} // namespace monarch

#endif // MONARCH_PASSES_SCHEDULECOST_H
