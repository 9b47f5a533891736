//===- DeviceRuns.h - memory, events and timed runs on a GPU ---*- C++ -*-===//
#ifndef MONARCH_TOOLS_DEVICERUNS_H
#define MONARCH_TOOLS_DEVICERUNS_H

#include "monarch/Runtime/Driver.h"
#include "monarch/Runtime/Plan.h"

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
  void *get() const { return reinterpret_cast<void *>(address); }
  uint64_t address = 0;

private:
  const CudaDriver &d;
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
