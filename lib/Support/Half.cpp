//===- Half.cpp - f16 and bf16 as bits ------------------------------------===//

#include "monarch/Support/Half.h"

#include <cstring>

using namespace monarch;

static uint32_t bitsOf(float v) {
  uint32_t u;
  std::memcpy(&u, &v, 4);
  return u;
}
static float floatOf(uint32_t u) {
  float v;
  std::memcpy(&v, &u, 4);
  return v;
}

uint16_t monarch::toBF16(float v) {
  uint32_t u = bitsOf(v);
  if ((u & 0x7fffffffu) > 0x7f800000u)
    return uint16_t(u >> 16 | 0x40); // quiet NaN
  return uint16_t((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}
float monarch::fromBF16(uint16_t bits) { return floatOf(uint32_t(bits) << 16); }

// IEEE 754 binary16 has 5 exponent and 10 fraction bits.
uint16_t monarch::toF16(float v) {
  uint32_t u = bitsOf(v), sign = u >> 16 & 0x8000u, magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u)
    return uint16_t(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) // rounds past 65504
    return uint16_t(sign | 0x7c00u);
  if (magnitude < 0x38800000u) { // subnormal: a multiple of 2^-24
    float scaled = floatOf(magnitude) * 16777216.0f;
    uint32_t whole = uint32_t(scaled);
    float rest = scaled - float(whole);
    whole += rest > 0.5f || (rest == 0.5f && (whole & 1));
    return uint16_t(sign | whole);
  }
  uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
  return uint16_t(sign | ((rounded - 0x38000000u) >> 13));
}
float monarch::fromF16(uint16_t bits) {
  uint32_t sign = uint32_t(bits & 0x8000u) << 16, e = bits >> 10 & 31,
           f = bits & 0x3ffu;
  if (e == 0)
    return (sign ? -1.0f : 1.0f) * float(f) * (1.0f / 16777216.0f);
  if (e == 31)
    return floatOf(sign | 0x7f800000u | f << 13);
  return floatOf(sign | (e + 112) << 23 | f << 13);
}

std::vector<float> monarch::toFloats(const void *data, int64_t count,
                                     DType type) {
  std::vector<float> out(count);
  auto *halves = static_cast<const uint16_t *>(data);
  for (int64_t i = 0; i < count; ++i)
    out[i] = type == DType::F32    ? static_cast<const float *>(data)[i]
             : type == DType::BF16 ? fromBF16(halves[i])
                                   : fromF16(halves[i]);
  return out;
}

std::vector<uint8_t> monarch::fromFloats(const std::vector<float> &values,
                                         DType type) {
  std::vector<uint8_t> out(values.size() * dtypeSize(type));
  auto *halves = reinterpret_cast<uint16_t *>(out.data());
  if (type == DType::F32)
    std::memcpy(out.data(), values.data(), out.size());
  else
    for (size_t i = 0; i < values.size(); ++i)
      halves[i] = type == DType::BF16 ? toBF16(values[i]) : toF16(values[i]);
  return out;
}
