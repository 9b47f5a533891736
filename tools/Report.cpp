//===- Report.cpp - what a run gave, for people and programs --------------===//

#include "Report.h"

#include "monarch/Reference/RandomProblem.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

using namespace monarch;

static double medianOf(const std::vector<double> &sorted) {
  return sorted[sorted.size() / 2];
}

/// TFLOP/s of a problem in so many milliseconds. Key tiles that are not valid
/// at the call, or that causality hides, are no work.
static double rateOf(const Problem &p, int64_t keyFrames, double milliseconds) {
  Geometry g = p.geometry;
  g.keyFrames = keyFrames;
  WorkCount work = countWork(g, p.headDim, p.valueDim, p.iterations,
                             p.causalFrames, p.causalOffset);
  return 2 * work.total() * p.heads * p.batch / milliseconds / 1e9;
}

void monarch::printJson(const Report &report, const Problem &problem,
                        bool verify) {
  const std::vector<double> &ms = report.milliseconds;
  llvm::json::Object o{{"problem", describe(problem)},
                       {"key_frames", report.keyFrames}};
  if (!report.target.empty()) {
    o["target"] = report.target;
    o["compile_ms"] = report.compileMilliseconds;
  }
  if (!ms.empty()) {
    double median = medianOf(ms);
    o["median_ms"] = median;
    o["min_ms"] = ms.front();
    o["max_ms"] = ms.back();
    o["runs"] = int64_t(ms.size());
    o["tflops"] = rateOf(problem, report.keyFrames, median);
  }
  if (!report.device.empty())
    o["device"] = report.device;
  if (!report.kernels.empty()) {
    llvm::json::Array kernels;
    for (const KernelTime &k : report.kernels)
      kernels.push_back(
          llvm::json::Object{{"name", k.name},
                             {"launches", k.launches},
                             {"median_ms", medianOf(k.milliseconds)}});
    o["kernels"] = std::move(kernels);
  }
  if (report.workspaceBytes) {
    o["workspace_bytes"] = report.workspaceBytes;
    o["slabs_per_group"] = report.slabsPerGroup;
  }
  if (verify) {
    o["relative_error"] = report.error.relative;
    o["max_abs_error"] = report.error.maxAbsolute;
    o["compared"] = report.error.compared;
    o["bound"] = errorBound(problem.dtype);
    o["verified"] = report.verified;
  }
  llvm::outs() << llvm::json::Value(std::move(o)) << "\n";
}

void monarch::printText(const Report &report, const Problem &problem,
                        bool verify) {
  const std::vector<double> &ms = report.milliseconds;
  llvm::outs() << describe(problem);
  if (problem.dynamicKeyFrames)
    llvm::outs() << ", " << report.keyFrames << " valid";
  llvm::outs() << "\n";
  if (report.compileMilliseconds > 0)
    llvm::outs() << llvm::formatv("compiled for {0} in {1:f0} ms\n",
                                  report.target, report.compileMilliseconds);
  if (report.workspaceBytes)
    llvm::outs() << llvm::formatv("workspace {0:f1} MiB, {1} slabs a group\n",
                                  report.workspaceBytes / 1048576.0,
                                  report.slabsPerGroup);
  if (!ms.empty())
    llvm::outs() << llvm::formatv(
        "median of {0}: {1:f3} ms (least {2:f3}, most {3:f3}), {4:f2} "
        "TFLOP/s\n",
        ms.size(), medianOf(ms), ms.front(), ms.back(),
        rateOf(problem, report.keyFrames, medianOf(ms)));
  for (const KernelTime &k : report.kernels)
    llvm::outs() << llvm::formatv("  {0}: {1:f3} ms in {2} launches\n", k.name,
                                  medianOf(k.milliseconds), k.launches);
  if (verify)
    llvm::outs() << llvm::formatv(
        "error against the f64 oracle over {0} elements: {1:e2} relative, "
        "{2:e2} largest absolute (bound {3:e0}): {4}\n",
        report.error.compared, report.error.relative, report.error.maxAbsolute,
        errorBound(problem.dtype), report.verified ? "verified" : "WRONG");
}
