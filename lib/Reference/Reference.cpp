//===- Reference.cpp - the f64 oracle -------------------------------------===//

#include "monarch/Reference/Reference.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <random>
#include <thread>

using namespace monarch;

namespace {

/// Eight partial sums in a fixed order: the compiler may use vectors, and the
/// result does not depend on how wide they are.
template <typename A, typename B>
double dotProduct(const A *a, const B *b, int64_t n) {
  double sums[8] = {};
  int64_t d = 0;
  for (; d + 8 <= n; d += 8)
    for (int x = 0; x < 8; ++x)
      sums[x] += double(a[d + x]) * double(b[d + x]);
  for (; d < n; ++d)
    sums[d % 8] += double(a[d]) * double(b[d]);
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
         ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/// Everything of one (batch, head): the algorithm never mixes them.
class HeadReference {
public:
  HeadReference(const Problem &p, const ReferenceInputs &in,
                ReferenceResult &result, int64_t batch, int64_t head)
      : p(p), g(p.geometry), in(in), result(result), batch(batch), head(head),
        frames(in.keyFrames ? in.keyFrames : g.keyFrames) {}

  void computePair(int64_t a, int64_t j) const;
  void recompute(int64_t token) const;

private:
  const float *row(const float *base, int64_t tokens, int64_t token,
                   int64_t width) const {
    return base + ((batch * tokens + token) * p.heads + head) * width;
  }
  const float *query(int64_t t) const {
    return row(in.query, g.queryTokens(), t, p.headDim);
  }
  const float *key(int64_t t) const {
    return row(in.key, g.keyTokens(), t, p.headDim);
  }
  const float *value(int64_t t) const {
    return row(in.value, g.keyTokens(), t, p.valueDim);
  }
  bool valid(int64_t token) const {
    return !in.keyMask || in.keyMask[batch * g.keyTokens() + token];
  }
  /// Token of block row i, column j of query tile a, or nothing.
  std::optional<int64_t> queryToken(int64_t a, int64_t i, int64_t j) const {
    return g.token(g.queryFrames, g.coordinates(g.queryFrames, a, i, j));
  }
  void store(int64_t token, const std::vector<double> &v, double scale) const;

  const Problem &p;
  const Geometry &g;
  const ReferenceInputs &in;
  ReferenceResult &result;
  int64_t batch, head, frames;
};

void HeadReference::store(int64_t token, const std::vector<double> &v,
                          double scale) const {
  int64_t at = (batch * g.queryTokens() + token) * p.heads + head;
  for (int64_t d = 0; d < p.valueDim; ++d)
    result.out[at * p.valueDim + d] = v[d] * scale;
  result.computed[at] = 1;
}

/// All rows i of column j of query tile a. The whole iteration is local to the
/// pair: aR, cR of column j come from queries of column j alone.
void HeadReference::computePair(int64_t a, int64_t j) const {
  const int64_t b1 = g.b1(), b2 = g.b2(), D = p.headDim, Dv = p.valueDim;
  const int64_t tiles =
      g.visibleKeyTiles(a, frames, p.causalFrames, p.causalOffset);
  const int64_t rows = tiles * b1;
  const double s = p.effectiveScale();

  std::vector<std::optional<int64_t>> tokens(b1);
  std::vector<double> q(b1 * D, 0.0);
  for (int64_t i = 0; i < b1; ++i)
    if ((tokens[i] = queryToken(a, i, j)))
      std::copy_n(query(*tokens[i]), D, q.begin() + i * D);

  // L starts as the identity: aR[c,k] = q[k], cR = 1.
  std::vector<double> aR(rows * D), cR(rows, 1.0);
  for (int64_t r = 0; r < rows; ++r)
    std::copy_n(q.begin() + r % b1 * D, D, aR.begin() + r * D);

  std::vector<double> aL(rows * D), cL(rows), y, P(rows), R(b2), acc(Dv);
  std::vector<int64_t> keys(b2);
  for (int64_t t = 1; t <= p.iterations; ++t) {
    const bool last = t == p.iterations;
    if (last)
      y.assign(rows * Dv, 0.0);
    std::fill(aL.begin(), aL.end(), 0.0);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t c = r / b1, k = r % b1;
      double max = -std::numeric_limits<double>::infinity();
      bool any = false;
      for (int64_t l = 0; l < b2; ++l) {
        auto token = g.token(frames, g.coordinates(frames, c, k, l));
        keys[l] = token && valid(*token) ? *token : -1;
        if (keys[l] < 0)
          continue;
        R[l] = s * dotProduct(&aR[r * D], key(keys[l]), D);
        if (p.iterations > 1) // A7: with T = 1 the division is dropped
          R[l] /= std::max(cR[r], p.temperatureFloor);
        max = std::max(max, R[l]);
        any = true;
      }
      if (!any) { // G3: a row without a valid key has weight zero
        cL[r] = std::numeric_limits<double>::infinity();
        continue;
      }
      double Z = 0, E = 0;
      for (int64_t l = 0; l < b2; ++l)
        if (keys[l] >= 0) {
          double x = R[l] - max;
          R[l] = std::exp(x);
          Z += R[l];
          E += x * R[l];
        }
      cL[r] = E / Z - std::log(Z);
      for (int64_t l = 0; l < b2; ++l) {
        if (keys[l] < 0)
          continue;
        const double w = R[l] / Z;
        const float *kp = key(keys[l]);
        double *ap = &aL[r * D];
        for (int64_t d = 0; d < D; ++d)
          ap[d] += s * w * double(kp[d]);
        if (!last)
          continue;
        const float *vp = value(keys[l]);
        double *yp = &y[r * Dv];
        for (int64_t d = 0; d < Dv; ++d)
          yp[d] += w * double(vp[d]);
      }
    }
    if (!last) {
      std::fill(aR.begin(), aR.end(), 0.0);
      std::fill(cR.begin(), cR.end(), 0.0);
    }
    for (int64_t i = 0; i < b1; ++i) {
      if (!tokens[i])
        continue; // padded queries add nothing and are stored by nobody
      const double *qp = &q[i * D];
      double max = -std::numeric_limits<double>::infinity(), Z = 0;
      for (int64_t r = 0; r < rows; ++r) {
        P[r] = dotProduct(qp, &aL[r * D], D) - cL[r];
        max = std::max(max, P[r]);
      }
      if (max == -std::numeric_limits<double>::infinity())
        max = 0; // no key at all: the output is zero
      for (int64_t r = 0; r < rows; ++r)
        Z += P[r] = std::exp(P[r] - max);
      const double inverse = Z > 0 ? 1 / Z : 0;
      if (!last) {
        for (int64_t r = 0; r < rows; ++r) {
          const double w = P[r] * inverse;
          cR[r] += w;
          double *ap = &aR[r * D];
          for (int64_t d = 0; d < D; ++d)
            ap[d] += w * qp[d];
        }
        continue;
      }
      std::fill(acc.begin(), acc.end(), 0.0);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t d = 0; d < Dv; ++d)
          acc[d] += P[r] * y[r * Dv + d];
      store(*tokens[i], acc, inverse);
    }
  }
}

