//===- Problem.h - one attention problem -----------------------*- C++ -*-===//
#ifndef MONARCH_GEOMETRY_PROBLEM_H
#define MONARCH_GEOMETRY_PROBLEM_H

#include "monarch/Geometry/Geometry.h"

#include <string>

namespace monarch {

/// Element type of query, key, value and output.
enum class DType { F16, BF16, F32 };
const char *dtypeName(DType type);
std::optional<DType> parseDType(const std::string &name);
/// Bytes of one element.
int64_t dtypeSize(DType type);

/// Everything that `monarch.attention` states (docs/semantics.md), without
/// MLIR: what the tools parse, the oracle computes and the runtime checks.
struct Problem {
  Geometry geometry;
  int64_t batch = 1, heads = 1, headDim = 128, valueDim = 128;
  DType dtype = DType::BF16;
  int64_t iterations = 1;
  double scale = 0; ///< 0 stands for 1/sqrt(headDim)
  double temperatureFloor = 1e-6;
  int64_t recomputeFrames = 0;
  int64_t causalFrames = 0, causalOffset = 0;
  bool dynamicKeyFrames = false; ///< key frames are given at run time (A5)
  bool keyMask = false;

  double effectiveScale() const;
  int64_t queryElements() const;
  int64_t keyElements() const;
  int64_t valueElements() const;
  int64_t outElements() const;
};

} // namespace monarch

#endif // MONARCH_GEOMETRY_PROBLEM_H
