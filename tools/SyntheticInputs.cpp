//===- SyntheticInputs.cpp - random, spiked and video-like inputs ---------===//

#include "Inputs.h"

#include "monarch/Support/Half.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <random>
#include <thread>

using namespace monarch;

/// Normal numbers; blocks of a million have seeds of their own, so that threads
/// can share the work and the result does not depend on how many there are.
static std::vector<float> gaussian(int64_t count, std::mt19937_64 &random) {
  constexpr int64_t block = 1 << 20;
  std::vector<float> v(count);
  std::vector<uint64_t> seeds(ceilDiv(count, block));
  for (uint64_t &s : seeds)
    s = random();
  std::atomic<size_t> next{0};
  auto work = [&] {
    for (size_t i; (i = next++) < seeds.size();) {
      std::mt19937_64 local(seeds[i]);
      std::normal_distribution<float> normal;
      for (int64_t x = i * block; x < std::min<int64_t>(count, (i + 1) * block);
           ++x)
        v[x] = normal(local);
    }
  };
  std::vector<std::thread> pool;
  for (size_t t = 1;
       t < std::min<size_t>(seeds.size(), std::thread::hardware_concurrency());
       ++t)
    pool.emplace_back(work);
  work();
  for (std::thread &t : pool)
    t.join();
  return v;
}

/// Every seventh key or so is masked; the first never is.
static std::vector<uint8_t> randomMask(const Problem &p,
                                       std::mt19937_64 &random) {
  if (!p.keyMask)
    return {};
  std::vector<uint8_t> mask(p.batch * p.geometry.keyTokens());
  for (uint8_t &m : mask)
    m = random() % 7 != 0;
  for (int64_t b = 0; b < p.batch; ++b)
    mask[b * p.geometry.keyTokens()] = 1;
  return mask;
}

using Edit = std::function<void(std::vector<float> &)>;

/// Tensors of normal numbers, each edited before it is rounded. Keys come last,
/// so that what their edit draws leaves the values as they are.
static Inputs normalInputs(const Problem &p, std::mt19937_64 &random,
                           const Edit &query, const Edit &key,
                           const Edit &value) {
  auto tensor = [&](std::vector<float> v, const Edit &edit) {
    if (edit)
      edit(v);
    return fromFloats(v, p.dtype);
  };
  Inputs in;
  in.query = tensor(gaussian(p.queryElements(), random), query);
  std::vector<float> keys = gaussian(p.keyElements(), random);
  in.value = tensor(gaussian(p.valueElements(), random), value);
  in.key = tensor(std::move(keys), key);
  in.keyMask = randomMask(p, random);
  return in;
}

Inputs monarch::randomInputs(const Problem &p, uint64_t seed) {
  std::mt19937_64 random(seed);
  return normalInputs(p, random, {}, {}, {});
}

Inputs monarch::spikeInputs(const Problem &p, uint64_t seed) {
  const Geometry &g = p.geometry;
  std::mt19937_64 random(seed);
  // A row of b2 random keys counts 2^6 or so in the L step, 10.7 = ln 2^15.5:
  // the row with the spike outgrows what came before by about 2^9, in some
  // block rows by more and in some by less than 2^8, and leaves the others a
  // share.
  constexpr float along = 4, spike = 10.7f;
  double scale = p.scale ? p.scale : 1 / std::sqrt(double(p.headDim));
  auto query = [&](std::vector<float> &v) {
    for (size_t i = 0; i < v.size(); i += p.headDim)
      v[i] = along;
  };
  int64_t perFrame = g.keyTokens() / g.keyFrames;
  auto key = [&](std::vector<float> &v) {
    for (int64_t b = 0; b < p.batch; ++b)
      for (int64_t head = 0; head < p.heads; ++head) {
        int64_t frame = g.keyFrames / 2 + random() % ceilDiv(g.keyFrames, 2);
        int64_t token = frame * perFrame + random() % perFrame;
        v[((b * g.keyTokens() + token) * p.heads + head) * p.headDim] =
            float(spike / (along * scale));
      }
  };
  auto value = [](std::vector<float> &v) {
    for (float &x : v) // or what the others leave would average out
      x += 1;
  };
  return normalInputs(p, random, query, key, value);
}

//===----------------------------------------------------------------------===//
// Video
//===----------------------------------------------------------------------===//

namespace {
/// A procedural scene: a textured background that drifts, and discs that move
/// over it. Sampled in token units.
class Scene {
public:
  explicit Scene(std::mt19937_64 &random) {
    std::uniform_real_distribution<double> u(0, 1);
    for (auto &wave : waves)
      wave = {u(random) * 0.6 - 0.3, u(random) * 0.6 - 0.3,
              u(random) * 0.2 - 0.1, u(random) * 6.28, 0.2 + u(random)};
    for (auto &disc : discs)
      disc = {u(random),
              u(random),
              u(random) * 0.04 - 0.02,
              u(random) * 0.04 - 0.02,
              0.05 + 0.15 * u(random),
              u(random) * 4 - 2};
  }

