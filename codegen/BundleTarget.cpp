//===- BundleTarget.cpp - a compiled module as part of a bundle -----------===//

#include "monarch/Codegen/BundleTarget.h"

#include "monarch/Codegen/Assemble.h"
#include "monarch/Codegen/Compiler.h"
#include "monarch/Codegen/LaunchPlan.h"
#include "monarch/Dialect/MonarchDialect.h"
#include "monarch/Dialect/TileDialect.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace monarch;

FailureOr<TargetImage> monarch::compileTarget(ModuleOp module) {
  if (levelOf(module) != Level::Nvvm && failed(lowerTo(module, Level::Nvvm)))
    return failure();
  FailureOr<LaunchPlan> plan = readLaunchPlan(module);
  if (failed(plan))
    return failure();
  auto target = module->getAttrOfType<TargetAttr>(targetAttrName);
  if (!target)
    return module.emitError("expected module attribute '")
           << targetAttrName << "'";
  TargetImage image;
  image.arch = target.getChip().str();
  image.slabsPerHead = plan->slabsPerHead;
  for (const LaunchPlan::Workspace &ws : plan->workspaces)
    image.workspaces.push_back(
        {ws.name, ws.bytesPerSlab, ws.bytes, ws.zeroed, ws.zeroedOnce});
  for (const LaunchPlan::Launch &launch : plan->launches) {
    auto function = module.lookupSymbol<LLVM::LLVMFuncOp>(launch.kernel);
    if (!function)
      return module.emitError("lacks kernel '") << launch.kernel << "'";
    auto schedule =
        function->getAttrOfType<ScheduleAttr>(tile::scheduleAttrName);
    auto programs = function->getAttrOfType<IntegerAttr>("monarch.programs");
    auto shared = function->getAttrOfType<IntegerAttr>("monarch.shared_bytes");
    auto threads = function->getAttrOfType<DenseI32ArrayAttr>("nvvm.reqntid");
    if (!schedule || !programs || !shared || !threads || threads.empty())
      return function.emitError("expected attributes '")
             << tile::scheduleAttrName
             << "', 'monarch.programs', 'monarch.shared_bytes' and "
                "'nvvm.reqntid'";
    KernelImage k;
    k.name = launch.kernel;
    llvm::raw_string_ostream os(k.schedule);
    os << schedule.getKind() << " " << schedule.getRows() << "x"
       << schedule.getColumns() << ", " << schedule.getWarps() << " warps, "
       << schedule.getStages() << " stages";
    if (schedule.getCluster() > 1)
      os << ", clusters of " << schedule.getCluster();
    if (schedule.getProducer())
      os << ", producer of " << schedule.getProducer() << " warps";
    if (schedule.getRing())
      os << ", ring of " << schedule.getSlots() << " slots from "
         << schedule.getRing() << " programs";
    k.programs = programs.getInt();
    k.sharedBytes = shared.getInt();
    k.threads = threads[0];
    if (auto cluster =
            function->getAttrOfType<DenseI32ArrayAttr>("nvvm.cluster_dim"))
      k.cluster = cluster[0], k.clusters = schedule.getClusters();
    k.dynamicFrames = launch.dynamicFrames;
    k.persistent = launch.persistent;
    if (k.sharedBytes > target.getSharedMemory())
      return function.emitError("needs ")
             << k.sharedBytes << " bytes of shared memory, but "
             << target.getChip() << " has " << target.getSharedMemory();
    // Workspaces of factors hold the schedule's element type.
    int64_t bytes = schedule.getElement().getIntOrFloatBitWidth() / 8;
    for (const LaunchPlan::Argument &arg : launch.arguments)
      k.arguments.push_back(
          {arg.buffer, arg.offset * bytes, arg.box, arg.extents, arg.strides});
    image.kernels.push_back(std::move(k));
  }
  if (failed(lowerNvvmToLlvm(module)))
    return failure();
  FailureOr<std::string> ptx = emitPtx(module);
  if (failed(ptx))
    return failure();
  image.ptx = std::move(*ptx);
  llvm::Expected<std::string> ptxas = findPtxas();
  if (!ptxas)
    return module.emitError(llvm::toString(ptxas.takeError()));
  if (!ptxas->empty()) {
    llvm::Expected<Assembled> assembled = assemble(image.ptx, image.arch);
    if (!assembled)
      return module.emitError(llvm::toString(assembled.takeError()));
    image.cubin = std::move(assembled->cubin);
    image.ptxasLog = std::move(assembled->log);
    for (KernelImage &k : image.kernels)
      k.resources = assembled->kernels[k.name];
  }
  return image;
}
