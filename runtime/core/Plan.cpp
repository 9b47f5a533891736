//===- Plan.cpp - run a bundle on a GPU -----------------------------------===//

#include "monarch/Runtime/Plan.h"

#include "monarch/Runtime/Driver.h"
#include "monarch/Support/SlabParts.h"

#include <algorithm>
#include <map>

using namespace monarch;

// CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES (CUDA Driver API).
static constexpr int attributeMaxDynamicShared = 8;
// CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED.
static constexpr int attributeAnyCluster = 14;
// CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT.
static constexpr int attributeMultiprocessors = 16;

struct Plan::Impl {
  const CudaDriver *driver = nullptr;
  Problem problem;
  TargetImage target;
  int device = 0;
  void *context = nullptr, *module = nullptr;
  std::vector<void *> functions;
  std::vector<int64_t> clusters; ///< of every function, that run at once
  uint64_t workspace = 0;
  int64_t workspaceBytes = 0;
  int64_t group = 1; ///< slabs that are run together
  int64_t heads = 0; ///< that are run, of the problem's
  int64_t range = 0; ///< consecutive slabs that groups are cut from
  std::map<std::string, uint64_t> workspaceAt;
  std::vector<std::pair<uint64_t, int64_t>> zeroed; ///< address and bytes
  bool hasTensorMaps = false;

  bool countResident(const KernelImage &k, void *function, int64_t &blocks,
                     std::string &error);
  bool countClusters(const KernelImage &k, void *function, int64_t &count,
                     std::string &error);
  bool allowPersistent(const KernelImage &k, void *function,
                       std::string &error);
  bool chooseGroup(int64_t most, std::string &error);
  /// How the clusters of kernel i share so many slabs; whole ones without.
  SlabParts cut(size_t i, int64_t slabs) const {
    return clusters[i] ? cutSlabs(slabs, clusters[i])
                       : SlabParts{slabs, 1, slabs};
  }

  ~Impl() {
    if (!context)
      return;
    driver->ctxSetCurrent(context);
    if (workspace)
      driver->memFree(workspace);
    if (module)
      driver->moduleUnload(module);
    driver->primaryCtxRelease(device);
  }
};

Plan::Plan(std::unique_ptr<Impl> impl) : impl(std::move(impl)) {}
Plan::~Plan() = default;
const std::string &Plan::arch() const { return impl->target.arch; }
const std::vector<KernelImage> &Plan::kernels() const {
  return impl->target.kernels;
}
int64_t Plan::workspaceBytes() const { return impl->workspaceBytes; }
int64_t Plan::slabsPerGroup() const { return impl->group; }

