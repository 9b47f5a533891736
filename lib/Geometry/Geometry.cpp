//===- Geometry.cpp - grids, tiles and blocks of a video sequence ---------===//

#include "monarch/Geometry/Geometry.h"

#include <algorithm>

using namespace monarch;

static constexpr char axisNames[3] = {'f', 'h', 'w'};
/// Token counts, padding included, fit the 32-bit indices of GPU kernels.
static constexpr int64_t maxExtent = int64_t(1) << 24;
static constexpr int64_t maxTokens = int64_t(1) << 30;

static std::string axesOf(const Blocking &b, bool row) {
  std::string s;
  for (int x = 0; x < 3; ++x)
    if (b.isRow[x] == row)
      s += axisNames[x];
  return s;
}
std::string Blocking::rows() const { return axesOf(*this, true); }
std::string Blocking::columns() const { return axesOf(*this, false); }

std::optional<Blocking> Blocking::parse(const std::string &rows,
                                        const std::string &columns) {
  // All six splits of f,h,w in two non-empty sides, each in f,h,w order (G2).
  for (int mask = 1; mask < 7; ++mask) {
    Blocking b;
    for (int x = 0; x < 3; ++x)
      b.isRow[x] = mask >> x & 1;
    if (b.rows() == rows && b.columns() == columns)
      return b;
  }
  return std::nullopt;
}

bool Geometry::operator==(const Geometry &o) const {
  return queryFrames == o.queryFrames && keyFrames == o.keyFrames &&
         height == o.height && width == o.width && tile == o.tile &&
         blocks == o.blocks && sequenceTokens == o.sequenceTokens &&
         padBefore == o.padBefore;
}

std::string Geometry::verify() const {
  auto str = [](int64_t v) { return std::to_string(v); };
  const char *names[3] = {"frames", "height", "width"};
  Extents grid = {keyFrames, height, width};
  for (int x = 0; x < 3; ++x)
    if (grid[x] < 1 || grid[x] > maxExtent)
      return std::string("G1: expected grid ") + names[x] + " in 1.." +
             str(maxExtent) + ", got " + str(grid[x]);
  if (queryFrames < 1 || queryFrames > keyFrames)
    return "G1: expected query frames in 1.." + str(keyFrames) +
           " (the key frames), got " + str(queryFrames);
  if (keyFrames > maxTokens / height / width)
    return "G1: expected at most " + str(maxTokens) + " tokens, got grid " +
           str(keyFrames) + "x" + str(height) + "x" + str(width);
  for (int x = 0; x < 3; ++x) {
    int64_t limit = x == Frame ? queryFrames : grid[x];
    if (tile[x] < 1 || tile[x] > limit)
      return std::string("G1: expected tile ") + names[x] + " in 1.." +
             str(limit) + ", got " + str(tile[x]);
  }
  double padded = 1;
  for (int x = 0; x < 3; ++x)
    padded *= double(roundUp(grid[x], tile[x]));
  if (padded > double(maxTokens))
    return "G3: expected at most " + str(maxTokens) +
           " tokens with padding, got tiles of " + str(tile[0]) + "x" +
           str(tile[1]) + "x" + str(tile[2]) + " on a grid of " +
           str(keyFrames) + "x" + str(height) + "x" + str(width);
  if (sequenceTokens < 0 || padBefore < 0)
    return "G3: expected non-negative sequence tokens and padding";
  if (sequenceTokens) {
    int64_t padded = height * width;
    if (keyFrames != 1 || queryFrames != 1)
      return "G3: expected a sequence on a grid of 1 frame, got " +
             str(keyFrames);
    if (sequenceTokens > padded || padded - sequenceTokens >= width)
      return "G3: expected a sequence of " + str(padded - width + 1) + ".." +
             str(padded) + " tokens on " + str(height) + " blocks of " +
             str(width) + ", got " + str(sequenceTokens);
    if (padBefore != 0 && padBefore != padded - sequenceTokens)
      return "G3: expected padding before the sequence of 0 or " +
             str(padded - sequenceTokens) + ", got " + str(padBefore);
  } else if (padBefore) {
    return "G3: expected no padding before a video grid, got " + str(padBefore);
  }
  return "";
}

