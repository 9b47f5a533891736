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

#include <algorithm>

namespace monarch {

/// R and L of a problem.
struct StepPair {
  int64_t heads;           ///< of all batches
  int64_t pairs, keys;     ///< (a, j) and (c, k) of a head
  int64_t multiprocessors; ///< of the chip
};

/// Two kernels, rows through memory, which is what limits them: 4,900 clocks of
/// a multiprocessor for 64 pairs' rows of a key. Starting and draining both
/// takes 130,000 more.
inline double clocksApart(const StepPair &p) {
  double rows = static_cast<double>(p.heads) * p.pairs / 64 * p.keys;
  return rows * 4900 / p.multiprocessors + 130000;
}

/// Clusters of `members` for 64 pairs each. A turn of a key a member takes
/// 2,680 clocks with 8 members and 3,100 with 16; of 132 multiprocessors 15 * 8
/// and 7 * 16 form clusters at once.
inline double clocksOfClusters(const StepPair &p, int64_t members) {
  int64_t reserved = members == 8 ? 12 : 20;
  int64_t atOnce =
      std::max<int64_t>(1, (p.multiprocessors - reserved) / members);
  int64_t clusters = p.heads * ceilDiv(p.pairs, 64);
  double turns = ceilDiv(clusters, atOnce) * ceilDiv(p.keys, members);
  return turns * (members == 8 ? 2680 : 3100);
}

/// Pairs of a ring's slab at most: R's rows.
constexpr int64_t ringRows = 192;

/// One kernel of `writers` and readers of a ring: 8,100 clocks a writer's turn,
/// four turns to fill and to drain, and 27,000 to settle.
inline double clocksOfRing(const StepPair &p, int64_t writers) {
  double keys =
      static_cast<double>(p.heads) * ceilDiv(p.pairs, ringRows) * p.keys;
  return (keys / writers + 4) * 8100 + 27000;
}

} // namespace monarch

#endif // MONARCH_PASSES_SCHEDULECOST_H
