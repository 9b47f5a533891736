//===- RandomProblem.cpp - seeded small problems --------------------------===//

#include "monarch/Reference/RandomProblem.h"

#include <algorithm>
#include <random>
#include <sstream>

using namespace monarch;

Problem monarch::randomProblem(uint64_t seed, const ProblemLimits &limits,
                               int64_t &keyFrames) {
  std::mt19937_64 random(seed * 0x9E3779B97F4A7C15ull + 1);
  auto pick = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random() % (high - low + 1));
  };
  auto chance = [&](int percent) { return pick(1, 100) <= percent; };
  static const char *blocks[6][2] = {{"fh", "w"}, {"w", "fh"}, {"f", "hw"},
                                     {"hw", "f"}, {"fw", "h"}, {"h", "fw"}};
  Problem p;
  Geometry &g = p.geometry;
  int choice = pick(0, 5);
  g.blocks = *Blocking::parse(blocks[choice][0], blocks[choice][1]);
  p.batch = chance(20) ? 2 : 1;
  p.heads = pick(1, 3);
  if (!limits.gpu && chance(20)) { // a sequence with padding
    g.keyFrames = g.queryFrames = 1;
    g.width = pick(2, 24);
    g.height = pick(1, 12);
    g.sequenceTokens = g.height * g.width - pick(0, g.width - 1);
    g.padBefore = chance(50) ? g.height * g.width - g.sequenceTokens : 0;
    g.blocks = *Blocking::parse("fh", "w");
    g.tile = {1, g.height, g.width};
  } else {
    g.keyFrames = pick(1, 6);
    g.height = pick(1, 12);
    g.width = chance(15) ? pick(40, 90) : pick(1, 20);
    g.queryFrames = chance(40) ? pick(1, g.keyFrames) : g.keyFrames;
    g.tile = {pick(1, g.queryFrames), pick(1, g.height), pick(1, g.width)};
    if (chance(40))
      g.tile = {1, g.height, g.width};
    if (chance(20))
      g.tile = {g.queryFrames, g.height, g.width};
    p.dynamicKeyFrames = chance(30);
  }
  p.iterations = limits.gpu ? 1 : pick(1, 3);
  p.temperatureFloor = chance(30) ? 0.1 : 1e-6;
  if (limits.gpu) {
    p.headDim = p.valueDim = chance(50) ? 64 : 128;
    p.dtype = chance(50) ? DType::BF16 : DType::F16;
  } else {
    p.headDim = pick(1, 48);
    p.valueDim = chance(50) ? p.headDim : pick(1, 48);
    p.dtype = static_cast<DType>(pick(0, 2));
    if (!g.sequenceTokens && chance(30))
      p.recomputeFrames = pick(1, g.queryFrames);
    p.keyMask = chance(25);
  }
  keyFrames = g.keyFrames;
  if (p.dynamicKeyFrames)
    keyFrames = pick(1, g.keyFrames);
  if (!g.sequenceTokens && chance(30)) {
    p.causalFrames = g.tile[0] * pick(1, 3);
    // Only whole tiles of offset, and only keys that are there (A4, A5).
    int64_t room = (g.keyFrames - g.queryFrames) / g.tile[0];
    p.causalOffset = pick(0, room) * g.tile[0];
  }
  return p;
}

std::string monarch::describe(const Problem &p) {
  const Geometry &g = p.geometry;
  std::ostringstream s;
  s << "grid " << g.keyFrames << "x" << g.height << "x" << g.width << " query "
    << g.queryFrames << " tile " << g.tile[0] << "x" << g.tile[1] << "x"
    << g.tile[2] << " blocks (" << g.blocks.rows() << ", " << g.blocks.columns()
    << ") batch " << p.batch << " heads " << p.heads << " D " << p.headDim
    << " Dv " << p.valueDim << " " << dtypeName(p.dtype) << " T "
    << p.iterations;
  if (g.sequenceTokens)
    s << " sequence " << g.sequenceTokens << " pad " << g.padBefore;
  if (p.recomputeFrames)
    s << " recompute " << p.recomputeFrames;
  if (p.causalFrames)
    s << " causal " << p.causalFrames << "+" << p.causalOffset;
  if (p.dynamicKeyFrames)
    s << " runtime frames";
  if (p.keyMask)
    s << " masked";
  if (p.temperatureFloor > 0.01)
    s << " floor " << p.temperatureFloor;
  return s.str();
}
