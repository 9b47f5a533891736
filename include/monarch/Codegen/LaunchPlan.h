//===- LaunchPlan.h - the module attribute monarch.plan --------*- C++ -*-===//
#ifndef MONARCH_CODEGEN_LAUNCHPLAN_H
#define MONARCH_CODEGEN_LAUNCHPLAN_H

#include "mlir/IR/BuiltinOps.h"

#include <string>
#include <vector>

namespace monarch {

/// What `monarch.plan` says (docs/abi.md): both ends run it.
struct LaunchPlan {
  struct Workspace {
    std::string name;
    int64_t bytesPerSlab = 0; ///< 0 where all slabs share `bytes`
    int64_t bytes = 0;
    bool zeroed = false;     ///< before every launch
    bool zeroedOnce = false; ///< before the first
  };
  struct Argument {
    std::string buffer;
    int64_t offset = 0; ///< elements
    /// Box of the tensor map that the kernel takes as well, empty for none:
    /// frame, row, token, head, channel.
    std::vector<int64_t> box;
    /// What that map describes where the buffer is a workspace, slowest first:
    /// strides in elements, of a slab and of what it holds, and the extents of
    /// that; or both of all dimensions.
    std::vector<int64_t> extents, strides;
  };
  struct Launch {
    std::string kernel;
    bool dynamicFrames = false;
    bool persistent = false; ///< programs are for all slabs, resident together
    std::vector<Argument> arguments;
  };
  int64_t batch = 0, heads = 0, slabsPerHead = 1;
  int64_t maxKeyFrames = 0;
  std::vector<Workspace> workspaces;
  std::vector<Launch> launches;
};

/// Reads the plan of a module; a diagnostic says what is missing or wrong.
/// Every argument names a workspace or query, key, value, key_mask or out.
mlir::FailureOr<LaunchPlan> readLaunchPlan(mlir::ModuleOp module);

} // namespace monarch

#endif // MONARCH_CODEGEN_LAUNCHPLAN_H