  /// Brightness at a point of frame f; x and y in 0..1 over the picture.
  double at(double f, double y, double x, double h, double w) const {
    double v = 0;
    for (const auto &[ky, kx, kf, phase, amplitude] : waves)
      v += amplitude * std::sin(ky * y * h + kx * x * w + kf * f + phase);
    for (const auto &[y0, x0, vy, vx, radius, value] : discs) {
      double dy = y - (y0 + vy * f), dx = x - (x0 + vx * f);
      dy -= std::floor(dy + 0.5);
      dx -= std::floor(dx + 0.5);
      if (dy * dy + dx * dx < radius * radius)
        v = value;
    }
    return v;
  }

private:
  struct Wave {
    double ky, kx, kf, phase, amplitude;
  } waves[6];
  struct Disc {
    double y, x, vy, vx, radius, value;
  } discs[5];
};
} // namespace

/// Rotary embedding over (f, h, w): the channels of a head are split over the
/// axes as Wan2.1 does, the remainder going to frames (rope_params in
/// wan/modules/model.py: d - 4 (d/6), 2 (d/6), 2 (d/6)).
static void rotate(float *x, int64_t dim, const Extents &position) {
  int64_t sixth = dim / 6;
  int64_t widths[3] = {dim - 4 * sixth, 2 * sixth, 2 * sixth};
  for (int axis = 0; axis < 3; ++axis) {
    for (int64_t d = 0; d + 1 < widths[axis]; d += 2) {
      double angle =
          position[axis] * std::pow(10000.0, -double(d) / widths[axis]);
      double c = std::cos(angle), s = std::sin(angle);
      float a = x[d], b = x[d + 1];
      x[d] = float(a * c - b * s);
      x[d + 1] = float(a * s + b * c);
    }
    x += widths[axis];
  }
}

Inputs monarch::videoInputs(const Problem &p, uint64_t seed) {
  const Geometry &g = p.geometry;
  std::mt19937_64 random(seed);
  Scene scene(random);
  constexpr int64_t patch = 4, features = patch * patch + 8;

  // Patch features of every token: brightness on a grid inside the patch, and
  // a few slow functions of it that stand for what earlier layers found.
  int64_t h = g.sequenceTokens ? 1 : g.height;
  int64_t w = g.sequenceTokens ? g.sequenceTokens : g.width;
  int64_t perFrame = h * w, tokens = g.keyFrames * perFrame;
  std::vector<float> feature(tokens * features);
  for (int64_t t = 0; t < tokens; ++t) {
    int64_t f = t / perFrame, y = t / w % h, x = t % w;
    float *out = &feature[t * features];
    double mean = 0;
    for (int64_t i = 0; i < patch; ++i)
      for (int64_t j = 0; j < patch; ++j) {
        double v = scene.at(f, (y + (i + 0.5) / patch) / h,
                            (x + (j + 0.5) / patch) / w, h, w);
        out[i * patch + j] = float(v);
        mean += v / (patch * patch);
      }
    for (int64_t i = 0; i < 8; ++i)
      out[patch * patch + i] = float(2 * std::sin(mean * (i + 1) + i));
  }

  Inputs in;
  auto project = [&](int64_t count, int64_t first, int64_t dim, bool position,
                     float gain) {
    std::vector<float> v(p.batch * count * p.heads * dim);
    for (int64_t head = 0; head < p.heads; ++head) {
      std::vector<float> matrix = gaussian(features * dim, random);
      for (int64_t b = 0; b < p.batch; ++b)
        for (int64_t t = 0; t < count; ++t) {
          const float *source = &feature[(first + t) * features];
          float *out = &v[((b * count + t) * p.heads + head) * dim];
          double norm = 0;
          std::fill_n(out, dim, 0.0f);
          for (int64_t i = 0; i < features; ++i)
            for (int64_t d = 0; d < dim; ++d)
              out[d] += source[i] * matrix[i * dim + d];
          for (int64_t d = 0; d < dim; ++d)
            norm += double(out[d]) * out[d];
          // QK RMS norm with a learned gain; values are only scaled.
          float scale = gain / float(std::sqrt(norm / dim + 1e-6));
          for (int64_t d = 0; d < dim; ++d)
            out[d] *= scale;
          if (position) {
            int64_t token = first + t;
            rotate(out, dim, {token / perFrame, token / w % h, token % w});
          }
        }
    }
    return fromFloats(v, p.dtype);
  };
  // The queries are the last frames of the keys' video.
  int64_t queries = g.queryTokens();
  in.query = project(queries, tokens - queries, p.headDim, true, 1.5f);
  in.key = project(tokens, 0, p.headDim, true, 1.5f);
  in.value = project(tokens, 0, p.valueDim, false, 1.0f);
  in.keyMask = randomMask(p, random);
  return in;
}
