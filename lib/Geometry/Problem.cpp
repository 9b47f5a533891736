//===- Problem.cpp - one attention problem --------------------------------===//

#include "monarch/Geometry/Problem.h"

#include <cmath>

using namespace monarch;

const char *monarch::dtypeName(DType type) {
  switch (type) {
  case DType::F16:
    return "f16";
  case DType::BF16:
    return "bf16";
  case DType::F32:
    return "f32";
  }
  return "";
}

std::optional<DType> monarch::parseDType(const std::string &name) {
  for (DType t : {DType::F16, DType::BF16, DType::F32})
    if (name == dtypeName(t))
      return t;
  return std::nullopt;
}

int64_t monarch::dtypeSize(DType type) { return type == DType::F32 ? 4 : 2; }

double Problem::effectiveScale() const {
  return scale != 0 ? scale : 1.0 / std::sqrt(double(headDim));
}
int64_t Problem::queryElements() const {
  return batch * geometry.queryTokens() * heads * headDim;
}
int64_t Problem::keyElements() const {
  return batch * geometry.keyTokens() * heads * headDim;
}
int64_t Problem::valueElements() const {
  return batch * geometry.keyTokens() * heads * valueDim;
}
int64_t Problem::outElements() const {
  return batch * geometry.queryTokens() * heads * valueDim;
}
