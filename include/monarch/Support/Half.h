//===- Half.h - f16 and bf16 as bits ---------------------------*- C++ -*-===//
#ifndef MONARCH_SUPPORT_HALF_H
#define MONARCH_SUPPORT_HALF_H

#include "monarch/Geometry/Problem.h"

#include <cstdint>
#include <vector>

namespace monarch {

/// Rounds to nearest even; keeps NaN and infinities.
uint16_t toBF16(float v);
uint16_t toF16(float v);
float fromBF16(uint16_t bits);
float fromF16(uint16_t bits);

/// `count` elements of `type` at `data` as floats, exactly.
std::vector<float> toFloats(const void *data, int64_t count, DType type);
/// Floats rounded to `type`, as bytes.
std::vector<uint8_t> fromFloats(const std::vector<float> &values, DType type);

} // namespace monarch

#endif // MONARCH_SUPPORT_HALF_H
