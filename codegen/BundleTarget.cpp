//===- BundleTarget.cpp - a compiled module as part of a bundle -----------===//

#include "monarch/Codegen/BundleTarget.h"

#include "monarch/Codegen/Assemble.h"
#include "monarch/Codegen/Compiler.h"
#include "monarch/Dialect/MonarchDialect.h"
#include "monarch/Dialect/TileDialect.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace monarch;

FailureOr<TargetImage> monarch::compileTarget(ModuleOp module) {
  if (levelOf(module) != Level::Nvvm && failed(lowerTo(module, Level::Nvvm)))
    return failure();
  auto plan = module->getAttrOfType<DictionaryAttr>(planAttrName);
  auto target = module->getAttrOfType<TargetAttr>(targetAttrName);
  if (!plan || !target)
    return module.emitError("expected module attributes '")
           << planAttrName << "' and '" << targetAttrName << "'";
  TargetImage image;
  image.arch = target.getChip().str();
  for (auto ws :
       plan.getAs<ArrayAttr>("workspaces").getAsRange<DictionaryAttr>())
    image.workspaces.push_back(
        {ws.getAs<StringAttr>("name").str(),
         ws.getAs<IntegerAttr>("bytes_per_head").getInt()});
  for (auto launch :
       plan.getAs<ArrayAttr>("launches").getAsRange<DictionaryAttr>()) {
    KernelImage k;
    k.name = launch.getAs<StringAttr>("kernel").str();
    auto function = module.lookupSymbol<LLVM::LLVMFuncOp>(k.name);
    if (!function)
      return module.emitError("lacks kernel '") << k.name << "'";
    auto integer = [&](StringRef name) {
      return function->getAttrOfType<IntegerAttr>(name).getInt();
    };
    auto schedule =
        function->getAttrOfType<ScheduleAttr>(tile::scheduleAttrName);
    llvm::raw_string_ostream os(k.schedule);
    os << schedule.getKind() << " " << schedule.getRows() << "x"
       << schedule.getColumns() << ", " << schedule.getWarps() << " warps, "
       << schedule.getStages() << " stages";
    k.programs = integer("monarch.programs");
    k.sharedBytes = integer("monarch.shared_bytes");
    k.threads =
        function->getAttrOfType<DenseI32ArrayAttr>("nvvm.reqntid")[0];
    k.dynamicFrames = launch.getAs<BoolAttr>("dynamic_frames").getValue();
    if (k.sharedBytes > target.getSharedMemory())
      return function.emitError("needs ")
             << k.sharedBytes << " bytes of shared memory, but "
             << target.getChip() << " has " << target.getSharedMemory();
    for (auto arg :
         launch.getAs<ArrayAttr>("arguments").getAsRange<DictionaryAttr>()) {
      // Workspaces of factors hold the schedule's element type.
      int64_t bytes = schedule.getElement().getIntOrFloatBitWidth() / 8;
      k.arguments.push_back({arg.getAs<StringAttr>("buffer").str(),
                             arg.getAs<IntegerAttr>("offset").getInt() * bytes});
    }
    image.kernels.push_back(std::move(k));
  }
  if (failed(lowerNvvmToLlvm(module)))
    return failure();
  FailureOr<std::string> ptx = emitPtx(module);
  if (failed(ptx))
    return failure();
  image.ptx = std::move(*ptx);
  if (!findPtxas().empty()) {
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