int64_t Geometry::keyTokens(int64_t frames) const {
  return sequenceTokens ? sequenceTokens : frames * height * width;
}
int64_t Geometry::queryTokens() const { return keyTokens(queryFrames); }
int64_t Geometry::keyTokens() const { return keyTokens(keyFrames); }

Extents Geometry::tileCounts(int64_t frames) const {
  return {ceilDiv(frames, tile[0]), ceilDiv(height, tile[1]),
          ceilDiv(width, tile[2])};
}
int64_t Geometry::keyTiles(int64_t frames) const {
  Extents n = tileCounts(frames);
  return n[0] * n[1] * n[2];
}
int64_t Geometry::queryTiles() const { return keyTiles(queryFrames); }
int64_t Geometry::keyTiles() const { return keyTiles(keyFrames); }

static int64_t blockExtent(const Geometry &g, bool row) {
  int64_t n = 1;
  for (int x = 0; x < 3; ++x)
    if (g.blocks.isRow[x] == row)
      n *= g.tile[x];
  return n;
}
int64_t Geometry::b1() const { return blockExtent(*this, true); }
int64_t Geometry::b2() const { return blockExtent(*this, false); }

Extents Geometry::coordinates(int64_t frames, int64_t t, int64_t i,
                              int64_t j) const {
  Extents n = tileCounts(frames), at;
  for (int x = 2; x >= 0; --x) {
    int64_t &index = blocks.isRow[x] ? i : j;
    at[x] = t % n[x] * tile[x] + index % tile[x];
    t /= n[x];
    index /= tile[x];
  }
  return at;
}

std::optional<int64_t> Geometry::token(int64_t frames,
                                       const Extents &at) const {
  if (at[0] >= frames || at[1] >= height || at[2] >= width)
    return std::nullopt;
  int64_t index = (at[0] * height + at[1]) * width + at[2] - padBefore;
  if (index < 0 || index >= keyTokens(frames))
    return std::nullopt;
  return index;
}

int64_t Geometry::visibleKeyTiles(int64_t a, int64_t frames, int64_t group,
                                  int64_t offset) const {
  int64_t all = keyTiles(frames);
  if (!group)
    return all;
  Extents n = tileCounts(queryFrames);
  int64_t perFrameTile = n[1] * n[2];
  int64_t firstFrame = a / perFrameTile * tile[0] + offset;
  int64_t visibleFrames = (firstFrame / group + 1) * group;
  return std::min(all, visibleFrames / tile[0] * perFrameTile);
}

WorkCount monarch::countWork(const Geometry &g, int64_t headDim,
                             int64_t valueDim, int64_t iterations,
                             int64_t group, int64_t offset) {
  // Key tiles that a query sees, on average: those of a frame see the same.
  double c = 0;
  Extents n = g.tileCounts(g.queryFrames);
  for (int64_t f = 0; f < n[Frame]; ++f)
    c +=
        std::min(g.tile[Frame], g.queryFrames - f * g.tile[Frame]) *
        g.visibleKeyTiles(f * n[Height] * n[Width], g.keyFrames, group, offset);
  c /= g.queryFrames;
  double nq = g.queryTokens();
  double inner = 2.0 * headDim;
  WorkCount w;
  w.rStep = nq * c * g.b2() *
            (iterations * inner + valueDim); // S and aL, then y at the end
  w.lStep = nq * c * g.b1() * ((iterations - 1) * inner + headDim + valueDim);
  w.dense = nq * g.keyTokens() * (double(headDim) + valueDim);
  return w;
}

double monarch::sparsity(const Geometry &g) {
  return 1.0 - (1.0 / g.b1() + 1.0 / g.b2());
}
