//===- HostTest.cpp - the host end against the f64 oracle -----------------===//
//
// Tolerances: docs/semantics.md, "Accuracy": relative error under 1e-2 (bf16),
// 2e-3 (f16), 1e-5 (f32). Outputs are poisoned with NaN before every run.
//
//===----------------------------------------------------------------------===//

#include "monarch/Codegen/Compiler.h"
#include "monarch/InitAll.h"
#include "monarch/Reference/RandomProblem.h"
#include "monarch/Reference/Reference.h"
#include "monarch/Runtime/HostJit.h"
#include "monarch/Support/Half.h"

#include "mlir/IR/MLIRContext.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

using namespace monarch;

namespace {

struct Case {
  Problem problem;
  int64_t keyFrames = 0;
  std::vector<uint8_t> query, key, value, mask;
};

enum class Data { Gaussian, LargeNorm, Constant, OneHot };

Case makeCase(const Problem &p, int64_t keyFrames, uint64_t seed, Data data) {
  Case c;
  c.problem = p;
  c.keyFrames = keyFrames;
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  auto fill = [&](int64_t count, int64_t dim, bool isKey, float gain) {
    std::vector<float> v(count);
    for (int64_t i = 0; i < count; ++i) {
      bool hot = i % dim == i / dim % dim;
      v[i] = data == Data::Constant          ? 0.5f
             : data == Data::OneHot && isKey ? float(hot)
                                             : gain * normal(random);
    }
    return fromFloats(v, p.dtype);
  };
  // Scores of about +-80: |q| |k| s = g^2 sqrt(D) with g^2 = 80 / sqrt(D) / 3.
  float gain = data == Data::LargeNorm ? std::sqrt(27.0f) : 1.0f;
  c.query = fill(p.queryElements(), p.headDim, false, gain);
  c.key = fill(p.keyElements(), p.headDim, true, gain);
  c.value = fill(p.valueElements(), p.valueDim, false, 1.0f);
  if (p.keyMask) {
    c.mask.resize(p.batch * p.geometry.keyTokens());
    for (uint8_t &m : c.mask)
      m = random() % 4 != 0;
    for (int64_t b = 0; b < p.batch; ++b)
      c.mask[b * p.geometry.keyTokens()] = 1;
  }
  return c;
}

std::vector<float> runHost(const Case &c, std::string &error) {
  const Problem &p = c.problem;
  mlir::DialectRegistry registry;
  registerAllDialects(registry);
  mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &d) {
    if (d.getSeverity() == mlir::DiagnosticSeverity::Error)
      error += d.str();
    return mlir::success();
  });
  auto module = buildProblem(&context, p, *findTarget("host"));
  if (!module || mlir::failed(lowerTo(*module, Level::Host)))
    return {};
  auto program = HostProgram::create(*module);
  if (!program) {
    error += llvm::toString(program.takeError());
    return {};
  }
  std::vector<uint8_t> out(p.outElements() * dtypeSize(p.dtype), 0xff); // NaN
  const Geometry &g = p.geometry;
  AttentionTensors t;
  t.query = contiguous(const_cast<uint8_t *>(c.query.data()), g.queryTokens(),
                       p.heads, p.headDim);
  t.key = contiguous(const_cast<uint8_t *>(c.key.data()), g.keyTokens(),
                     p.heads, p.headDim);
  t.value = contiguous(const_cast<uint8_t *>(c.value.data()), g.keyTokens(),
                       p.heads, p.valueDim);
  t.out = contiguous(out.data(), g.queryTokens(), p.heads, p.valueDim);
  if (p.keyMask) {
    t.keyMask = c.mask.data();
    t.keyMaskBatchStride = g.keyTokens();
  }
  t.keyFrames = c.keyFrames;
  if (llvm::Error e = (*program)->run(t)) {
    error += llvm::toString(std::move(e));
    return {};
  }
  return toFloats(out.data(), p.outElements(), p.dtype);
}

void check(const Case &c) {
  const Problem &p = c.problem;
  std::string error;
  std::vector<float> out = runHost(c, error);
  ASSERT_EQ(error, "");
  std::vector<float> q = toFloats(c.query.data(), p.queryElements(), p.dtype);
  std::vector<float> k = toFloats(c.key.data(), p.keyElements(), p.dtype);
  std::vector<float> v = toFloats(c.value.data(), p.valueElements(), p.dtype);
  ReferenceInputs in{q.data(), k.data(), v.data(),
                     c.mask.empty() ? nullptr : c.mask.data(), c.keyFrames};
  ErrorSummary e = compare(p, computeReference(p, in), out.data());
  EXPECT_EQ(e.compared, p.outElements());
  EXPECT_LT(e.relative, errorBound(p.dtype));
  for (float x : out)
    ASSERT_TRUE(std::isfinite(x));
}

class RandomProblems : public ::testing::TestWithParam<int> {};

TEST_P(RandomProblems, MatchTheOracle) {
  // Ten problems a test, so that a failure names a small range.
  for (int i = 0; i < 10; ++i) {
    uint64_t seed = GetParam() * 10 + i;
    int64_t keyFrames = 0;
    Problem p = randomProblem(seed, {}, keyFrames);
    Data data = seed % 5 == 3   ? Data::LargeNorm
                : seed % 5 == 4 ? (seed % 2 ? Data::Constant : Data::OneHot)
                                : Data::Gaussian;
    SCOPED_TRACE("seed " + std::to_string(seed) + ": " + describe(p));
    check(makeCase(p, keyFrames, seed, data));
  }
}
INSTANTIATE_TEST_SUITE_P(Seeds, RandomProblems, ::testing::Range(0, 22));

