//===- Bundle.h - compiled attention as one file ---------------*- C++ -*-===//
//
// A bundle holds everything a loader needs to run one problem on one or several
// targets: docs/abi.md describes the file and the kernels' arguments. No LLVM.
//
//===----------------------------------------------------------------------===//
#ifndef MONARCH_BUNDLE_BUNDLE_H
#define MONARCH_BUNDLE_BUNDLE_H

#include "monarch/Geometry/Problem.h"

#include <string>
#include <vector>

namespace monarch {

/// Version of the kernels' argument convention.
inline constexpr int abiVersion = 8;
/// Most memref arguments of a kernel that a loader has to take.
inline constexpr size_t maxKernelArguments = 10;

/// One memref argument of a kernel: which buffer, from which byte on.
struct KernelArgument {
  std::string buffer; ///< "query", "key", "value", "out" or a workspace
  int64_t offsetBytes = 0;
  /// Box of the tensor map that follows the buffer's strides, empty for none:
  /// extents in frames, rows, tokens, heads and channels.
  std::vector<int64_t> box = {};
  /// Of a workspace's tensor map, slowest first: strides in elements, of a slab
  /// and of what it holds, and the extents of that; or both of all dimensions.
  std::vector<int64_t> extents = {}, strides = {};
};

/// What ptxas said of one kernel; -1 where it was not asked.
struct Resources {
  int registers = -1, spillStores = -1, spillLoads = -1, stackBytes = -1;
};

struct KernelImage {
  std::string name;
  std::string schedule; ///< as text, for people
  int64_t programs = 0; ///< blocks for one slab, or for all when persistent
  int64_t threads = 0, sharedBytes = 0;
  int64_t cluster = 1;        ///< blocks of a cluster, along x
  int64_t clusters = 0;       ///< that may share slabs (Support/SlabParts.h)
  bool dynamicFrames = false; ///< takes key frames as an argument
  /// Blocks stay for all slabs and wait for each other: they have to be
  /// resident together (a cooperative launch).
  bool persistent = false;
  std::vector<KernelArgument> arguments;
  Resources resources;
};

struct WorkspaceImage {
  std::string name;
  int64_t bytesPerSlab = 0; ///< or else, for all slabs:
  int64_t bytes = 0;
  bool zeroed = false;     ///< before every launch
  bool zeroedOnce = false; ///< before the first, and after each again
};

/// The kernels of one target, in launch order.
struct TargetImage {
  std::string arch; ///< "sm_90a"
  std::vector<KernelImage> kernels;
  std::vector<WorkspaceImage> workspaces;
  /// A slab is a run of pairs (a, j) of one batch entry and head: the unit in
  /// which kernels are launched.
  int64_t slabsPerHead = 1;
  std::string ptx, cubin; ///< cubin is empty without ptxas
  std::string ptxasLog;   ///< warnings, verbatim
};

struct Bundle {
  std::string compilerVersion, compilerHash;
  Problem problem;
  std::vector<TargetImage> targets;

  const TargetImage *find(const std::string &arch) const;
};

/// The target to run on a chip of compute capability `chip` (90 for 9.0): the
/// chip's own, or the latest earlier one whose PTX is portable (no suffix as in
/// "sm_90a"). `arch` asks for one by name; empty takes the best. Null with the
/// reason in `error`.
const TargetImage *selectTarget(const Bundle &bundle, const std::string &arch,
                                int chip, std::string &error);
/// True when the target's machine code, not only its PTX, runs on the chip.
bool isNative(const TargetImage &target, int chip);

/// The bytes of a bundle file.
std::string serializeBundle(const Bundle &bundle);
/// Reads a bundle; on damage returns false and says in `error` what was
/// expected and what was found. Never throws, never crashes on any input.
bool parseBundle(const std::string &bytes, Bundle &bundle, std::string &error);
/// True when a file starts like a bundle.
bool looksLikeBundle(const std::string &bytes);

} // namespace monarch

#endif // MONARCH_BUNDLE_BUNDLE_H
