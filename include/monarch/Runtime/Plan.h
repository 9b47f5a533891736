//===- Plan.h - run a bundle on a GPU --------------------------*- C++ -*-===//
//
// Plan once, run many: a plan loads the kernels and owns the workspace; a run
// only launches. No LLVM in here.
//
//===----------------------------------------------------------------------===//
#ifndef MONARCH_RUNTIME_PLAN_H
#define MONARCH_RUNTIME_PLAN_H

#include "monarch/Bundle/Bundle.h"
#include "monarch/Runtime/Tensors.h"

#include <functional>
#include <memory>
#include <string>

namespace monarch {

struct PlanOptions {
  int device = 0;
  /// Which of the bundle's targets to run; empty chooses the best that the
  /// device can run.
  std::string arch;
  /// How many heads of each batch entry to run, 0 for all of the bundle's. The
  /// tensors then hold that many.
  int64_t heads = 0;
  /// Most bytes of workspace: slabs (rows of attention of one head) are run in
  /// groups that fit it. Less than one slab needs is refused.
  int64_t maxWorkspaceBytes = int64_t(1) << 30;
};

class Plan {
public:
  /// Null with the reason in `error`: no driver, no device, no target of the
  /// bundle that runs on the device, no memory.
  static std::unique_ptr<Plan>
  create(const Bundle &bundle, const PlanOptions &options, std::string &error);
  ~Plan();

  /// Launches the kernels on `stream` (a CUstream; null is the default one).
  /// Tensors are device memory, 16-byte aligned, with strides that are
  /// multiples of 8 elements. Allocates, compiles and synchronises nothing.
  /// All runs of a plan share its workspace: those that may overlap, on
  /// different streams, need plans of their own.
  /// `launched`, where given, is called after every launch with the number of
  /// its kernel. False with the reason in `error`.
  bool run(const AttentionTensors &tensors, void *stream, std::string &error,
           const std::function<void(size_t kernel)> &launched = {});

  const std::string &arch() const;
  /// In launch order: a kernel's number is its place here.
  const std::vector<KernelImage> &kernels() const;
  int64_t workspaceBytes() const;
  int64_t slabsPerGroup() const; ///< run together, 0 without workspace

private:
  struct Impl;
  explicit Plan(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl;
};

} // namespace monarch

#endif // MONARCH_RUNTIME_PLAN_H
