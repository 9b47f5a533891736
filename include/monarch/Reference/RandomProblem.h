//===- RandomProblem.h - seeded small problems -----------------*- C++ -*-===//
#ifndef MONARCH_REFERENCE_RANDOMPROBLEM_H
#define MONARCH_REFERENCE_RANDOMPROBLEM_H

#include "monarch/Geometry/Problem.h"

namespace monarch {

/// What a backend can do, as far as the generator has to know.
struct ProblemLimits {
  bool gpu = false; ///< T = 1, f16 or bf16, head size 64 or 128, no recompute
};

/// A valid small problem, the same for the same seed: grids of at most some
/// hundred tokens, all blockings, partial tiles, KV length, causal groups,
/// recompute, masks, sequences with padding, all element types. `keyFrames`
/// receives how many key frames are valid at the call.
Problem randomProblem(uint64_t seed, const ProblemLimits &limits,
                      int64_t &keyFrames);

/// One line that states a problem.
std::string describe(const Problem &problem);

} // namespace monarch

#endif // MONARCH_REFERENCE_RANDOMPROBLEM_H
