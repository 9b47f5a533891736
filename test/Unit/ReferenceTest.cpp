//===- ReferenceTest.cpp - identities that the oracle obeys ---------------===//
//
// The oracle is compared with formulas written out another way; agreement to
// 1e-12 relative, the rounding of sums of some hundred doubles.
//
//===----------------------------------------------------------------------===//

#include "monarch/Reference/Reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

using namespace monarch;

namespace {
struct Data {
  std::vector<float> q, k, v;
};

Data fill(const Problem &p) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  Data d;
  for (auto [vector, count] : {std::pair{&d.q, p.queryElements()},
                               {&d.k, p.keyElements()},
                               {&d.v, p.valueElements()}}) {
    vector->resize(count);
    for (float &x : *vector)
      x = normal(random);
  }
  return d;
}

Problem make(Extents grid, Extents tile, const char *rows,
             const char *columns) {
  Problem p;
  Geometry &g = p.geometry;
  g.keyFrames = g.queryFrames = grid[0];
  g.height = grid[1];
  g.width = grid[2];
  g.tile = tile;
  g.blocks = *Blocking::parse(rows, columns);
  p.heads = 2;
  p.headDim = p.valueDim = 12;
  return p;
}

/// softmax(s q k^T) v over keys [0, visible(query)).
std::vector<double> dense(const Problem &p, const Data &d,
                          int64_t (*visible)(const Problem &, int64_t)) {
  int64_t n = p.geometry.queryTokens(), D = p.headDim, H = p.heads;
  std::vector<double> out(p.outElements());
  for (int64_t h = 0; h < H; ++h)
    for (int64_t i = 0; i < n; ++i) {
      double z = 0;
      std::vector<double> acc(D);
      for (int64_t j = 0; j < visible(p, i); ++j) {
        double x = 0;
        for (int64_t c = 0; c < D; ++c)
          x += double(d.q[(i * H + h) * D + c]) * d.k[(j * H + h) * D + c];
        double w = std::exp(x / std::sqrt(double(D)));
        z += w;
        for (int64_t c = 0; c < D; ++c)
          acc[c] += w * d.v[(j * H + h) * D + c];
      }
      for (int64_t c = 0; c < D; ++c)
        out[(i * H + h) * D + c] = acc[c] / z;
    }
  return out;
}

int64_t allKeys(const Problem &p, int64_t) { return p.geometry.keyTokens(); }

void expectNear(const std::vector<double> &x, const std::vector<double> &y) {
  ASSERT_EQ(x.size(), y.size());
  for (size_t i = 0; i < x.size(); ++i)
    ASSERT_NEAR(x[i], y[i], 1e-12 * (1 + std::fabs(y[i]))) << i;
}

ReferenceResult run(const Problem &p, const Data &d) {
  return computeReference(p, {d.q.data(), d.k.data(), d.v.data()});
}
} // namespace

TEST(Identity, OneColumnIsDense) { // A7: T = 1 and b2 = 1
  Problem p = make({3, 4, 5}, {3, 4, 1}, "fh", "w");
  Data d = fill(p);
  expectNear(run(p, d).out, dense(p, d, allKeys));
}

TEST(Identity, OneRowOneTileIsDense) { // A7: T = 1, one key tile, b1 = 1
  Problem p = make({1, 4, 5}, {1, 4, 5}, "f", "hw");
  Data d = fill(p);
  expectNear(run(p, d).out, dense(p, d, allKeys));
}

TEST(Identity, CausalDense) { // A4 with A7: groups of one frame
  Problem p = make({3, 4, 5}, {1, 4, 1}, "fh", "w");
  p.causalFrames = 1;
  Data d = fill(p);
  expectNear(run(p, d).out, dense(p, d, [](const Problem &, int64_t i) {
               return (i / 20 + 1) * 20;
             }));
}

TEST(Identity, RecomputeOfAllFramesIsDense) { // A3
  Problem p = make({3, 4, 5}, {3, 4, 5}, "f", "hw");
  p.iterations = 2;
  p.recomputeFrames = 3;
  Data d = fill(p);
  expectNear(run(p, d).out, dense(p, d, allKeys));
}

TEST(Identity, RowsSumToOne) { // with v = 1 every output is 1
  for (int64_t t = 1; t <= 3; ++t) {
    Problem p = make({3, 5, 7}, {2, 3, 4}, "h", "fw");
    p.iterations = t;
    Data d = fill(p);
    d.v.assign(d.v.size(), 1.0f);
    for (double x : run(p, d).out)
      ASSERT_NEAR(x, 1.0, 1e-12);
  }
}

TEST(Identity, ConstantKeysAverageTheValues) {
  Problem p = make({2, 3, 4}, {1, 3, 4}, "fh", "w");
  Data d = fill(p);
  d.k.assign(d.k.size(), 0.0f);
  std::vector<double> out = run(p, d).out;
  for (int64_t h = 0; h < 2; ++h)
    for (int64_t c = 0; c < 12; ++c) {
      double mean = 0;
      for (int64_t t = 0; t < 24; ++t)
        mean += d.v[(t * 2 + h) * 12 + c] / 24.0;
      for (int64_t t = 0; t < 24; ++t)
        ASSERT_NEAR(out[(t * 2 + h) * 12 + c], mean, 1e-12);
    }
}

TEST(Reference, ASampleAgreesWithTheWhole) {
  Problem p = make({4, 5, 6}, {2, 5, 6}, "fh", "w");
  p.recomputeFrames = 1;
  Data d = fill(p);
  ReferenceInputs in{d.q.data(), d.k.data(), d.v.data()};
  ReferenceOptions options;
  options.samplePairs = 5;
  ReferenceResult part = computeReference(p, in, options),
                  whole = computeReference(p, in);
  int64_t rows = 0;
  for (size_t r = 0; r < part.computed.size(); ++r) {
    EXPECT_EQ(whole.computed[r], 1);
    if (!part.computed[r])
      continue;
    ++rows;
    for (int64_t c = 0; c < 12; ++c)
      EXPECT_EQ(part.out[r * 12 + c], whole.out[r * 12 + c]);
  }
  EXPECT_GT(rows, 10);
  EXPECT_LT(rows, 240);
}

TEST(Compare, NaNNeverPasses) {
  Problem p = make({2, 3, 4}, {1, 3, 4}, "fh", "w");
  Data d = fill(p);
  ReferenceResult r = run(p, d);
  std::vector<float> out(r.out.begin(), r.out.end());
  EXPECT_LT(compare(p, r, out.data()).relative, 1e-6);
  out[17] = std::nanf("");
  EXPECT_FALSE(compare(p, r, out.data()).relative < 1e9);
}
