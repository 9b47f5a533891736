//===- Driver.cpp - the CUDA driver, loaded when first needed -------------===//

#include "monarch/Runtime/Driver.h"

#include <dlfcn.h>

using namespace monarch;

namespace {
struct Loaded {
  CudaDriver driver{};
  std::string error;

  Loaded() {
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      error = "no CUDA driver: libcuda.so.1 could not be loaded";
      return;
    }
    auto load = [&](auto &function, const char *name) {
      void *symbol = dlsym(library, name);
      if (!symbol && error.empty())
        error = std::string("the CUDA driver is too old: it lacks ") + name;
      function = reinterpret_cast<std::decay_t<decltype(function)>>(symbol);
    };
    CudaDriver &d = driver;
    load(d.init, "cuInit");
    load(d.getErrorString, "cuGetErrorString");
    load(d.deviceGetCount, "cuDeviceGetCount");
    load(d.deviceGet, "cuDeviceGet");
    load(d.deviceGetName, "cuDeviceGetName");
    load(d.deviceGetAttribute, "cuDeviceGetAttribute");
    load(d.primaryCtxRetain, "cuDevicePrimaryCtxRetain");
    load(d.primaryCtxRelease, "cuDevicePrimaryCtxRelease_v2");
    load(d.ctxSetCurrent, "cuCtxSetCurrent");
    load(d.ctxSynchronize, "cuCtxSynchronize");
    load(d.moduleLoadData, "cuModuleLoadDataEx");
    load(d.moduleUnload, "cuModuleUnload");
    load(d.moduleGetFunction, "cuModuleGetFunction");
    load(d.funcSetAttribute, "cuFuncSetAttribute");
    load(d.maxActiveBlocks, "cuOccupancyMaxActiveBlocksPerMultiprocessor");
    load(d.launchKernel, "cuLaunchKernel");
    load(d.launchCooperative, "cuLaunchCooperativeKernel");
    load(d.memAlloc, "cuMemAlloc_v2");
    load(d.memFree, "cuMemFree_v2");
    load(d.memsetAsync, "cuMemsetD8Async");
    load(d.memcpyHtoD, "cuMemcpyHtoD_v2");
    load(d.memcpyDtoH, "cuMemcpyDtoH_v2");
    load(d.streamCreate, "cuStreamCreate");
    load(d.streamDestroy, "cuStreamDestroy_v2");
    load(d.eventCreate, "cuEventCreate");
    load(d.eventDestroy, "cuEventDestroy_v2");
    load(d.eventRecord, "cuEventRecord");
    load(d.eventSynchronize, "cuEventSynchronize");
    load(d.eventElapsedTime, "cuEventElapsedTime");
    d.tensorMapEncodeTiled = reinterpret_cast<decltype(d.tensorMapEncodeTiled)>(
        dlsym(library, "cuTensorMapEncodeTiled"));
    d.maxActiveClusters = reinterpret_cast<decltype(d.maxActiveClusters)>(
        dlsym(library, "cuOccupancyMaxActiveClusters"));
    if (error.empty())
      d.check(d.init(0), "cuInit", error);
  }
};
} // namespace

const CudaDriver *CudaDriver::get(std::string &error) {
  static const Loaded loaded;
  if (loaded.error.empty())
    return &loaded.driver;
  error = loaded.error;
  return nullptr;
}

int CudaDriver::computeCapability(int device, std::string &error) const {
  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
  int handle = 0, major = 0, minor = 0;
  if (!check(deviceGet(&handle, device), "cuDeviceGet", error) ||
      !check(deviceGetAttribute(&major, 75, handle), "cuDeviceGetAttribute",
             error) ||
      !check(deviceGetAttribute(&minor, 76, handle), "cuDeviceGetAttribute",
             error))
    return 0;
  return major * 10 + minor;
}

std::string CudaDriver::deviceName(int device, std::string &error) const {
  int handle = 0;
  char name[256] = "";
  if (!check(deviceGet(&handle, device), "cuDeviceGet", error) ||
      !check(deviceGetName(name, sizeof name, handle), "cuDeviceGetName",
             error))
    return "";
  return name;
}

bool CudaDriver::check(Result result, const char *what,
                       std::string &error) const {
  if (result == 0)
    return true;
  const char *text = nullptr;
  if (getErrorString)
    getErrorString(result, &text);
  error = std::string(what) + " failed: " + (text ? text : "unknown error") +
          " (" + std::to_string(result) + ")";
  return false;
}
