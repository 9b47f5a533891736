//===- Presets.h - models and workloads by name ----------------*- C++ -*-===//
#ifndef MONARCH_TOOLS_PRESETS_H
#define MONARCH_TOOLS_PRESETS_H

#include "monarch/Geometry/Problem.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace monarch {

/// What a video model's attention needs to know of it.
struct Model {
  llvm::StringLiteral name;
  int64_t heads, headDim;
  Extents patch;       ///< latent voxels of one token along (f, h, w)
  Extents vaeStride;   ///< pixels of one latent voxel along (t, h, w)
  int64_t queryFrames; ///< latent frames made at once; 0: all
  llvm::StringLiteral description;
};

llvm::ArrayRef<Model> allModels();
const Model *findModel(llvm::StringRef name);

/// Token grid of a video; an error says which resolutions would do.
llvm::Expected<Extents> videoGrid(const Model &model, int64_t width,
                                  int64_t height, int64_t frames);

/// The canonical problems of benchmarks/workloads.json.
std::vector<std::string> workloadNames();
llvm::Expected<Problem> findWorkload(llvm::StringRef name);
/// One line for `--list`.
std::string describeWorkload(llvm::StringRef name);

} // namespace monarch

#endif // MONARCH_TOOLS_PRESETS_H
