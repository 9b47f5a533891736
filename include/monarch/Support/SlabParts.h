//===- SlabParts.h - slabs dealt to clusters --------------------*- C++ -*-===//
#ifndef MONARCH_SUPPORT_SLABPARTS_H
#define MONARCH_SUPPORT_SLABPARTS_H

#include <cstdint>

namespace monarch {

/// Parts of a slab at most: more of them take longer to put together than they
/// save (docs/performance.md).
constexpr int64_t mostSlabParts = 4;

/// All parts there are at most where `atOnce` clusters run at once.
constexpr int64_t mostParts(int64_t atOnce) { return 2 * atOnce; }

/// How `clusters` share slabs: the first `whole` have one each, the others are
/// for the `parts` that each of the remaining slabs is cut into.
struct SlabParts {
  int64_t whole, parts, clusters;
};

/// Where `atOnce` clusters run at once, the slabs of a last wave that leaves
/// some of them without work are cut so that it takes the least time, of which
/// a part more costs a sixteenth.
constexpr SlabParts cutSlabs(int64_t slabs, int64_t atOnce) {
  int64_t last = slabs % atOnce, parts = 1;
  double least = 1;
  for (int64_t n = 2; n <= mostSlabParts && last * n <= mostParts(atOnce);
       ++n) {
    int64_t waves = (last * n + atOnce - 1) / atOnce;
    double time = static_cast<double>(waves) / n + (n - 1) / 16.0;
    if (last && time < least) {
      least = time;
      parts = n;
    }
  }
  if (parts == 1)
    return {slabs, 1, slabs};
  return {slabs - last, parts, slabs - last + last * parts};
}

} // namespace monarch

#endif // MONARCH_SUPPORT_SLABPARTS_H
