//===- monarchc.cpp - compile attention from the command line -------------===//

#include "CommandLine.h"
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
static cl::opt<std::string>
    targetFlag("target",
               cl::desc("host, or GPUs separated by commas (see --list)"),
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

/// Bytes that a kernel spills, -1 where ptxas did not say.
static int spilledBytes(const Resources &r) {
  return r.spillStores < 0 ? -1 : r.spillStores + r.spillLoads;
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
                      work.dense / work.total(), 100 * sparsity(p.geometry));
  const char *row = "{0,-8} {1,-9} {2,9} {3,9} {4,8} {5,7}  {6}\n";
  os << llvm::formatv(row, "target", "kernel", "registers", "shared B",
                      "spill B", "PTX KB", "schedule");
  for (const TargetImage &t : bundle.targets)
    for (const KernelImage &k : t.kernels) {
      auto known = [](int v) {
        return v < 0 ? std::string("no ptxas") : std::to_string(v);
      };
      os << llvm::formatv(row, t.arch, k.name, known(k.resources.registers),
                          k.sharedBytes, known(spilledBytes(k.resources)),
                          t.ptx.size() / 1024, k.schedule);
    }
}

/// What is slow about a target's kernels though they are right: none of what is
/// chosen by itself, but what a --schedule asks for can be.
static void warnOfResources(const TargetImage &t) {
  auto warning = [&]() -> llvm::raw_ostream & {
    return llvm::WithColor::warning(llvm::errs(), "monarchc") << t.arch;
  };
  if (!t.ptxasLog.empty())
    warning() << ": " << llvm::StringRef(t.ptxasLog).trim() << "\n";
  for (const KernelImage &k : t.kernels)
    if (int bytes = spilledBytes(k.resources); bytes > 0)
      warning() << ", kernel " << k.name << ": registers do not suffice, "
                << bytes << " bytes are spilled (" << k.schedule << ")\n";
}

/// Writes `text` to -o, whole or not at all.
static int writeResult(llvm::StringRef text) {
  llvm::Error e = llvm::writeToOutput(outputFile, [&](llvm::raw_ostream &out) {
    out << text;
    return llvm::Error::success();
  });
  std::string message = e ? llvm::toString(std::move(e)) : "";
  llvm::outs().flush();
  if (llvm::outs().has_error()) {
    message = llvm::outs().error().message();
    llvm::outs().clear_error(); // or the stream would abort at exit
  }
  if (!message.empty())
    return fail("-o: cannot write '" + outputFile + "': " + message);
  return 0;
}

/// Goes on from level `llvm` of a GPU: LLVM IR text, which names no target.
static int compileLlvmIr(llvm::StringRef text,
                         llvm::ArrayRef<const Target *> targets) {
  if (targets.size() != 1 || !targets[0]->isGpu())
    return fail("--target: expected one GPU, as LLVM IR names none");
  if (emitFlag != "ptx" && emitFlag != "cubin")
    return fail("--emit: expected ptx or cubin from LLVM IR, got '" + emitFlag +
                "'");
  llvm::Expected<std::string> ptx = emitPtxFromLlvmIr(text, *targets[0]);
  if (!ptx)
    return fail(inputFile + ": " + llvm::toString(ptx.takeError()));
  if (emitFlag == "ptx")
    return writeResult(*ptx);
  auto assembled = assemble(*ptx, targets[0]->name.str());
  if (!assembled)
    return fail(llvm::toString(assembled.takeError()));
  llvm::errs() << assembled->log;
  return writeResult(assembled->cubin);
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  parseCommandLine(argc, argv, "monarchc", category,
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
  if (emitFlag == "cubin") {
    llvm::Expected<std::string> ptxas = findPtxas();
    if (!ptxas)
      return fail("--emit=cubin: " + llvm::toString(ptxas.takeError()));
    if (ptxas->empty())
      return fail("--emit=cubin: ptxas was not found (MONARCH_PTXAS, PATH, "
                  "/usr/local/cuda/bin)");
  }

  mlir::DialectRegistry registry;
  registerAllDialects(registry);
  mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
  llvm::SourceMgr sources;
  mlir::SourceMgrDiagnosticHandler handler(sources, &context, llvm::errs());
  // Remarks only on request, errors always; MLIR's own notes repeat the op.
  mlir::ScopedDiagnosticHandler filter(&context, [](mlir::Diagnostic &d) {
    if (d.getSeverity() == mlir::DiagnosticSeverity::Remark)
      return mlir::success(!printRemarks);
    // What flags stated has no place in a file.
    bool flags = mlir::isa<mlir::UnknownLoc>(d.getLocation());
    if (flags && d.getSeverity() == mlir::DiagnosticSeverity::Error)
      llvm::WithColor::error(llvm::errs(), "monarchc") << d.str() << "\n";
    return mlir::success(flags);
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
    if (llvm::Error e = refuseProblemFlags(/*allowHeads=*/false))
      return fail(llvm::toString(std::move(e)));
    auto buffer = llvm::MemoryBuffer::getFileOrSTDIN(inputFile);
    if (!buffer)
      return fail("cannot read '" + inputFile +
                  "': " + buffer.getError().message());
    if ((*buffer)->getBuffer().starts_with("; ModuleID"))
      return compileLlvmIr((*buffer)->getBuffer(), targets);
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
        return fail("--emit=bundle: the file does not say which problem it "
                    "solves");
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
  if (scheduleFlag().getNumOccurrences())
    for (auto &module : modules)
      if (failed(requestSchedule(*module, scheduleFlag())))
        return 1;
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
      warnOfResources(*image);
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
  return writeResult(result);
}
