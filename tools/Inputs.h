//===- Inputs.h - inputs for a problem -------------------------*- C++ -*-===//
#ifndef MONARCH_TOOLS_INPUTS_H
#define MONARCH_TOOLS_INPUTS_H

#include "monarch/Geometry/Problem.h"

#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace monarch {

/// Contiguous tensors of a problem, as bytes of its element type.
struct Inputs {
  std::vector<uint8_t> query, key, value;
  std::vector<uint8_t> keyMask; ///< one byte a key; empty without a mask
};

/// `random:SEED`, `spike:SEED`, `video:SEED`, `FILE.safetensors` or
/// `q.npy,k.npy,v.npy`.
llvm::Expected<Inputs> makeInputs(const Problem &problem,
                                  const std::string &spec);

/// Writes `out` `[B, Nq, heads, Dv]` to a .safetensors or .npy file, which
/// appears whole or not at all.
llvm::Error writeOutput(const Problem &problem, const std::string &path,
                        const std::vector<uint8_t> &out);

/// What writeOutput wrote, or another program in its place.
llvm::Expected<std::vector<uint8_t>> readOutput(const Problem &problem,
                                                const std::string &path);

// Exposed for tests.
Inputs randomInputs(const Problem &problem, uint64_t seed);
/// Random, but for one key of a late frame in every head, with which all
/// queries score far above what came before: running maxima have to be raised.
Inputs spikeInputs(const Problem &problem, uint64_t seed);
Inputs videoInputs(const Problem &problem, uint64_t seed);

} // namespace monarch

#endif // MONARCH_TOOLS_INPUTS_H
