//===- Pipelines.cpp - monarch-to-host and monarch-to-nvvm ----------------===//

#include "monarch/Passes/Passes.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace monarch;

static constexpr std::pair<Level, llvm::StringLiteral> levels[] = {
    {Level::Problem, "problem"}, {Level::Steps, "steps"},
    {Level::Fused, "fused"},     {Level::Tiled, "tiled"},
    {Level::Mapped, "mapped"},   {Level::Host, "host"},
    {Level::Nvvm, "nvvm"}};

std::optional<Level> monarch::parseLevel(llvm::StringRef name) {
  for (auto &[level, text] : levels)
    if (text == name)
      return level;
  return std::nullopt;
}

llvm::StringRef monarch::levelName(Level level) {
  for (auto &[value, text] : levels)
    if (value == level)
      return text;
  return "";
}

void monarch::buildPipeline(OpPassManager &pm, Level from, Level to, bool gpu) {
  auto stage = [&](Level level, llvm::function_ref<void()> add) {
    if (from < level && level <= to)
      add();
  };
  stage(Level::Steps, [&] {
    pm.addPass(createCanonicalizerPass());
    pm.addPass(createMonarchFactorize());
  });
  stage(Level::Fused, [&] {
    pm.addPass(createMonarchFuseOnlineEntropy());
    pm.addPass(createMonarchFuseSteps());
    pm.addPass(createMonarchSelectSchedule());
    pm.addPass(createMonarchFuseExchange());
  });
  stage(Level::Tiled, [&] {
    pm.addPass(createMonarchTileSoftmax());
    pm.addPass(createCanonicalizerPass());
    pm.addPass(createCSEPass());
  });
  if (gpu) {
    stage(Level::Mapped, [&] {
      pm.addPass(createMonarchTileAssignLayouts());
      pm.addPass(createMonarchTileSpecializeWarps());
      pm.addPass(createMonarchTileOverlapProducts());
      pm.addPass(createMonarchTileStageOutputs());
      pm.addPass(createMonarchTilePipeline());
      pm.addPass(createCanonicalizerPass());
    });
    stage(Level::Nvvm, [&] { pm.addPass(createConvertMonarchTileToNvvm()); });
  } else {
    stage(Level::Host, [&] {
      pm.addPass(createMonarchTileToVector());
      pm.addPass(createCanonicalizerPass());
      pm.addPass(createCSEPass());
    });
  }
}

namespace {
auto levelValues() {
  return llvm::cl::values(
      clEnumValN(Level::Problem, "problem", "one op"),
      clEnumValN(Level::Steps, "steps", "formulas"),
      clEnumValN(Level::Fused, "fused", "kernels with schedules"),
      clEnumValN(Level::Tiled, "tiled", "loops over tiles"),
      clEnumValN(Level::Mapped, "mapped", "tiles in their places"),
      clEnumValN(Level::Host, "host", "loops over vectors"),
      clEnumValN(Level::Nvvm, "nvvm", "threads of a GPU"));
}

struct PipelineOptions : PassPipelineOptions<PipelineOptions> {
  Option<Level> stop{*this, "stop-at",
                     llvm::cl::desc("level to stop at (default: the last)"),
                     llvm::cl::init(Level::Nvvm), levelValues()};
  Option<Level> start{*this, "start-from",
                      llvm::cl::desc("level that the input is at"),
                      llvm::cl::init(Level::Problem), levelValues()};
};
} // namespace

void monarch::registerMonarchPipelines() {
  PassPipelineRegistration<PipelineOptions>(
      "monarch-to-host", "From a problem to loops over vectors for the host",
      [](OpPassManager &pm, const PipelineOptions &options) {
        buildPipeline(pm, options.start, options.stop, /*gpu=*/false);
      });
  PassPipelineRegistration<PipelineOptions>(
      "monarch-to-nvvm", "From a problem to NVVM kernels for a GPU",
      [](OpPassManager &pm, const PipelineOptions &options) {
        buildPipeline(pm, options.start, options.stop, /*gpu=*/true);
      });
}
