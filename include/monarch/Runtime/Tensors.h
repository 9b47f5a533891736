//===- Tensors.h - the tensors of one call ---------------------*- C++ -*-===//
#ifndef MONARCH_RUNTIME_TENSORS_H
#define MONARCH_RUNTIME_TENSORS_H

#include <cstdint>

namespace monarch {

/// A tensor `[B, N, heads, channels]` with free batch, token and head strides
/// (in elements) and contiguous channels; memory of the host or of the device.
struct TensorRef {
  void *data = nullptr;
  int64_t batchStride = 0, tokenStride = 0, headStride = 0;
};

/// Contiguous strides.
inline TensorRef contiguous(void *data, int64_t tokens, int64_t heads,
                            int64_t channels) {
  return {data, tokens * heads * channels, heads * channels, channels};
}

struct AttentionTensors {
  TensorRef query, key, value, out;
  /// `[B, Nkv]` bytes, zero for keys without influence; null without a mask.
  const uint8_t *keyMask = nullptr;
  int64_t keyMaskBatchStride = 0;
  /// Valid key frames of a problem that takes them at run time (A5).
  int64_t keyFrames = 0;
};

} // namespace monarch

#endif // MONARCH_RUNTIME_TENSORS_H
