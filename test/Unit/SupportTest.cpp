//===- SupportTest.cpp - halves and bundles -------------------------------===//

#include "monarch/Bundle/Bundle.h"
#include "monarch/Support/Half.h"
#include "monarch/Support/SlabParts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

using namespace monarch;

TEST(Half, EveryValueSurvives) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    float b = fromBF16(bits), h = fromF16(bits);
    if (!std::isnan(b)) {
      EXPECT_EQ(toBF16(b), bits);
    }
    if (!std::isnan(h)) {
      EXPECT_EQ(toF16(h), bits);
    }
  }
}

TEST(Half, RoundsToNearestEven) {
  EXPECT_EQ(toBF16(1.0f + 1.0f / 256), 0x3f80); // halfway, to even
  EXPECT_EQ(toBF16(1.0f + 3.0f / 256), 0x3f82); // halfway, to even
  EXPECT_EQ(toF16(1.0f + 1.0f / 2048), 0x3c00); // halfway, to even
  EXPECT_EQ(toF16(65519.0f), 0x7bff);           // largest finite
  EXPECT_EQ(toF16(65520.0f), 0x7c00);           // overflows
  EXPECT_EQ(toF16(std::ldexp(1.0f, -24)), 1);   // least subnormal
  EXPECT_EQ(toF16(std::ldexp(1.0f, -25)), 0);   // halfway, to even
  EXPECT_TRUE(std::isnan(fromBF16(toBF16(std::nanf("")))));
  EXPECT_TRUE(std::isnan(fromF16(toF16(std::nanf("")))));
  float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(fromBF16(toBF16(-inf)), -inf);
  EXPECT_EQ(fromF16(toF16(inf)), inf);
}

static Bundle example() {
  Bundle b;
  b.compilerVersion = "0.1.0";
  b.compilerHash = "0123456789abcdef";
  Geometry &g = b.problem.geometry;
  g.keyFrames = 21;
  g.queryFrames = 3;
  g.height = 30;
  g.width = 52;
  g.tile = {1, 30, 52};
  b.problem.heads = 12;
  b.problem.dynamicKeyFrames = true;
  TargetImage t;
  t.arch = "sm_90a";
  t.kernels.push_back({"r_step",
                       "text",
                       270,
                       128,
                       86016,
                       1,
                       0,
                       true,
                       true,
                       {{"key", 0, {1, 1, 52, 1, 64}}, {"ws0", 256, {}}},
                       {254, 0, 0, 0}});
  t.workspaces.push_back({"ws0", 1 << 20, 0, false, false});
  t.workspaces.push_back({"counters", 0, 4096, true, false});
  t.slabsPerHead = 6;
  t.ptx = ".version 8.8\n";
  t.cubin = std::string("\x7f"
                        "ELF\0bytes",
                        10);
  b.targets.push_back(t);
  return b;
}

/// Whole slabs, parts of each other one, and clusters for all.
static std::vector<int64_t> cut(int64_t slabs, int64_t atOnce) {
  SlabParts p = cutSlabs(slabs, atOnce);
  return {p.whole, p.parts, p.clusters};
}

TEST(SlabParts, TheLastWaveIsCut) {
  using Cut = std::vector<int64_t>;
  EXPECT_EQ(cut(60, 15), (Cut{60, 1, 60}));   // whole waves
  EXPECT_EQ(cut(36, 7), (Cut{35, 4, 39}));    // one is left: a part for 4 of 7
  EXPECT_EQ(cut(3, 7), (Cut{0, 2, 6}));       // fewer than run at once
  EXPECT_EQ(cut(4, 7), (Cut{0, 3, 12}));      // two waves of thirds
  EXPECT_EQ(cut(216, 7), (Cut{216, 1, 216})); // six of seven are busy
  for (int64_t atOnce = 1; atOnce <= 15; ++atOnce)
    for (int64_t slabs = 1; slabs <= 100; ++slabs) {
      SlabParts p = cutSlabs(slabs, atOnce);
      EXPECT_EQ(p.clusters, p.whole + (slabs - p.whole) * p.parts);
      EXPECT_LE(p.clusters - p.whole, p.parts > 1 ? mostParts(atOnce) : 0);
    }
}

TEST(Bundle, RoundTrip) {
  Bundle b = example(), read;
  std::string error, bytes = serializeBundle(b);
  ASSERT_TRUE(parseBundle(bytes, read, error)) << error;
  EXPECT_TRUE(looksLikeBundle(bytes));
  EXPECT_EQ(read.compilerHash, b.compilerHash);
  EXPECT_TRUE(read.problem.geometry == b.problem.geometry);
  EXPECT_TRUE(read.problem.dynamicKeyFrames);
  ASSERT_EQ(read.targets.size(), 1u);
  const TargetImage &t = read.targets[0];
  EXPECT_EQ(t.cubin, b.targets[0].cubin);
  EXPECT_EQ(t.ptx, b.targets[0].ptx);
  ASSERT_EQ(t.kernels.size(), 1u);
  EXPECT_EQ(t.kernels[0].arguments[1].offsetBytes, 256);
  EXPECT_EQ(t.kernels[0].arguments[0].box,
            b.targets[0].kernels[0].arguments[0].box);
  EXPECT_EQ(t.slabsPerHead, 6);
  EXPECT_EQ(t.kernels[0].resources.registers, 254);
  EXPECT_EQ(read.find("sm_90a"), &t);
  EXPECT_EQ(read.find("sm_80"), nullptr);
  // The same bundle gives the same bytes.
  EXPECT_EQ(serializeBundle(read), bytes);
}

