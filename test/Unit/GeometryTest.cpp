//===- GeometryTest.cpp - grids, tiles and blocks -------------------------===//

#include "monarch/Geometry/Geometry.h"

#include <gtest/gtest.h>

#include <set>

using namespace monarch;

static Geometry make(Extents grid, Extents tile, const char *rows,
                     const char *columns) {
  Geometry g;
  g.keyFrames = g.queryFrames = grid[0];
  g.height = grid[1];
  g.width = grid[2];
  g.tile = tile;
  g.blocks = *Blocking::parse(rows, columns);
  return g;
}

TEST(Blocking, SixAlignedChoices) {
  int accepted = 0;
  const char *sides[] = {"f", "h", "w", "fh", "fw", "hw", "fhw", "hf", ""};
  for (const char *rows : sides)
    for (const char *columns : sides)
      if (auto b = Blocking::parse(rows, columns)) {
        ++accepted;
        EXPECT_EQ(b->rows(), rows);
        EXPECT_EQ(b->columns(), columns);
      }
  EXPECT_EQ(accepted, 6); // G2
}

TEST(Geometry, CountsOfWan480p) {
  Geometry g = make({21, 30, 52}, {1, 30, 52}, "fh", "w");
  EXPECT_EQ(g.verify(), "");
  EXPECT_EQ(g.queryTokens(), 32760);
  EXPECT_EQ(g.queryTiles(), 21);
  EXPECT_EQ(g.b1(), 30);
  EXPECT_EQ(g.b2(), 52);
  EXPECT_NEAR(sparsity(g), 0.947, 5e-4); // MonarchRT prints 95 %
  // semantics.md: R Nq C b2 (2D + Dv), L Nq C b1 (D + Dv) at T = 1.
  WorkCount w = countWork(g, 128, 128, 1);
  EXPECT_DOUBLE_EQ(w.rStep, 32760.0 * 21 * 52 * 384);
  EXPECT_DOUBLE_EQ(w.lStep, 32760.0 * 21 * 30 * 256);
  EXPECT_DOUBLE_EQ(w.dense, 2.0 * 32760 * 32760 * 128);
}

TEST(Geometry, CausalWorkIsWhatQueriesSee) {
  // Of three frames in tiles of two, groups of two: 32 queries see one key
  // tile, the last frame's 16 both.
  Geometry g = make({3, 4, 4}, {2, 4, 4}, "h", "fw");
  WorkCount w = countWork(g, 16, 16, 1, 2, 0);
  EXPECT_DOUBLE_EQ(w.rStep, (32.0 * 1 + 16 * 2) * 8 * 48);
  EXPECT_DOUBLE_EQ(w.lStep, (32.0 * 1 + 16 * 2) * 4 * 32);
}

TEST(Geometry, EveryTokenIsInOnePlace) {
  // All blockings, partial tiles: (tile, i, j) covers each token exactly once.
  const char *blocks[6][2] = {{"fh", "w"}, {"w", "fh"}, {"f", "hw"},
                              {"hw", "f"}, {"fw", "h"}, {"h", "fw"}};
  for (auto &b : blocks)
    for (Extents tile :
         {Extents{1, 4, 5}, Extents{2, 3, 4}, Extents{3, 5, 7}}) {
      Geometry g = make({3, 5, 7}, tile, b[0], b[1]);
      std::multiset<int64_t> seen;
      for (int64_t t = 0; t < g.queryTiles(); ++t)
        for (int64_t i = 0; i < g.b1(); ++i)
          for (int64_t j = 0; j < g.b2(); ++j)
            if (auto token = g.token(3, g.coordinates(3, t, i, j)))
              seen.insert(*token);
      EXPECT_EQ(seen.size(), 105u);
      EXPECT_EQ(std::set<int64_t>(seen.begin(), seen.end()).size(), 105u);
      EXPECT_EQ(*seen.rbegin(), 104);
    }
}

TEST(Geometry, SequencePadding) {
  Geometry g = make({1, 3, 8}, {1, 3, 8}, "fh", "w");
  g.sequenceTokens = 20;
  EXPECT_EQ(g.verify(), "");
  EXPECT_EQ(g.token(1, {0, 0, 0}), 0);
  EXPECT_EQ(g.token(1, {0, 2, 4}), std::nullopt);
  g.padBefore = 4;
  EXPECT_EQ(g.verify(), "");
  EXPECT_EQ(g.token(1, {0, 0, 3}), std::nullopt);
  EXPECT_EQ(g.token(1, {0, 0, 4}), 0);
  EXPECT_EQ(g.token(1, {0, 2, 7}), 19);
}

TEST(Geometry, CausalGroups) {
  // A4: groups of 2 frames, tiles of 1; queries are frames 2..3 of 6.
  Geometry g = make({6, 2, 2}, {1, 2, 2}, "fh", "w");
  g.queryFrames = 2;
  EXPECT_EQ(g.visibleKeyTiles(0, 6, 2, 2), 4);
  EXPECT_EQ(g.visibleKeyTiles(1, 6, 2, 2), 4);
  EXPECT_EQ(g.visibleKeyTiles(1, 6, 2, 4), 6);
  EXPECT_EQ(g.visibleKeyTiles(0, 3, 2, 2), 3); // no more than are valid
  EXPECT_EQ(g.visibleKeyTiles(0, 6, 0, 0), 6);
}

TEST(Geometry, ErrorsCiteLabels) {
  EXPECT_EQ(make({3, 5, 7}, {1, 6, 7}, "fh", "w").verify(),
            "G1: expected tile height in 1..5, got 6");
  EXPECT_EQ(make({0, 5, 7}, {1, 5, 7}, "fh", "w").verify(),
            "G1: expected grid frames in 1..16777216, got 0");
}
