//===- monarchc.cpp - compile attention from the command line -------------===//

#include "Presets.h"
#include "ProblemFlags.h"

#include "monarch/Codegen/Assemble.h"
#include "monarch/Codegen/BundleTarget.h"
#include "monarch/Codegen/Compiler.h"
#include "monarch/Dialect/MonarchDialect.h"
#include "monarch/InitAll.h"
#include "monarch/Support/Version.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/WithColor.h"
#include "llvm/Support/raw_ostream.h"

using namespace monarch;
namespace cl = llvm::cl;

static cl::OptionCategory category("Compiler");
static cl::opt<std::string> inputFile(cl::Positional, cl::desc("[FILE.mlir]"),
                                      cl::cat(category));
static cl::opt<std::string> targetFlag(
    "target", cl::desc("host, or GPUs separated by commas (see --list)"),
    cl::value_desc("list"), cl::init(""), cl::cat(category));
static cl::opt<std::string>
    emitFlag("emit",
             cl::desc("problem, steps, fused, tiled, mapped, host, nvvm, llvm, "
                      "ptx, cubin or bundle"),
             cl::value_desc("level"), cl::init("bundle"), cl::cat(category));
static cl::opt<std::string> outputFile("o", cl::desc("output file"),
                                       cl::value_desc("path"), cl::init("-"),
                                       cl::cat(category));
static cl::opt<bool> printSummary(
    "print-summary",
    cl::desc("print a table of the compiled kernels on standard error"),
    cl::cat(category));
static cl::opt<bool>
    printRemarks("print-remarks",
                 cl::desc("print why each schedule was chosen"),
                 cl::cat(category));

static int fail(const llvm::Twine &message) {
  llvm::WithColor::error(llvm::errs(), "monarchc") << message << "\n";
  return 1;
}

/// Multiply-adds, shortened: 1.2e12 as "1.20 T".
static std::string shortCount(double v) {
  const char *units[] = {"", " K", " M", " G", " T", " P"};
  int u = 0;
  for (; v >= 1000 && u < 5; ++u)
    v /= 1000;
  return llvm::formatv("{0:f2}{1}", v, units[u]).str();
}

