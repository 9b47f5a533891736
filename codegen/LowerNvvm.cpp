//===- LowerNvvm.cpp - level nvvm to LLVM IR and PTX ----------------------===//

#include "monarch/Codegen/Compiler.h"

#include "monarch/Dialect/MonarchDialect.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/NVVMToLLVM/NVVMToLLVM.h"
#include "mlir/Conversion/ReconcileUnrealizedCasts/ReconcileUnrealizedCasts.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/Utils/LoopUtils.h"

using namespace mlir;
using namespace monarch;

LogicalResult monarch::lowerNvvmToLlvm(ModuleOp module) {
  PassManager pm(module.getContext());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createSCFToControlFlowPass());
  // Tile coordinates fit 32 bits; addresses are 64-bit by explicit casts.
  ArithToLLVMConversionPassOptions arith;
  arith.indexBitwidth = 32;
  pm.addPass(createArithToLLVMConversionPass(arith));
  ConvertControlFlowToLLVMPassOptions cf;
  cf.indexBitwidth = 32;
  pm.addPass(createConvertControlFlowToLLVMPass(cf));
  pm.addPass(createConvertNVVMToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  return pm.run(module);
}

namespace {
/// The module in LLVM's IR, optimised for its chip.
struct Translated {
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module;
  std::unique_ptr<llvm::TargetMachine> machine;
};
} // namespace

static std::unique_ptr<llvm::TargetMachine>
makeMachine(StringRef chip, int64_t ptx, std::string &error) {
  LLVMInitializeNVPTXTargetInfo();
  LLVMInitializeNVPTXTarget();
  LLVMInitializeNVPTXTargetMC();
  LLVMInitializeNVPTXAsmPrinter();
  llvm::Triple triple("nvptx64-nvidia-cuda");
  const llvm::Target *backend =
      llvm::TargetRegistry::lookupTarget(triple, error);
  if (!backend)
    return nullptr;
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Fast;
  return std::unique_ptr<llvm::TargetMachine>(backend->createTargetMachine(
      triple, chip, ("+ptx" + llvm::Twine(ptx)).str(), options,
      llvm::Reloc::PIC_, std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

static FailureOr<Translated> translate(ModuleOp module) {
  if (failed(checkTarget(module)))
    return failure();
  auto target = module->getAttrOfType<TargetAttr>(targetAttrName);
  Translated t;
  t.context = std::make_unique<llvm::LLVMContext>();
  t.module = translateModuleToLLVMIR(module, *t.context, "monarch");
  if (!t.module)
    return module.emitError("translation to LLVM IR failed");
  std::string error;
  t.machine = makeMachine(target.getChip(), target.getPtx(), error);
  if (!t.machine)
    return module.emitError("no NVPTX backend: ") << error;
  t.module->setTargetTriple(t.machine->getTargetTriple());
  t.module->setDataLayout(t.machine->createDataLayout());

  // Loops are shaped by the passes: no unrolling or vectorisation here.
  llvm::PipelineTuningOptions tuning;
  tuning.LoopUnrolling = false;
  tuning.LoopInterleaving = false;
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  llvm::LoopAnalysisManager lam;
  llvm::FunctionAnalysisManager fam;
  llvm::CGSCCAnalysisManager cgam;
  llvm::ModuleAnalysisManager mam;
  llvm::PassBuilder builder(t.machine.get(), tuning);
  builder.registerModuleAnalyses(mam);
  builder.registerCGSCCAnalyses(cgam);
  builder.registerFunctionAnalyses(fam);
  builder.registerLoopAnalyses(lam);
  builder.crossRegisterProxies(lam, fam, cgam, mam);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2)
      .run(*t.module, mam);
  // A loop's body is a whole tile already. Unrolled by ptxas it would need more
  // registers than there are.
  for (llvm::Function &f : *t.module) {
    if (f.isDeclaration())
      continue;
    llvm::DominatorTree dominators(f);
    llvm::LoopInfo loops(dominators);
    for (llvm::Loop *loop : loops.getLoopsInPreorder())
      llvm::addStringMetadataToLoop(loop, "llvm.loop.unroll.disable");
  }
  return t;
}

FailureOr<std::string> monarch::emitLlvmIr(ModuleOp module) {
  FailureOr<Translated> t = translate(module);
  if (failed(t))
    return failure();
  std::string text;
  llvm::raw_string_ostream os(text);
  t->module->print(os, nullptr);
  return text;
}

/// Through the text of level `llvm`, so that going on from a file gives the
/// same.
FailureOr<std::string> monarch::emitPtx(ModuleOp module) {
  FailureOr<std::string> text = emitLlvmIr(module);
  if (failed(text))
    return failure();
  auto target = module->getAttrOfType<TargetAttr>(targetAttrName);
  llvm::Expected<std::string> ptx =
      emitPtxFromLlvmIr(*text, *findTarget(target.getChip()));
  if (!ptx)
    return module.emitError(llvm::toString(ptx.takeError()));
  return std::move(*ptx);
}

llvm::Expected<std::string> monarch::emitPtxFromLlvmIr(llvm::StringRef text,
                                                       const Target &target) {
  auto fail = [](const llvm::Twine &message) {
    return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
  };
  llvm::LLVMContext context;
  llvm::SMDiagnostic diagnostic;
  std::unique_ptr<llvm::Module> module =
      llvm::parseAssemblyString(text, diagnostic, context);
  if (!module)
    return fail("line " + llvm::Twine(diagnostic.getLineNo()) + ": " +
                diagnostic.getMessage());
  std::string error;
  auto machine = makeMachine(target.name, target.ptx, error);
  if (!machine)
    return fail("no NVPTX backend: " + error);
  if (module->getTargetTriple() != machine->getTargetTriple())
    return fail("expected LLVM IR for " + machine->getTargetTriple().str() +
                ", got '" + module->getTargetTriple().str() + "'");
  llvm::SmallString<0> out;
  llvm::raw_svector_ostream os(out);
  llvm::legacy::PassManager pm;
  if (machine->addPassesToEmitFile(pm, os, nullptr,
                                   llvm::CodeGenFileType::AssemblyFile))
    return fail("the NVPTX backend cannot emit PTX");
  pm.run(*module);
  return std::string(out);
}
