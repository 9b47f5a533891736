//===- HostJit.cpp - attention on this machine's processor ----------------===//

#include "monarch/Runtime/HostJit.h"

#include "monarch/Codegen/Compiler.h"
#include "monarch/Codegen/LaunchPlan.h"
#include "monarch/Dialect/MonarchDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/ExecutionEngine/ExecutionEngine.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

#include <atomic>
#include <mutex>
#include <thread>

using namespace mlir;
using namespace monarch;

namespace {

/// One argument of a kernel, as the plan binds it.
struct Argument {
  std::string buffer;
  int64_t offset; ///< elements
  MemRefType type;
};

struct Launch {
  std::string kernel;
  int64_t programs; ///< for one (batch, head)
  bool dynamicFrames;
  std::vector<Argument> arguments;
  void (*function)(void **) = nullptr;
};

struct Workspace {
  std::string name;
  int64_t bytes;
};

/// A memref descriptor: pointers, offset, sizes, strides.
std::vector<int64_t> descriptor(void *data, ArrayRef<int64_t> sizes,
                                ArrayRef<int64_t> strides) {
  std::vector<int64_t> d = {reinterpret_cast<int64_t>(data),
                            reinterpret_cast<int64_t>(data), 0};
  d.insert(d.end(), sizes.begin(), sizes.end());
  d.insert(d.end(), strides.begin(), strides.end());
  return d;
}

llvm::Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

} // namespace

struct HostProgram::Impl {
  int64_t batch, heads, maxKeyFrames;
  std::vector<Workspace> workspaces;
  std::vector<Launch> launches;
  std::unique_ptr<ExecutionEngine> engine;

  llvm::Error readPlan(ModuleOp module);
  std::vector<int64_t> bind(const Argument &argument,
                            const AttentionTensors &tensors,
                            llvm::StringMap<void *> &memory) const;
};

HostProgram::HostProgram(std::unique_ptr<Impl> impl) : impl(std::move(impl)) {}
HostProgram::~HostProgram() = default;

llvm::Error HostProgram::Impl::readPlan(ModuleOp module) {
  FailureOr<LaunchPlan> plan = readLaunchPlan(module);
  if (failed(plan))
    return makeError("the module's launch plan cannot be read");
  batch = plan->batch;
  heads = plan->heads;
  maxKeyFrames = plan->maxKeyFrames;
  for (const LaunchPlan::Workspace &ws : plan->workspaces)
    workspaces.push_back({ws.name, ws.bytesPerSlab});
  for (const LaunchPlan::Launch &launch : plan->launches) {
    Launch l;
    l.kernel = launch.kernel;
    l.dynamicFrames = launch.dynamicFrames;
    auto function = module.lookupSymbol<func::FuncOp>(l.kernel);
    if (!function)
      return makeError("the module lacks kernel '" + l.kernel + "'");
    auto programs = function->getAttrOfType<IntegerAttr>("monarch.programs");
    // Behind the buffers: key frames, the group of heads, the programs.
    size_t scalars = l.dynamicFrames ? 5 : 4;
    if (!programs ||
        function.getNumArguments() != launch.arguments.size() + scalars)
      return makeError("kernel '" + l.kernel + "' does not fit its launch");
    l.programs = programs.getInt();
    for (size_t i = 0; i < launch.arguments.size(); ++i) {
      auto type = dyn_cast<MemRefType>(function.getArgumentTypes()[i]);
      if (!type)
        return makeError("kernel '" + l.kernel + "' does not fit its launch");
      l.arguments.push_back(
          {launch.arguments[i].buffer, launch.arguments[i].offset, type});
    }
    launches.push_back(std::move(l));
  }
  return llvm::Error::success();
}

llvm::Expected<std::unique_ptr<HostProgram>>
HostProgram::create(ModuleOp module) {
  auto impl = std::make_unique<Impl>();
  if (auto error = impl->readPlan(module))
    return std::move(error);
  if (failed(lowerHostToLlvm(module)))
    return makeError("lowering to LLVM failed");
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  auto builder = llvm::orc::JITTargetMachineBuilder::detectHost();
  if (!builder)
    return builder.takeError();
  builder->setCodeGenOptLevel(llvm::CodeGenOptLevel::Aggressive);
  // 512-bit vectors where there are any: the kernels are long fma loops.
  builder->getFeatures().AddFeature("prefer-256-bit", false);
  auto machine = builder->createTargetMachine();
  if (!machine)
    return machine.takeError();
  std::unique_ptr<llvm::TargetMachine> forOptimizer = std::move(*machine);
  ExecutionEngineOptions options;
  auto optimize = makeOptimizingTransformer(3, 0, forOptimizer.get());
  options.transformer = optimize;
  options.jitCodeGenOptLevel = llvm::CodeGenOptLevel::Aggressive;
  auto second = builder->createTargetMachine();
  if (!second)
    return second.takeError();
  auto engine = ExecutionEngine::create(module, options, std::move(*second));
  if (!engine)
    return engine.takeError();
  impl->engine = std::move(*engine);
  for (Launch &l : impl->launches) {
    auto f = impl->engine->lookupPacked("_mlir_ciface_" + l.kernel);
    if (!f)
      return f.takeError();
    l.function = *f;
  }
  return std::unique_ptr<HostProgram>(new HostProgram(std::move(impl)));
}

