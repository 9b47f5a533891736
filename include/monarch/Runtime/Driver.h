//===- Driver.h - the CUDA driver, loaded when first needed ----*- C++ -*-===//
#ifndef MONARCH_RUNTIME_DRIVER_H
#define MONARCH_RUNTIME_DRIVER_H

#include <cstddef>
#include <cstdint>
#include <string>

namespace monarch {

/// Entry points of libcuda.so.1 that the runtime uses, with the driver API's
/// types as plain ones: everything but launching works without a GPU or a CUDA
/// header. Signatures: CUDA Driver API reference.
struct CudaDriver {
  using Result = int;
  using DevicePtr = uint64_t;
  using Handle = void *; ///< context, module, function, stream, event

  Result (*init)(unsigned);
  Result (*getErrorString)(Result, const char **);
  Result (*deviceGetCount)(int *);
  Result (*deviceGet)(int *, int);
  Result (*deviceGetName)(char *, int, int);
  Result (*deviceGetAttribute)(int *, int, int);
  Result (*primaryCtxRetain)(Handle *, int);
  Result (*primaryCtxRelease)(int);
  Result (*ctxSetCurrent)(Handle);
  Result (*ctxSynchronize)();
  Result (*moduleLoadData)(Handle *, const void *, unsigned, int *, void **);
  Result (*moduleUnload)(Handle);
  Result (*moduleGetFunction)(Handle *, Handle, const char *);
  Result (*funcSetAttribute)(Handle, int, int);
  Result (*maxActiveBlocks)(int *, Handle, int, size_t);
  Result (*launchKernel)(Handle, unsigned, unsigned, unsigned, unsigned,
                         unsigned, unsigned, unsigned, Handle, void **,
                         void **);
  Result (*launchCooperative)(Handle, unsigned, unsigned, unsigned, unsigned,
                              unsigned, unsigned, unsigned, Handle, void **);
  Result (*memAlloc)(DevicePtr *, size_t);
  Result (*memFree)(DevicePtr);
  Result (*memsetAsync)(DevicePtr, unsigned char, size_t, Handle);
  Result (*memcpyHtoD)(DevicePtr, const void *, size_t);
  Result (*memcpyDtoH)(void *, DevicePtr, size_t);
  Result (*streamCreate)(Handle *, unsigned);
  Result (*streamDestroy)(Handle);
  Result (*eventCreate)(Handle *, unsigned);
  Result (*eventDestroy)(Handle);
  Result (*eventRecord)(Handle, Handle);
  Result (*eventSynchronize)(Handle);
  Result (*eventElapsedTime)(float *, Handle, Handle);
  /// Null on drivers before CUDA 12, which know no chip that needs it.
  Result (*tensorMapEncodeTiled)(void *, int, unsigned, void *,
                                 const uint64_t *, const uint64_t *,
                                 const unsigned *, const unsigned *, int, int,
                                 int, int);
  /// Null on drivers before CUDA 11.8, likewise.
  Result (*maxActiveClusters)(int *, Handle, const void *);

  /// The driver, or null with the reason in `error`. Thread-safe.
  static const CudaDriver *get(std::string &error);

  /// Compute capability of a device, 90 for 9.0; 0 with the reason in `error`.
  int computeCapability(int device, std::string &error) const;

  /// What the driver calls a device, "NVIDIA H200"; empty with the reason in
  /// `error`.
  std::string deviceName(int device, std::string &error) const;

  /// Appends what the driver calls `result` to `what`; true on success.
  bool check(Result result, const char *what, std::string &error) const;
};

} // namespace monarch

#endif // MONARCH_RUNTIME_DRIVER_H