std::unique_ptr<Plan> Plan::create(const Bundle &bundle,
                                   const PlanOptions &options,
                                   std::string &error) {
  auto impl = std::make_unique<Impl>();
  const CudaDriver *d = impl->driver = CudaDriver::get(error);
  if (!d)
    return nullptr;
  int count = 0;
  if (!d->check(d->deviceGetCount(&count), "cuDeviceGetCount", error))
    return nullptr;
  if (options.device < 0 || options.device >= count) {
    error = "expected a device in 0.." + std::to_string(count - 1) + ", got " +
            std::to_string(options.device);
    return nullptr;
  }
  if (!d->check(d->deviceGet(&impl->device, options.device), "cuDeviceGet",
                error))
    return nullptr;
  int chip = d->computeCapability(options.device, error);
  if (!chip)
    return nullptr;
  const TargetImage *target = selectTarget(bundle, options.arch, chip, error);
  if (!target)
    return nullptr;
  impl->target = *target;
  impl->problem = bundle.problem;
  if (!d->check(d->primaryCtxRetain(&impl->context, impl->device),
                "cuDevicePrimaryCtxRetain", error) ||
      !d->check(d->ctxSetCurrent(impl->context), "cuCtxSetCurrent", error))
    return nullptr;
  // Machine code runs on its own chip only; otherwise the driver compiles PTX.
  const char *image = isNative(*target, chip) ? impl->target.cubin.data()
                                              : impl->target.ptx.c_str();
  if (!d->check(d->moduleLoadData(&impl->module, image, 0, nullptr, nullptr),
                "loading the kernels", error))
    return nullptr;
  for (const KernelImage &k : impl->target.kernels) {
    void *function = nullptr;
    int64_t clusters = 0;
    if (!d->check(d->moduleGetFunction(&function, impl->module, k.name.c_str()),
                  "cuModuleGetFunction", error) ||
        !d->check(d->funcSetAttribute(function, attributeMaxDynamicShared,
                                      int(k.sharedBytes)),
                  "setting the shared memory size", error) ||
        !impl->countClusters(k, function, clusters, error) ||
        !impl->allowPersistent(k, function, error))
      return nullptr;
    impl->functions.push_back(function);
    impl->clusters.push_back(clusters);
    for (const KernelArgument &a : k.arguments)
      impl->hasTensorMaps |= !a.box.empty();
  }
  if (options.heads < 0 || options.heads > impl->problem.heads) {
    error = "heads: expected 0.." + std::to_string(impl->problem.heads) +
            ", got " + std::to_string(options.heads);
    return nullptr;
  }
  impl->heads = options.heads ? options.heads : impl->problem.heads;
  int64_t perSlab = 0, forAll = 0;
  for (const WorkspaceImage &w : impl->target.workspaces) {
    perSlab += roundUp(w.bytesPerSlab, 256);
    forAll += roundUp(w.bytes, 256);
  }
  if (perSlab + forAll > options.maxWorkspaceBytes) {
    error = "workspace: expected a limit of at least " +
            std::to_string(perSlab + forAll) +
            " bytes, what one slab needs, got " +
            std::to_string(options.maxWorkspaceBytes);
    return nullptr;
  }
  // All heads of all batch entries are one range; some of them are one a batch.
  bool all = impl->heads == impl->problem.heads && !impl->hasTensorMaps;
  impl->range =
      (all ? impl->problem.batch : 1) * impl->heads * impl->target.slabsPerHead;
  int64_t most =
      perSlab ? (options.maxWorkspaceBytes - forAll) / perSlab : impl->range;
  // grid.y, with some for parts of slabs
  most = std::min<int64_t>({most, impl->range, 65535 - 128});
  if (!impl->chooseGroup(most, error))
    return nullptr;
  impl->workspaceBytes = perSlab * impl->group + forAll;
  if (impl->workspaceBytes &&
      !d->check(d->memAlloc(&impl->workspace, impl->workspaceBytes),
                ("allocating a workspace of " +
                 std::to_string(impl->workspaceBytes) + " bytes")
                    .c_str(),
                error))
    return nullptr;
  uint64_t at = impl->workspace;
  for (const WorkspaceImage &w : impl->target.workspaces) {
    impl->workspaceAt[w.name] = at;
    if (w.zeroed)
      impl->zeroed.push_back({at, w.bytesPerSlab * impl->group + w.bytes});
    if (w.zeroedOnce &&
        (!d->check(d->memsetAsync(at, 0, size_t(w.bytes), nullptr),
                   "clearing counters", error) ||
         !d->check(d->ctxSynchronize(), "clearing counters", error)))
      return nullptr;
    at += roundUp(w.bytesPerSlab, 256) * impl->group + roundUp(w.bytes, 256);
  }
  return std::unique_ptr<Plan>(new Plan(std::move(impl)));
}

namespace {
/// CUlaunchConfig, without attributes.
struct LaunchConfig {
  unsigned grid[3], block[3], sharedBytes;
  void *stream, *attributes;
  unsigned attributeCount;
};
} // namespace

