//===- DeviceRuns.cpp - problems on a GPU, and their time -----------------===//
//----------===//

#include "DeviceRuns.h"

#include <deque>

using namespace monarch;

namespace {
/// A CUDA event that goes at the end of its scope; a failure to make or record
/// it shows when it is waited for.
class Event {
public:
  explicit Event(const CudaDriver &d) : d(d) { d.eventCreate(&event, 0); }
  Event(const Event &) = delete;
  ~Event() { d.eventDestroy(event); }
  /// On the default stream.
  void record() { d.eventRecord(event, nullptr); }
  bool wait(std::string &error) const {
    return d.check(d.eventSynchronize(event), "running the kernels", error);
  }
  /// Adds the milliseconds since `earlier` to `sum`.
  bool addTimeSince(const Event &earlier, double &sum,
                    std::string &error) const {
    float ms = 0;
    if (!d.check(d.eventElapsedTime(&ms, earlier.event, event), "timing",
                 error))
      return false;
    sum += ms;
    return true;
  }

private:
  const CudaDriver &d;
  void *event = nullptr;
};
} // namespace

bool DeviceProblem::create(const Bundle &bundle, const PlanOptions &options,
                           const Problem &p, const Inputs &inputs,
                           int64_t validKeyFrames, std::string &error) {
  problem = p;
  keyFrames = validKeyFrames;
  plan = Plan::create(bundle, options, error);
  return plan && query.upload(inputs.query, error) &&
         key.upload(inputs.key, error) && value.upload(inputs.value, error);
}

AttentionTensors DeviceProblem::tensors(const DeviceBuffer &out) const {
  const Problem &p = problem;
  const Geometry &g = p.geometry;
  AttentionTensors t;
  t.query = contiguous(query.get(), g.queryTokens(), p.heads, p.headDim);
  t.key = contiguous(key.get(), g.keyTokens(), p.heads, p.headDim);
  t.value = contiguous(value.get(), g.keyTokens(), p.heads, p.valueDim);
  t.out = contiguous(out.get(), g.queryTokens(), p.heads, p.valueDim);
  t.keyFrames = keyFrames;
  return t;
}

bool monarch::timeRuns(const CudaDriver &d, Plan &plan,
                       const AttentionTensors &t, int repeats,
                       std::vector<double> &milliseconds, std::string &error) {
  Event begin(d), end(d);
  for (int i = -3; i < repeats; ++i) { // three to warm up
    begin.record();
    if (!plan.run(t, nullptr, error))
      return false;
    end.record();
    double ms = 0;
    if (!end.wait(error) || !end.addTimeSince(begin, ms, error))
      return false;
    if (i >= 0)
      milliseconds.push_back(ms);
  }
  return true;
}

bool monarch::timeKernels(const CudaDriver &d, Plan &plan,
                          const AttentionTensors &t, int repeats,
                          std::vector<KernelTime> &kernels,
                          std::string &error) {
  for (const KernelImage &k : plan.kernels())
    kernels.push_back({k.name, 0, {}});
  std::vector<size_t> launches; // the kernel of each
  if (!plan.run(t, nullptr, error,
                [&](size_t kernel) { launches.push_back(kernel); }))
    return false;
  std::deque<Event> events; // one before the first launch, one after each
  events.emplace_back(d);
  for (size_t kernel : launches) {
    ++kernels[kernel].launches;
    events.emplace_back(d);
  }
  for (int i = 0; i < repeats; ++i) {
    // A run ahead keeps the device busy while the host launches: no kernel's
    // time has waiting for the host in it.
    if (!plan.run(t, nullptr, error))
      return false;
    auto next = events.begin();
    next++->record();
    if (!plan.run(t, nullptr, error, [&](size_t) { next++->record(); }) ||
        !events.back().wait(error))
      return false;
    for (KernelTime &k : kernels)
      k.milliseconds.push_back(0);
    for (size_t l = 0; l < launches.size(); ++l)
      if (!events[l + 1].addTimeSince(
              events[l], kernels[launches[l]].milliseconds.back(), error))
        return false;
  }
  return true;
}