// NaN in one value reaches only outputs that depend on it: those of its head.
TEST(Host, NaNStaysInItsHead) {
  const int64_t keyFrames = 3;
  Problem p;
  Geometry &g = p.geometry;
  g.keyFrames = g.queryFrames = keyFrames;
  g.height = 4;
  g.width = 5;
  g.tile = {1, 4, 5};
  g.blocks = *Blocking::parse("fh", "w");
  p.heads = 2;
  p.headDim = p.valueDim = 16;
  p.dtype = DType::F32;
  p.causalFrames = 1;
  Case c = makeCase(p, keyFrames, 1, Data::Gaussian);
  // The value of the last token of head 1, channel 3: seen by frame 2 only.
  float nan = std::nanf("");
  size_t at = ((59 * 2 + 1) * 16 + 3) * 4;
  std::memcpy(&c.value[at], &nan, 4);
  std::string error;
  std::vector<float> out = runHost(c, error);
  ASSERT_EQ(error, "");
  for (int64_t t = 0; t < 60; ++t)
    for (int64_t h = 0; h < 2; ++h)
      for (int64_t d = 0; d < 16; ++d)
        EXPECT_EQ(std::isnan(out[(t * 2 + h) * 16 + d]),
                  t >= 40 && h == 1 && d == 3)
            << t << " " << h << " " << d;
}

// G3: keys that the mask takes out have no influence, whatever they hold.
TEST(Host, MaskedKeysMayHoldAnything) {
  for (bool vmonarch : {false, true}) {
    Problem p;
    Geometry &g = p.geometry;
    g.keyFrames = g.queryFrames = 2;
    g.height = 4;
    g.width = 5;
    g.tile = {vmonarch ? 2 : 1, 4, 5};
    g.blocks = *Blocking::parse(vmonarch ? "f" : "fh", vmonarch ? "hw" : "w");
    p.heads = 1;
    p.headDim = p.valueDim = 16;
    p.dtype = DType::F32;
    p.keyMask = true;
    p.iterations = vmonarch ? 2 : 1;
    p.recomputeFrames = vmonarch ? 1 : 0;
    Case c = makeCase(p, 2, 5, Data::Gaussian);
    c.mask[7] = c.mask[23] = 0;
    for (int64_t token : {7, 23})
      for (int64_t d = 0; d < 16; ++d) {
        float k = std::nanf(""), v = std::numeric_limits<float>::infinity();
        std::memcpy(&c.key[(token * 16 + d) * 4], &k, 4);
        std::memcpy(&c.value[(token * 16 + d) * 4], &v, 4);
      }
    check(c);
  }
}

// Free batch, token and head strides: a tensor inside a larger one.
TEST(Host, FreeStrides) {
  Problem p;
  Geometry &g = p.geometry;
  g.keyFrames = g.queryFrames = 2;
  g.height = 3;
  g.width = 4;
  g.tile = {1, 3, 4};
  g.blocks = *Blocking::parse("fh", "w");
  p.heads = 2;
  p.headDim = p.valueDim = 8;
  p.dtype = DType::F32;
  Case c = makeCase(p, 2, 3, Data::Gaussian);
  std::string error;
  std::vector<float> plain = runHost(c, error);
  ASSERT_EQ(error, "");
  // [heads][tokens][20] in place of [tokens][heads][8].
  std::vector<float> wide[3];
  const std::vector<uint8_t> *from[3] = {&c.query, &c.key, &c.value};
  for (int x = 0; x < 3; ++x) {
    wide[x].assign(2 * 24 * 20, std::nanf(""));
    auto *source = reinterpret_cast<const float *>(from[x]->data());
    for (int h = 0; h < 2; ++h)
      for (int t = 0; t < 24; ++t)
        std::copy_n(source + (t * 2 + h) * 8, 8, &wide[x][(h * 24 + t) * 20]);
  }
  mlir::DialectRegistry registry;
  registerAllDialects(registry);
  mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  auto module = buildProblem(&context, p, *findTarget("host"));
  ASSERT_TRUE(module && mlir::succeeded(lowerTo(*module, Level::Host)));
  auto program = llvm::cantFail(HostProgram::create(*module));
  std::vector<float> out(2 * 24 * 20, std::nanf(""));
  auto strided = [](std::vector<float> &v) {
    return TensorRef{v.data(), 2 * 24 * 20, 20, 24 * 20};
  };
  AttentionTensors t;
  t.query = strided(wide[0]);
  t.key = strided(wide[1]);
  t.value = strided(wide[2]);
  t.out = strided(out);
  ASSERT_FALSE(program->run(t));
  for (int h = 0; h < 2; ++h)
    for (int n = 0; n < 24; ++n)
      for (int d = 0; d < 20; ++d) {
        float got = out[(h * 24 + n) * 20 + d];
        if (d < 8)
          EXPECT_EQ(got, plain[(n * 2 + h) * 8 + d]);
        else
          EXPECT_TRUE(std::isnan(got)); // nothing outside is written
      }
}

} // namespace