/// A cluster runs only where its blocks are resident together; a device that
/// has no place for one is told now. Counts those that run at once, 0 for a
/// kernel without, and no more than its workspace is for.
bool Plan::Impl::countClusters(const KernelImage &k, void *function,
                               int64_t &count, std::string &error) {
  count = 0;
  if (k.cluster == 1)
    return true;
  if (!driver->maxActiveClusters) {
    error = "the CUDA driver is too old: it lacks cuOccupancyMaxActiveClusters";
    return false;
  }
  if (k.cluster > 8 &&
      !driver->check(driver->funcSetAttribute(function, attributeAnyCluster, 1),
                     "allowing clusters of more than 8 blocks", error))
    return false;
  LaunchConfig config = {{unsigned(k.programs), 1, 1},
                         {unsigned(k.threads), 1, 1},
                         unsigned(k.sharedBytes),
                         nullptr,
                         nullptr,
                         0};
  int clusters = 0;
  if (!driver->check(driver->maxActiveClusters(&clusters, function, &config),
                     "cuOccupancyMaxActiveClusters", error))
    return false;
  count = std::min<int64_t>(clusters, k.clusters);
  if (count > 0)
    return true;
  error = "kernel " + k.name +
          ": expected a device with room for a cluster of " +
          std::to_string(k.cluster) + " blocks of " +
          std::to_string(k.sharedBytes) +
          " bytes, got none; compile with --schedule=r_step.cluster=1";
  return false;
}

/// How many blocks of a kernel the device has room for at once.
bool Plan::Impl::countResident(const KernelImage &k, void *function,
                               int64_t &blocks, std::string &error) {
  int multiprocessors = 0, handle = 0, each = 0;
  if (!driver->check(driver->deviceGet(&handle, device), "cuDeviceGet",
                     error) ||
      !driver->check(driver->deviceGetAttribute(
                         &multiprocessors, attributeMultiprocessors, handle),
                     "cuDeviceGetAttribute", error) ||
      !driver->check(driver->maxActiveBlocks(&each, function, int(k.threads),
                                             size_t(k.sharedBytes)),
                     "cuOccupancyMaxActiveBlocksPerMultiprocessor", error))
    return false;
  blocks = int64_t(each) * multiprocessors;
  return true;
}

/// The blocks of a persistent kernel wait for each other, so that all of them
/// have to be resident: a device without room is told now.
bool Plan::Impl::allowPersistent(const KernelImage &k, void *function,
                                 std::string &error) {
  if (!k.persistent)
    return true;
  int64_t blocks = 0;
  if (!countResident(k, function, blocks, error))
    return false;
  if (blocks >= k.programs)
    return true;
  error = "kernel " + k.name + ": expected a device with room for " +
          std::to_string(k.programs) + " blocks of " +
          std::to_string(k.sharedBytes) + " bytes at once, got room for " +
          std::to_string(blocks) + "; compile with --schedule=r_step.ring=0";
  return false;
}

/// The largest groups leave the fewest launches, but a launch takes whole waves
/// of blocks: of the sizes up to `most`, the one with the least waves of the
/// first kernel, R, whose blocks are the largest. A launch more counts as a
/// tenth of a wave.
bool Plan::Impl::chooseGroup(int64_t most, std::string &error) {
  const KernelImage &k = target.kernels.front();
  if (k.persistent) {
    group = most;
    return true;
  }
  int64_t slots = 0;
  if (!countResident(k, functions.front(), slots, error))
    return false;
  slots = std::max<int64_t>(1, slots);
  auto waves = [&](int64_t slabs) {
    return ceilDiv(slabs * k.programs, slots);
  };
  int64_t least = INT64_MAX;
  for (int64_t size = most; size >= 1; --size) {
    int64_t launches = ceilDiv(range, size);
    int64_t cost = 10 * ((launches - 1) * waves(size) +
                         waves(range - (launches - 1) * size)) +
                   launches;
    if (cost < least) {
      least = cost;
      group = size;
    }
  }
  return true;
}