static void printTable(const Bundle &bundle) {
  const Problem &p = bundle.problem;
  WorkCount work = countWork(p.geometry, p.headDim, p.valueDim, p.iterations);
  llvm::raw_ostream &os = llvm::errs();
  os << llvm::formatv(
      "{0} query tokens, {1} key tokens, {2} heads of {3}; tile {4}x{5}x{6}, "
      "blocks ({7}, {8}), T = {9}\n",
      p.geometry.queryTokens(), p.geometry.keyTokens(), p.heads, p.headDim,
      p.geometry.tile[0], p.geometry.tile[1], p.geometry.tile[2],
      p.geometry.blocks.rows(), p.geometry.blocks.columns(), p.iterations);
  os << llvm::formatv("multiply-adds a head: {0} (R {1}, L {2}) against {3} "
                      "dense, {4:f1} times fewer; sparsity {5:f1} %\n\n",
                      shortCount(work.total()), shortCount(work.rStep),
                      shortCount(work.lStep), shortCount(work.dense),
                      work.dense / work.total(),
                      100 * sparsity(p.geometry));
  os << llvm::formatv("{0,-8} {1,-8} {2,-38} {3,9} {4,9} {5,11} {6,7}\n",
                      "target", "kernel", "schedule", "registers", "shared B",
                      "spill B", "PTX KB");
  for (const TargetImage &t : bundle.targets)
    for (const KernelImage &k : t.kernels) {
      auto known = [](int v) {
        return v < 0 ? std::string("no ptxas") : std::to_string(v);
      };
      int spills = k.resources.spillStores < 0
                       ? -1
                       : k.resources.spillStores + k.resources.spillLoads;
      os << llvm::formatv("{0,-8} {1,-8} {2,-38} {3,9} {4,9} {5,11} {6,7}\n",
                          t.arch, k.name, k.schedule,
                          known(k.resources.registers), k.sharedBytes,
                          known(spills), t.ptx.size() / 1024);
    }
  for (const TargetImage &t : bundle.targets)
    if (!t.ptxasLog.empty())
      os << "ptxas, " << t.arch << ": " << t.ptxasLog;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::SetVersionPrinter([](llvm::raw_ostream &os) {
    os << "monarchc " << versionString() << " (" << sourceHash() << ")\n";
  });
  cl::ParseCommandLineOptions(argc, argv,
                              "Monarch attention compiler\n\n"
                              "  monarchc --workload=wan-480p-95 "
                              "--target=sm_90a --emit=ptx -o k.ptx\n");
  if (listRequested()) {
    printList();
    return 0;
  }

  llvm::SmallVector<const Target *> targets;
  llvm::SmallVector<llvm::StringRef> names;
  llvm::StringRef(targetFlag).split(names, ',', -1, false);
  for (llvm::StringRef name : names) {
    const Target *t = findTarget(name);
    if (!t) {
      std::string known;
      for (const Target &each : allTargets())
        known += (known.empty() ? "" : ", ") + each.name.str();
      return fail("--target: unknown target '" + name + "', expected " + known);
    }
    targets.push_back(t);
  }
  std::optional<Level> level = parseLevel(emitFlag);
  bool binary = emitFlag == "cubin" || emitFlag == "bundle";
  if (!level && !binary && emitFlag != "llvm" && emitFlag != "ptx")
    return fail("--emit: expected problem, steps, fused, tiled, mapped, host, "
                "nvvm, llvm, ptx, cubin or bundle, got '" +
                emitFlag + "'");
  if (binary && outputFile == "-")
    return fail("-o: expected a file for --emit=" + emitFlag);
  if (!outputFile.empty() && outputFile != "-" &&
      llvm::sys::fs::is_directory(outputFile))
    return fail("-o: cannot write '" + outputFile + "': it is a directory");
  if (emitFlag == "cubin" && findPtxas().empty())
    return fail("--emit=cubin: ptxas was not found (MONARCH_PTXAS, PATH, "
                "/usr/local/cuda/bin)");

  mlir::DialectRegistry registry;
  registerAllDialects(registry);
  mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
  llvm::SourceMgr sources;
  mlir::SourceMgrDiagnosticHandler handler(sources, &context, llvm::errs());
  // Remarks only on request, errors always; MLIR's own notes repeat the op.
  mlir::ScopedDiagnosticHandler filter(&context, [](mlir::Diagnostic &d) {
    bool drop = d.getSeverity() == mlir::DiagnosticSeverity::Remark &&
                !printRemarks;
    return mlir::success(drop);
  });
  context.printOpOnDiagnostic(false);

  // One module for each target; a file brings its own.
  llvm::SmallVector<mlir::OwningOpRef<mlir::ModuleOp>> modules;
  Problem problem;
  bool fromFile = inputFile.getNumOccurrences();
  if (fromFile == hasProblemFlags())
    return fail(fromFile ? "expected a file or problem flags, got both"
                         : "expected a .mlir file or a problem: --workload, "
                           "--model, --grid or --tokens (see --help)");
  if (fromFile) {
    auto buffer = llvm::MemoryBuffer::getFileOrSTDIN(inputFile);
    if (!buffer)
      return fail("cannot read '" + inputFile +
                  "': " + buffer.getError().message());
    sources.AddNewSourceBuffer(std::move(*buffer), llvm::SMLoc());
    size_t count = std::max<size_t>(1, targets.size());
    for (size_t i = 0; i < count; ++i) {
      auto module = mlir::parseSourceFile<mlir::ModuleOp>(sources, &context);
      if (!module)
        return 1;
      if (!targets.empty()) {
        auto has = (*module)->getAttrOfType<TargetAttr>(targetAttrName);
        if (has && levelOf(*module) > Level::Steps &&
            has.getChip() != targets[i]->name)
          return fail("--target: the file is at level '" +
                      levelName(levelOf(*module)) + "' for " + has.getChip() +
                      ", got " + targets[i]->name);
        (*module)->setAttr(targetAttrName, targetAttr(&context, *targets[i]));
      } else if (!(*module)->hasAttr(targetAttrName)) {
        return fail("--target: expected a target, as the file names none");
      }
      modules.push_back(std::move(module));
    }
    if (emitFlag == "bundle") {
      auto read = readProblem(*modules[0]);
      if (failed(read))
        return fail("a bundle needs the problem: expected a file at level "
                    "'problem'");
      problem = *read;
    }
  } else {
    llvm::Expected<Problem> parsed = problemFromFlags();
    if (!parsed)
      return fail(llvm::toString(parsed.takeError()));
    problem = *parsed;
    if (targets.empty() && level && *level == Level::Problem)
      targets.push_back(findTarget("host"));
    if (targets.empty())
      return fail("--target: expected host or a list of GPUs (see --list)");
    for (const Target *t : targets) {
      auto module = buildProblem(&context, problem, *t);
      if (!module)
        return 1;
      modules.push_back(std::move(module));
    }
  }
  if (modules.size() > 1 && emitFlag != "bundle")
    return fail("--target: expected one target for --emit=" + emitFlag +
                ", got " + llvm::Twine(modules.size()));

  std::string result;
  llvm::raw_string_ostream os(result);
  if (emitFlag == "bundle") {
    Bundle bundle;
    bundle.compilerVersion = versionString();
    bundle.compilerHash = sourceHash();
    bundle.problem = problem;
    for (auto &module : modules) {
      auto target = (*module)->getAttrOfType<TargetAttr>(targetAttrName);
      if (target.getKind() == "host")
        return fail("--target: a bundle holds GPU kernels; the host end is "
                    "compiled where it runs (monarch-run --backend=host)");
      if (printSummary)
        llvm::errs() << "compiling for " << target.getChip() << " ...\n";
      auto image = compileTarget(*module);
      if (failed(image))
        return 1;
      bundle.targets.push_back(std::move(*image));
    }
    os << serializeBundle(bundle);
    if (printSummary)
      printTable(bundle);
  } else {
    mlir::ModuleOp module = *modules[0];
    if (level) {
      if (failed(lowerTo(module, *level)))
        return 1;
      module.print(os);
      os << "\n";
    } else {
      auto target = module->getAttrOfType<TargetAttr>(targetAttrName);
      if (target.getKind() == "host") {
        if (emitFlag != "llvm")
          return fail("--emit=" + emitFlag + ": target host has none");
        if (failed(lowerTo(module, Level::Host)) ||
            failed(lowerHostToLlvm(module)))
          return 1;
        module.print(os);
        os << "\n";
      } else {
        if (failed(lowerTo(module, Level::Nvvm)) ||
            failed(lowerNvvmToLlvm(module)))
          return 1;
        auto text = emitFlag == "llvm" ? emitLlvmIr(module) : emitPtx(module);
        if (failed(text))
          return 1;
        result = *text;
        if (emitFlag == "cubin") {
          auto assembled = assemble(result, target.getChip().str());
          if (!assembled)
            return fail(llvm::toString(assembled.takeError()));
          llvm::errs() << assembled->log;
          result = assembled->cubin;
        }
      }
    }
  }
  if (llvm::Error e = llvm::writeToOutput(
          outputFile, [&](llvm::raw_ostream &out) {
            out << result;
            return llvm::Error::success();
          }))
    return fail("-o: cannot write '" + outputFile +
                "': " + llvm::toString(std::move(e)));
  return 0;
}
