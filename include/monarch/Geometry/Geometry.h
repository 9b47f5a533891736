//===- Geometry.h - grids, tiles and blocks of a video sequence -*- C++ -*-===//
//
// The arithmetic of shapes: which token a pair of block indices names, how many
// tiles there are, how much work a problem is. Labels such as G1 are those of
// docs/semantics.md. No dependency on LLVM, so that the runtime can use it.
//
//===----------------------------------------------------------------------===//
#ifndef MONARCH_GEOMETRY_GEOMETRY_H
#define MONARCH_GEOMETRY_GEOMETRY_H

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace monarch {

/// The axes of a video grid, slowest first.
enum Axis : int { Frame = 0, Height = 1, Width = 2 };

/// Extents along (frame, height, width).
using Extents = std::array<int64_t, 3>;

/// Which axes index block rows (size b1); the others index columns (b2). (G2)
struct Blocking {
  std::array<bool, 3> isRow = {true, true, false};

  bool operator==(const Blocking &o) const { return isRow == o.isRow; }
  /// "fh", "w", ...: the axes of one side in f,h,w order.
  std::string rows() const;
  std::string columns() const;
  /// Parses one of the six aligned choices, for example ("fh", "w"); nothing
  /// when the pair is not one of them.
  static std::optional<Blocking> parse(const std::string &rows,
                                       const std::string &columns);
};

/// Grid, tile and blocks of one attention problem (G1, G2, G3).
struct Geometry {
  int64_t queryFrames = 0; ///< Fq, frames of the queries
  int64_t keyFrames = 0;   ///< Fkv, or its compiled maximum (A5)
  int64_t height = 0, width = 0;
  Extents tile = {0, 0, 0};
  Blocking blocks;
  /// A plain sequence of this many tokens laid on the grid 1 x H x W with
  /// padding; 0 for a video grid.
  int64_t sequenceTokens = 0;
  /// Padding tokens before the first one ("pre"); 0 means "post".
  int64_t padBefore = 0;

  bool operator==(const Geometry &o) const;

  /// An error naming the label and the values, or an empty string.
  std::string verify() const;

  int64_t queryTokens() const;
  int64_t keyTokens() const;
  int64_t keyTokens(int64_t frames) const;
  /// Number of tiles along each axis for a grid of `frames` frames.
  Extents tileCounts(int64_t frames) const;
  int64_t queryTiles() const;             ///< A
  int64_t keyTiles() const;               ///< C
  int64_t keyTiles(int64_t frames) const; ///< C for a shorter KV cache
  int64_t b1() const;                     ///< rows of a block
  int64_t b2() const;                     ///< columns of a block

  /// Grid coordinates of block row i, column j of tile `t`; they may lie past
  /// the end of the grid (G3).
  Extents coordinates(int64_t frames, int64_t t, int64_t i, int64_t j) const;
  /// Token index of a coordinate on a grid of `frames` frames; nothing for
  /// padding.
  std::optional<int64_t> token(int64_t frames, const Extents &at) const;

  /// Number of key tiles, a prefix in tile order, that query tile `a` sees
  /// when causal groups have `group` frames and the queries start at key frame
  /// `offset`; all of them when group is 0. (A4)
  int64_t visibleKeyTiles(int64_t a, int64_t frames, int64_t group,
                          int64_t offset) const;
};

/// Multiply-adds of one head, as semantics.md counts them; of R and L only what
/// causal groups of `group` frames show, with queries from key frame `offset`,
/// as in visibleKeyTiles.
struct WorkCount {
  double rStep = 0, lStep = 0, dense = 0;
  double total() const { return rStep + lStep; }
};
WorkCount countWork(const Geometry &g, int64_t headDim, int64_t valueDim,
                    int64_t iterations, int64_t group = 0, int64_t offset = 0);

/// Sparsity as MonarchRT prints it, 1 - (1/b1 + 1/b2).
double sparsity(const Geometry &g);

/// ceil(a / b) for positive b.
constexpr int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t roundUp(int64_t a, int64_t b) { return ceilDiv(a, b) * b; }

} // namespace monarch

#endif // MONARCH_GEOMETRY_GEOMETRY_H