namespace {
/// CUtensorMap.
struct alignas(64) TensorMap {
  unsigned char bytes[128];
};

/// The arguments of one launch: values, then pointers to them.
class Arguments {
public:
  void add(uint64_t v) {
    values[count] = v;
    list[count] = &values[count];
    ++count;
  }
  /// Room for the next argument.
  TensorMap &addMap() {
    list[count++] = &maps[mapCount];
    return maps[mapCount++];
  }
  void **pointers() { return list; }

private:
  // Pointer, frames, five strides and a tensor map a buffer; frames, group
  // begin and count.
  static constexpr int capacity = 8 * int(maxKernelArguments) + 6;
  uint64_t values[capacity]; // 4-byte arguments are read from the low half
  TensorMap maps[maxKernelArguments];
  void *list[capacity];
  int count = 0, mapCount = 0;
};

/// A tensor map with extents, and strides in elements but for the last, which
/// is 1, slowest first; in boxes with a swizzle of 128 bytes where a box has
/// 128 bytes of channels.
bool encode(const CudaDriver &d, TensorMap &map, void *base,
            const std::vector<int64_t> &extents,
            const std::vector<int64_t> &strides, const KernelArgument &a,
            DType dtype, std::string &error) {
  if (!d.tensorMapEncodeTiled) {
    error = "the CUDA driver is too old: it lacks cuTensorMapEncodeTiled";
    return false;
  }
  // The driver wants the fastest first.
  unsigned rank = unsigned(a.box.size()), box[5], steps[5];
  uint64_t sizes[5], bytes[5];
  for (unsigned i = 0; i < rank; ++i) {
    sizes[i] = uint64_t(extents[rank - 1 - i]);
    box[i] = unsigned(a.box[rank - 1 - i]);
    steps[i] = 1;
    if (i)
      bytes[i - 1] = uint64_t(strides[rank - 1 - i]) * 2;
  }
  // CUDA Driver API, CUtensorMapDataType and its neighbours.
  constexpr int float16 = 6, bfloat16 = 9, noInterleave = 0, noSwizzle = 0,
                swizzle128 = 3, promote128 = 2, fillZero = 0;
  int type = dtype == DType::BF16 ? bfloat16 : float16;
  return d.check(d.tensorMapEncodeTiled(&map, type, int(rank), base, sizes,
                                        bytes, box, steps, noInterleave,
                                        box[0] == 64 ? swizzle128 : noSwizzle,
                                        promote128, fillZero),
                 ("encoding the tensor map of " + a.buffer).c_str(), error);
}

/// The tensor map of one batch entry of key or value: frames, rows, tokens,
/// heads and channels.
bool encodeTokens(const CudaDriver &d, TensorMap &map, const TensorRef &t,
                  const Problem &problem, int64_t frames, int64_t batch,
                  const KernelArgument &a, std::string &error) {
  const Geometry &g = problem.geometry;
  int64_t h = g.sequenceTokens ? 1 : g.height;
  int64_t w = g.sequenceTokens ? g.sequenceTokens : g.width;
  int64_t channels = a.buffer == "value" ? problem.valueDim : problem.headDim;
  auto *base = static_cast<uint16_t *>(t.data) + batch * t.batchStride;
  return encode(d, map, base, {frames, h, w, problem.heads, channels},
                {h * w * t.tokenStride, w * t.tokenStride, t.tokenStride,
                 t.headStride, 1},
                a, problem.dtype, error);
}
} // namespace

static bool checkTensor(const char *name, const TensorRef &t,
                        std::string &error) {
  if (!t.data || reinterpret_cast<uintptr_t>(t.data) % 16) {
    error = std::string(name) + ": expected device memory aligned to 16 bytes";
    return false;
  }
  for (int64_t s : {t.batchStride, t.tokenStride, t.headStride})
    if (s % 8) {
      error = std::string(name) +
              ": expected strides that are multiples of 8 elements, got " +
              std::to_string(s);
      return false;
    }
  return true;
}