/// Dense softmax attention of one query (A3), under the causal rule (A4).
void HeadReference::recompute(int64_t token) const {
  const int64_t perFrame =
      g.sequenceTokens ? g.sequenceTokens : g.height * g.width;
  int64_t visible = g.keyTokens(frames);
  if (p.causalFrames)
    visible = std::min(
        visible, ((token / perFrame + p.causalOffset) / p.causalFrames + 1) *
                     p.causalFrames * perFrame);
  const float *qp = query(token);
  std::vector<double> w(visible, 0.0), acc(p.valueDim, 0.0);
  double max = -std::numeric_limits<double>::infinity(), Z = 0;
  for (int64_t t = 0; t < visible; ++t) {
    if (!valid(t))
      continue;
    w[t] = p.effectiveScale() * dotProduct(qp, key(t), p.headDim);
    max = std::max(max, w[t]);
  }
  for (int64_t t = 0; t < visible; ++t) {
    if (!valid(t))
      continue;
    const double e = std::exp(w[t] - max);
    Z += e;
    for (int64_t d = 0; d < p.valueDim; ++d)
      acc[d] += e * double(value(t)[d]);
  }
  store(token, acc, Z > 0 ? 1 / Z : 0);
}

} // namespace

ReferenceResult monarch::computeReference(const Problem &p,
                                          const ReferenceInputs &in,
                                          const ReferenceOptions &options) {
  const Geometry &g = p.geometry;
  ReferenceResult result;
  result.out.assign(p.outElements(), 0.0);
  result.computed.assign(p.batch * g.queryTokens() * p.heads, 0);

  struct Item {
    int64_t batch, head, a, j; ///< j < 0: recompute token a
  };
  std::vector<Item> items;
  int64_t headEnd = options.headEnd < 0 ? p.heads : options.headEnd;
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t h = options.headBegin; h < headEnd; ++h)
      for (int64_t a = 0; a < g.queryTiles(); ++a)
        for (int64_t j = 0; j < g.b2(); ++j)
          items.push_back({b, h, a, j});
  auto sample = [&](std::vector<Item> &list) {
    int64_t n = options.samplePairs;
    if (!n || static_cast<int64_t>(list.size()) <= n)
      return;
    std::mt19937_64 random(20260122);
    std::vector<Item> kept = {list.front(), list.back()};
    while (static_cast<int64_t>(kept.size()) < n)
      kept.push_back(list[random() % list.size()]);
    list = std::move(kept);
  };
  sample(items);
  std::vector<Item> dense;
  if (p.recomputeFrames) {
    int64_t perFrame = g.height * g.width;
    for (int64_t b = 0; b < p.batch; ++b)
      for (int64_t h = options.headBegin; h < headEnd; ++h)
        for (int64_t t = 0; t < p.recomputeFrames * perFrame; ++t)
          dense.push_back({b, h, t, -1});
    sample(dense);
  }

  unsigned threads = options.threads
                         ? options.threads
                         : std::max(1u, std::thread::hardware_concurrency());
  // Recomputed rows replace Monarch's, so they come second.
  size_t total = items.size() + dense.size();
  std::atomic<size_t> finished{0};
  std::mutex progressLock;
  for (const std::vector<Item> *phase : {&items, &dense}) {
    std::atomic<size_t> next{0};
    auto work = [&] {
      for (size_t i; (i = next++) < phase->size();) {
        const Item &item = (*phase)[i];
        HeadReference one(p, in, result, item.batch, item.head);
        if (item.j < 0)
          one.recompute(item.a);
        else
          one.computePair(item.a, item.j);
        size_t done = ++finished;
        if (options.progress && done % 64 == 0) {
          std::lock_guard<std::mutex> guard(progressLock);
          options.progress(double(done) / total);
        }
      }
    };
    std::vector<std::thread> pool;
    for (unsigned t = 1; t < threads; ++t)
      pool.emplace_back(work);
    work();
    for (std::thread &t : pool)
      t.join();
  }
  // A sampled pair may hold rows of recomputed frames that were not sampled:
  // those rows are Monarch's, not the result's.
  if (p.recomputeFrames && options.samplePairs) {
    std::vector<uint8_t> isDense(result.computed.size(), 0);
    for (const Item &item : dense)
      isDense[(item.batch * g.queryTokens() + item.a) * p.heads + item.head] =
          1;
    int64_t denseTokens = p.recomputeFrames * g.height * g.width;
    for (int64_t b = 0; b < p.batch; ++b)
      for (int64_t t = 0; t < denseTokens; ++t)
        for (int64_t h = 0; h < p.heads; ++h) {
          size_t at = (b * g.queryTokens() + t) * p.heads + h;
          result.computed[at] &= isDense[at];
        }
  }
  return result;
}

ErrorSummary monarch::compare(const Problem &p,
                              const ReferenceResult &reference,
                              const float *out) {
  ErrorSummary e;
  double difference = 0, norm = 0;
  for (size_t r = 0; r < reference.computed.size(); ++r) {
    if (!reference.computed[r])
      continue;
    for (int64_t d = 0; d < p.valueDim; ++d) {
      double want = reference.out[r * p.valueDim + d];
      double got = out[r * p.valueDim + d];
      ++e.compared;
      if (!std::isfinite(want))
        continue;
      if (!std::isfinite(got)) {
        e.finite = false;
        continue;
      }
      difference += (got - want) * (got - want);
      norm += want * want;
      e.maxAbsolute = std::max(e.maxAbsolute, std::fabs(got - want));
    }
  }
  e.relative = norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
  if (!e.finite)
    e.relative = std::numeric_limits<double>::infinity();
  return e;
}

double monarch::errorBound(DType type) {
  switch (type) {
  case DType::BF16:
    return 1e-2;
  case DType::F16:
    return 2e-3;
  case DType::F32:
    return 1e-5;
  }
  return 0;
}
