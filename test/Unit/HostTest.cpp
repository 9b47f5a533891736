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
  float gain = data == Data::LargeNorm
                   ? std::sqrt(27.0f)
                   : 1.0f;
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

} // namespace