bool Plan::run(const AttentionTensors &t, void *stream, std::string &error,
               const std::function<void(size_t)> &launched) {
  const Geometry &g = impl->problem.geometry;
  if (!checkTensor("query", t.query, error) ||
      !checkTensor("key", t.key, error) ||
      !checkTensor("value", t.value, error) ||
      !checkTensor("out", t.out, error))
    return false;
  int64_t frames = impl->problem.dynamicKeyFrames ? t.keyFrames : g.keyFrames;
  if (frames < 1 || frames > g.keyFrames) {
    error = "key frames: expected 1.." + std::to_string(g.keyFrames) +
            ", got " + std::to_string(frames);
    return false;
  }
  const CudaDriver *d = impl->driver;
  if (!d->check(d->ctxSetCurrent(impl->context), "cuCtxSetCurrent", error))
    return false;
  int64_t h = g.sequenceTokens ? 1 : g.height;
  int64_t w = g.sequenceTokens ? g.sequenceTokens : g.width;
  // Slabs are numbered through all heads of all batch entries.
  int64_t perEntry = impl->problem.heads * impl->target.slabsPerHead;
  for (int64_t first = 0; first < impl->problem.batch * perEntry;
       first += std::max(impl->range, perEntry)) {
    for (int64_t begin = first; begin < first + impl->range;
         begin += impl->group) {
      int64_t count = std::min(impl->group, first + impl->range - begin);
      for (auto [at, bytes] : impl->zeroed)
        if (!d->check(d->memsetAsync(at, 0, size_t(bytes), stream),
                      "clearing counters", error))
          return false;
      for (size_t i = 0; i < impl->functions.size(); ++i) {
        const KernelImage &k = impl->target.kernels[i];
        Arguments arguments;
        for (const KernelArgument &a : k.arguments) {
          auto ws = impl->workspaceAt.find(a.buffer);
          if (ws != impl->workspaceAt.end()) {
            uint64_t at = ws->second + uint64_t(a.offsetBytes);
            arguments.add(at);
            if (a.box.empty())
              continue;
            // A persistent kernel's workspaces are shared by all slabs.
            std::vector<int64_t> extents = a.extents;
            if (extents.size() < a.box.size())
              extents.insert(extents.begin(), k.persistent ? 1 : impl->group);
            if (!encode(*d, arguments.addMap(), reinterpret_cast<void *>(at),
                        extents, a.strides, a, impl->problem.dtype, error))
              return false;
            continue;
          }
          const TensorRef &ref = a.buffer == "query"   ? t.query
                                 : a.buffer == "key"   ? t.key
                                 : a.buffer == "value" ? t.value
                                                       : t.out;
          arguments.add(reinterpret_cast<uint64_t>(ref.data));
          bool isKeySide = a.buffer == "key" || a.buffer == "value";
          if (isKeySide && k.dynamicFrames)
            arguments.add(frames);
          for (int64_t stride :
               {ref.batchStride, h * w * ref.tokenStride, w * ref.tokenStride,
                ref.tokenStride, ref.headStride})
            arguments.add(stride);
          if (!a.box.empty() &&
              !encodeTokens(*d, arguments.addMap(), ref, impl->problem,
                            isKeySide ? frames : g.queryFrames,
                            begin / perEntry, a, error))
            return false;
        }
        if (k.dynamicFrames)
          arguments.add(frames);
        arguments.add(begin);
        arguments.add(count);
        SlabParts cut = impl->cut(i, count);
        if (k.cluster > 1)
          for (int64_t v : {cut.clusters, cut.whole, cut.parts})
            arguments.add(v);
        CudaDriver::Result result =
            k.persistent
                ? d->launchCooperative(impl->functions[i], unsigned(k.programs),
                                       1, 1, unsigned(k.threads), 1, 1,
                                       unsigned(k.sharedBytes), stream,
                                       arguments.pointers())
                : d->launchKernel(impl->functions[i], unsigned(k.programs),
                                  unsigned(cut.clusters), 1,
                                  unsigned(k.threads), 1, 1,
                                  unsigned(k.sharedBytes), stream,
                                  arguments.pointers(), nullptr);
        if (!d->check(result, ("launching " + k.name).c_str(), error))
          return false;
        if (launched)
          launched(i);
      }
    }
  }
  return true;
}