TEST(Bundle, EveryTruncationIsRefused) {
  std::string bytes = serializeBundle(example());
  for (size_t n = 0; n < bytes.size(); ++n) {
    Bundle b;
    std::string error;
    EXPECT_FALSE(parseBundle(bytes.substr(0, n), b, error));
    EXPECT_NE(error, "");
  }
}

TEST(Bundle, EveryAlteredByteIsRefused) {
  std::string bytes = serializeBundle(example());
  for (size_t n = 0; n < bytes.size(); ++n) {
    Bundle b;
    std::string error, altered = bytes;
    altered[n] ^= 0x41;
    EXPECT_FALSE(parseBundle(altered, b, error)) << "byte " << n;
  }
}

TEST(Bundle, AManifestThatLiesIsRefused) {
  // A valid checksum over nonsense must not crash either.
  std::string bytes = serializeBundle(example());
  std::string error;
  Bundle b = example();
  b.problem.geometry.tile = {1, 31, 52};
  EXPECT_FALSE(parseBundle(serializeBundle(b), b, error));
  EXPECT_NE(error.find("G1: expected tile height in 1..30, got 31"),
            std::string::npos);
}

TEST(Bundle, TargetForAChip) {
  Bundle b;
  for (const char *arch : {"sm_80", "sm_89", "sm_90a"}) {
    b.targets.emplace_back();
    b.targets.back().arch = arch;
    b.targets.back().cubin = "cubin";
  }
  std::string error;
  auto pick = [&](int chip, const char *arch = "") {
    const TargetImage *t = selectTarget(b, arch, chip, error);
    return t ? t->arch : "";
  };
  EXPECT_EQ(pick(90), "sm_90a");
  EXPECT_EQ(pick(86), "sm_80");  // the latest earlier portable one
  EXPECT_EQ(pick(120), "sm_89"); // code for sm_90a runs nowhere else
  EXPECT_EQ(pick(90, "sm_80"), "sm_80");
  EXPECT_EQ(pick(75), "");
  EXPECT_EQ(error, "the bundle has no kernels for this device: expected some "
                   "for sm_75, got sm_80, sm_89, sm_90a");
  EXPECT_EQ(pick(80, "sm_90a"), "");
  EXPECT_EQ(error, "the bundle has no kernels for this device: expected sm_90a "
                   "for sm_80, got sm_80, sm_89, sm_90a");
  EXPECT_TRUE(isNative(b.targets[2], 90));
  EXPECT_FALSE(isNative(b.targets[0], 90));
}

TEST(Bundle, ImpossibleKernelsAreRefused) {
  auto refused = [](auto change) {
    Bundle b = example(), read;
    change(b.targets[0]);
    std::string error;
    EXPECT_FALSE(parseBundle(serializeBundle(b), read, error));
    return error;
  };
  using T = TargetImage;
  EXPECT_EQ(refused([](T &t) { t.arch = "gfx942"; }),
            "bundle: expected a target sm_NN, got 'gfx942'");
  EXPECT_EQ(refused([](T &t) { t.kernels[0].threads = 0; }),
            "bundle: kernel 'r_step' has an impossible launch");
  EXPECT_EQ(refused([](T &t) { t.kernels[0].clusters = 7; }),
            "bundle: kernel 'r_step' has an impossible launch");
  EXPECT_EQ(refused([](T &t) { t.kernels[0].arguments[1].buffer = "ws7"; }),
            "bundle: kernel 'r_step' wants unknown buffer 'ws7'");
  EXPECT_EQ(refused([](T &t) {
              t.kernels[0].arguments.resize(maxKernelArguments + 1,
                                            {"query", 0, {}});
            }),
            "bundle: kernel 'r_step' has too many arguments");
  EXPECT_EQ(refused([](T &t) { t.workspaces[0].bytesPerSlab = -1; }),
            "bundle: workspace 'ws0' has an impossible size");
  EXPECT_EQ(refused([](T &t) { t.workspaces[1].bytesPerSlab = 1; }),
            "bundle: workspace 'counters' has an impossible size");
  EXPECT_EQ(refused([](T &t) { t.kernels[0].arguments[0].box[2] = 257; }),
            "bundle: kernel 'r_step' wants an impossible box of 'key'");
  EXPECT_EQ(refused([](T &t) { t.kernels.clear(); }),
            "bundle: target 'sm_90a' has no kernels");
  EXPECT_EQ(refused([](T &t) { t.slabsPerHead = 0; }),
            "bundle: expected at least one slab a head");
}
