//===- DeviceRuns.h - problems on a GPU, and their time ---------*- C++ -*-===//
#ifndef MONARCH_TOOLS_DEVICERUNS_H
#define MONARCH_TOOLS_DEVICERUNS_H

#include "Inputs.h"

#include "monarch/Runtime/Driver.h"
#include "monarch/Runtime/Plan.h"

#include <memory>
#include <string>
#include <vector>

namespace monarch {

/// Device memory that goes back at the end of its scope.
class DeviceBuffer {
public:
  explicit DeviceBuffer(const CudaDriver &d) : d(d) {}
  DeviceBuffer(const DeviceBuffer &) = delete;
  ~DeviceBuffer() {
    if (address)
      d.memFree(address);
  }
  bool upload(const std::vector<uint8_t> &bytes, std::string &error) {
    return d.check(d.memAlloc(&address, bytes.size()),
                   "allocating device memory", error) &&
           d.check(d.memcpyHtoD(address, bytes.data(), bytes.size()),
                   "copying to the device", error);
  }
  bool download(std::vector<uint8_t> &bytes, std::string &error) const {
    return d.check(d.memcpyDtoH(bytes.data(), address, bytes.size()),
                   "copying the result", error);
  }
  void *get() const { return reinterpret_cast<void *>(address); }

private:
  const CudaDriver &d;
  uint64_t address = 0;
};

/// A stream that goes at the end of its scope. It is made in the context that a
/// plan made current, and waits for copies, which are on the default stream.
class Stream {
public:
  explicit Stream(const CudaDriver &d) : d(d) {}
  Stream(const Stream &) = delete;
  ~Stream() {
    if (stream)
      d.streamDestroy(stream);
  }
  bool create(std::string &error) {
    return d.check(d.streamCreate(&stream, 0), "cuStreamCreate", error);
  }
  void *get() const { return stream; }

private:
  const CudaDriver &d;
  void *stream = nullptr;
};

/// A problem on a device: its plan and its inputs.
class DeviceProblem {
public:
  explicit DeviceProblem(const CudaDriver &d) : query(d), key(d), value(d) {}
  bool create(const Bundle &bundle, const PlanOptions &options,
              const Problem &problem, const Inputs &inputs, int64_t keyFrames,
              std::string &error);
  /// The tensors of a run that writes `out`.
  AttentionTensors tensors(const DeviceBuffer &out) const;

  std::unique_ptr<Plan> plan; ///< keeps the context that the memory is in

private:
  Problem problem;
  int64_t keyFrames = 0;
  DeviceBuffer query, key, value;
};

/// What one kernel took.
struct KernelTime {
  std::string name;
  int64_t launches = 0;             ///< in one run
  std::vector<double> milliseconds; ///< of all launches of a run
};

/// Times `repeats` runs on the default stream, each as a whole.
bool timeRuns(const CudaDriver &driver, Plan &plan,
              const AttentionTensors &tensors, int repeats,
              std::vector<double> &milliseconds, std::string &error);

/// Times the kernels of `repeats` more runs. The events between launches take
/// time themselves: these are not the runs that are timed as a whole.
bool timeKernels(const CudaDriver &driver, Plan &plan,
                 const AttentionTensors &tensors, int repeats,
                 std::vector<KernelTime> &kernels, std::string &error);

} // namespace monarch

#endif // MONARCH_TOOLS_DEVICERUNS_H