/// The descriptor of one argument: token tensors are viewed as
/// [B, F, H, W, heads, D], masks as [B, F, H, W], factors as [1, P, NK(, D)].
std::vector<int64_t>
HostProgram::Impl::bind(const Argument &argument, const AttentionTensors &t,
                        llvm::StringMap<void *> &memory) const {
  MemRefType type = argument.type;
  SmallVector<int64_t> sizes(type.getShape());
  int64_t bytes = type.getElementTypeBitWidth() / 8;
  if (memory.count(argument.buffer)) {
    sizes[0] = 1;
    auto [strides, offset] = type.getStridesAndOffset();
    return descriptor(static_cast<char *>(memory[argument.buffer]) +
                          argument.offset * bytes,
                      sizes, strides);
  }
  if (ShapedType::isDynamic(sizes[1]))
    sizes[1] = t.keyFrames;
  if (argument.buffer == "key_mask")
    return descriptor(const_cast<uint8_t *>(t.keyMask), sizes,
                      {t.keyMaskBatchStride, sizes[2] * sizes[3], sizes[3], 1});
  const TensorRef &ref = argument.buffer == "query"   ? t.query
                         : argument.buffer == "key"   ? t.key
                         : argument.buffer == "value" ? t.value
                                                      : t.out;
  return descriptor(ref.data, sizes,
                    {ref.batchStride, sizes[2] * sizes[3] * ref.tokenStride,
                     sizes[3] * ref.tokenStride, ref.tokenStride,
                     ref.headStride, 1});
}

llvm::Error HostProgram::run(const AttentionTensors &tensors, int64_t headBegin,
                             int64_t headEnd, unsigned threads,
                             std::function<void(double)> progress) {
  if (headEnd < 0)
    headEnd = impl->heads;
  if (headBegin < 0 || headBegin >= headEnd || headEnd > impl->heads)
    return makeError("expected heads in 0.." + llvm::Twine(impl->heads) +
                     ", got " + llvm::Twine(headBegin) + ".." +
                     llvm::Twine(headEnd));
  for (auto [ref, name] : {std::pair(&tensors.query, "query"),
                           {&tensors.key, "key"},
                           {&tensors.value, "value"},
                           {&tensors.out, "out"}})
    if (!ref->data)
      return makeError("expected a tensor " + llvm::Twine(name) + ", got null");
  for (const Launch &l : impl->launches) {
    if (l.dynamicFrames &&
        (tensors.keyFrames < 1 || tensors.keyFrames > impl->maxKeyFrames))
      return makeError("expected key frames in 1.." +
                       llvm::Twine(impl->maxKeyFrames) + ", got " +
                       llvm::Twine(tensors.keyFrames));
    for (const Argument &a : l.arguments)
      if (a.buffer == "key_mask" && !tensors.keyMask)
        return makeError("expected a key mask, got null");
  }
  if (!threads)
    threads = std::max(1u, std::thread::hardware_concurrency());
  llvm::StringMap<void *> memory;
  std::vector<std::unique_ptr<char[]>> storage;
  for (const Workspace &ws : impl->workspaces) {
    storage.emplace_back(new (std::nothrow) char[ws.bytes + 64]);
    if (!storage.back())
      return makeError("no memory for a workspace of " + llvm::Twine(ws.bytes) +
                       " bytes");
    memory[ws.name] = reinterpret_cast<void *>(
        (reinterpret_cast<uintptr_t>(storage.back().get()) + 63) / 64 * 64);
  }
  int64_t total = impl->batch * (headEnd - headBegin) * impl->launches.size();
  int64_t done = 0;
  for (int64_t batch = 0; batch < impl->batch; ++batch)
    for (int64_t head = headBegin; head < headEnd; ++head)
      for (const Launch &l : impl->launches) {
        std::vector<std::vector<int64_t>> descriptors;
        for (const Argument &a : l.arguments)
          descriptors.push_back(impl->bind(a, tensors, memory));
        std::atomic<int64_t> next{0};
        int64_t chunk = std::max<int64_t>(1, l.programs / (threads * 8));
        std::mutex lock;
        auto work = [&] {
          for (int64_t begin; (begin = next.fetch_add(chunk)) < l.programs;) {
            int64_t end = std::min(begin + chunk, l.programs);
            int64_t frames = tensors.keyFrames, one = 1;
            int64_t bh = batch * impl->heads + head;
            std::vector<void *> pointers, packed;
            for (auto &d : descriptors)
              pointers.push_back(d.data());
            for (void *&p : pointers)
              packed.push_back(&p);
            if (l.dynamicFrames)
              packed.push_back(&frames);
            for (int64_t *v : {&bh, &one, &begin, &end})
              packed.push_back(v);
            l.function(packed.data());
            if (progress) {
              std::lock_guard<std::mutex> guard(lock);
              progress((done + double(end) / l.programs) / total);
            }
          }
        };
        std::vector<std::thread> pool;
        for (unsigned t = 1; t < threads; ++t)
          pool.emplace_back(work);
        work();
        for (std::thread &t : pool)
          t.join();
        ++done;
      }
  return llvm::Error::success();
}
