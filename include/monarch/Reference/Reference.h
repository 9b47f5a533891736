//===- Reference.h - the f64 oracle ----------------------------*- C++ -*-===//
//
// docs/semantics.md in double precision, on inputs that are already rounded to
// the element type. Written for clarity; everything else is tested against it.
//
//===----------------------------------------------------------------------===//
#ifndef MONARCH_REFERENCE_REFERENCE_H
#define MONARCH_REFERENCE_REFERENCE_H

#include "monarch/Geometry/Problem.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace monarch {

/// Contiguous inputs: query `[B, Nq, heads, D]`, key `[B, Nkv, heads, D]`,
/// value `[B, Nkv, heads, Dv]`, keyMask `[B, Nkv]` or null. Nkv is the compiled
/// maximum; `keyFrames` frames of it are valid (0: all).
struct ReferenceInputs {
  const float *query, *key, *value;
  const uint8_t *keyMask = nullptr;
  int64_t keyFrames = 0;
};

struct ReferenceOptions {
  /// Number of (batch, head, a, j) pairs to compute, chosen by a fixed seed and
  /// with the first and the last among them; 0 computes all.
  int64_t samplePairs = 0;
  int64_t headBegin = 0, headEnd = -1;  ///< heads to compute; -1: all
  unsigned threads = 0;                 ///< 0: as many as there are cores
  std::function<void(double)> progress; ///< called with the fraction done
};

struct ReferenceResult {
  std::vector<double> out;       ///< `[B, Nq, heads, Dv]`
  std::vector<uint8_t> computed; ///< `[B, Nq, heads]`: 1 where `out` is set
};

ReferenceResult computeReference(const Problem &problem,
                                 const ReferenceInputs &inputs,
                                 const ReferenceOptions &options = {});

/// Error of `out` against the computed rows of a reference.
struct ErrorSummary {
  double relative = 0;    ///< ||out - ref|| / ||ref||
  double maxAbsolute = 0; ///< largest |out - ref|
  int64_t compared = 0;   ///< elements compared
  bool finite = true;     ///< no NaN or infinity where the reference has none
};
ErrorSummary compare(const Problem &problem, const ReferenceResult &reference,
                     const float *out);

/// The bound of docs/semantics.md on ErrorSummary::relative.
double errorBound(DType type);

} // namespace monarch

#endif // MONARCH_REFERENCE_REFERENCE_H
