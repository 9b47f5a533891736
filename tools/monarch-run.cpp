//===- monarch-run.cpp - run, verify and time attention -------------------===//

#include "CommandLine.h"
#include "DeviceRuns.h"
#include "Inputs.h"
#include "ProblemFlags.h"
#include "Report.h"

#include "monarch/Bundle/Bundle.h"
#include "monarch/Codegen/BundleTarget.h"
#include "monarch/Codegen/Compiler.h"
#include "monarch/InitAll.h"
#include "monarch/Reference/RandomProblem.h"
#include "monarch/Reference/Reference.h"
#include "monarch/Runtime/Driver.h"
#include "monarch/Runtime/HostJit.h"
#include "monarch/Runtime/Plan.h"
#include "monarch/Support/Half.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/WithColor.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>
#include <cmath>
#include <deque>

#include <unistd.h>

using namespace monarch;
namespace cl = llvm::cl;

static cl::OptionCategory category("Runner");
static cl::opt<std::string> inputProblem(cl::Positional,
                                         cl::desc("[FILE.mlir or bundle]"),
                                         cl::cat(category));
static cl::opt<std::string> backend("backend", cl::desc("host or cuda"),
                                    cl::init("host"), cl::cat(category));
static cl::opt<std::string>
    archFlag("target",
             cl::desc("GPU target to compile for or to take from the bundle "
                      "(default: the device's own)"),
             cl::cat(category));
static cl::opt<std::string> inputFlag(
    "input",
    cl::desc("random:SEED, spike:SEED, video:SEED, FILE.safetensors or "
             "q.npy,k.npy,v.npy"),
    cl::init("random:0"), cl::cat(category));
static cl::opt<std::string>
    outputFlag("output", cl::desc("write the result: .safetensors or .npy"),
               cl::cat(category));
static cl::opt<std::string> candidateFlag(
    "candidate",
    cl::desc("verify this output in place of running: .safetensors or .npy"),
    cl::cat(category));
static cl::opt<std::string> verifyFlag(
    "verify", cl::desc("compare with the f64 oracle: full, or a sample"),
    cl::ValueOptional, cl::value_desc("full|sample"), cl::cat(category));
static cl::opt<bool>
    bench("bench", cl::desc("time it; on a GPU each of its kernels too"),
          cl::cat(category));
static cl::opt<int> repeats("repeats", cl::desc("timed runs (20; host 3)"),
                            cl::init(0), cl::cat(category));
static cl::opt<bool> json("json", cl::desc("print one JSON object"),
                          cl::cat(category));
static cl::opt<int64_t>
    keyFramesFlag("key-frames",
                  cl::desc("valid key frames of a problem that takes them"),
                  cl::init(0), cl::cat(category));
static cl::opt<int64_t> maxWorkspace("max-workspace",
                                     cl::desc("most bytes of GPU workspace"),
                                     cl::init(0), cl::cat(category));
static cl::opt<int> randomProblems(
    "random-problems",
    cl::desc("run and verify N seeded small problems in place of one"),
    cl::init(0), cl::value_desc("N"), cl::cat(category));
static cl::opt<int> firstSeed("first-seed",
                              cl::desc("first seed of --random-problems"),
                              cl::init(0), cl::cat(category));

static cl::opt<int>
    launches("launches",
             cl::desc("then launch the problems of --random-problems M times, "
                      "back to back on two streams, and compare all outputs"),
             cl::init(0), cl::value_desc("M"), cl::cat(category));

static llvm::Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

namespace {

/// A progress line on a terminal's standard error.
class Progress {
public:
  explicit Progress(std::string what) : what(std::move(what)) {}
  ~Progress() {
    if (shown)
      llvm::errs() << "\r\033[K";
  }
  void operator()(double fraction) {
    auto now = std::chrono::steady_clock::now();
    if (now - last < std::chrono::milliseconds(200))
      return;
    last = now;
    // Without a terminal a line every tenth is enough.
    if (!llvm::sys::Process::StandardErrIsDisplayed()) {
      int tenth = int(fraction * 10);
      if (tenth > lastTenth)
        llvm::errs() << llvm::formatv("{0}: {1} %\n", what, tenth * 10);
      lastTenth = tenth;
      return;
    }
    shown = true;
    llvm::errs() << llvm::formatv("\r{0}: {1,3} %", what, int(fraction * 100));
  }

private:
  std::string what;
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
  bool shown = false;
  int lastTenth = 0;
};

/// A random problem, and what it gave.
struct RandomRun {
  Problem problem;
  Inputs inputs;
  int64_t keyFrames = 0;
  std::vector<uint8_t> out;
};

class Session {
public:
  Session() : context(registry(), mlir::MLIRContext::Threading::DISABLED) {
    context.loadAllAvailableDialects();
    context.printOpOnDiagnostic(false);
    context.getDiagEngine().registerHandler([](mlir::Diagnostic &d) {
      if (d.getSeverity() != mlir::DiagnosticSeverity::Error)
        return mlir::success();
      // A place in a file where there is one; flags have none.
      if (auto at = mlir::dyn_cast<mlir::FileLineColLoc>(d.getLocation()))
        llvm::errs() << at.getFilename().getValue() << ":" << at.getLine()
                     << ":" << at.getColumn() << ": ";
      llvm::WithColor::error(llvm::errs(), "monarch-run") << d.str() << "\n";
      return mlir::success();
    });
  }

  llvm::Expected<Report> run(const Problem &problem, const Inputs &inputs,
                             const Bundle *bundle, int64_t keyFrames,
                             bool quiet, std::vector<uint8_t> &out);
  /// A bundle for the device here, or for --target.
  llvm::Expected<Bundle> compile(const Problem &problem, const CudaDriver &d);
  /// Launches --launches runs of problems that ran alone, without waiting in
  /// between, on two streams in turn. Gives how many wrote other bytes than
  /// they did alone.
  llvm::Expected<int> launchTogether(llvm::ArrayRef<RandomRun> runs);
  llvm::Error runHost(const Problem &problem, const Inputs &inputs,
                      int64_t keyFrames, bool quiet, std::vector<uint8_t> &out,
                      Report &report);
  llvm::Error runCuda(const Problem &problem, const Inputs &inputs,
                      const Bundle *bundle, int64_t keyFrames,
                      std::vector<uint8_t> &out, Report &report);
  mlir::MLIRContext context;

private:
  static mlir::DialectRegistry registry() {
    mlir::DialectRegistry r;
    registerAllDialects(r);
    return r;
  }
};

double millisecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now() - start)
      .count();
}

} // namespace

llvm::Error Session::runHost(const Problem &p, const Inputs &in,
                             int64_t keyFrames, bool quiet,
                             std::vector<uint8_t> &out, Report &report) {
  auto start = std::chrono::steady_clock::now();
  auto module = buildProblem(&context, p, *findTarget("host"));
  if (!module || mlir::failed(requestSchedule(*module, scheduleFlag())) ||
      mlir::failed(lowerTo(*module, Level::Host)))
    return makeError("compiling for the host failed");
  auto program = HostProgram::create(*module);
  if (!program)
    return program.takeError();
  report.compileMilliseconds = millisecondsSince(start);
  report.target = "host";
  const Geometry &g = p.geometry;
  AttentionTensors t;
  auto bytes = [](const std::vector<uint8_t> &v) {
    return const_cast<uint8_t *>(v.data());
  };
  t.query = contiguous(bytes(in.query), g.queryTokens(), p.heads, p.headDim);
  t.key = contiguous(bytes(in.key), g.keyTokens(), p.heads, p.headDim);
  t.value = contiguous(bytes(in.value), g.keyTokens(), p.heads, p.valueDim);
  t.out = contiguous(out.data(), g.queryTokens(), p.heads, p.valueDim);
  if (p.keyMask) {
    t.keyMask = in.keyMask.data();
    t.keyMaskBatchStride = g.keyTokens();
  }
  t.keyFrames = keyFrames;
  int runs = bench ? (repeats ? repeats : 3) : 1;
  for (int i = 0; i < runs; ++i) {
    Progress progress("running on the host");
    start = std::chrono::steady_clock::now();
    std::function<void(double)> shown;
    if (!quiet)
      shown = [&](double f) { progress(f); };
    if (llvm::Error e = (*program)->run(t, 0, -1, 0, shown))
      return e;
    report.milliseconds.push_back(millisecondsSince(start));
  }
  return llvm::Error::success();
}

llvm::Expected<Bundle> Session::compile(const Problem &p, const CudaDriver &d) {
  std::string error;
  int chip = d.computeCapability(0, error);
  if (!chip)
    return makeError(error);
  const Target *target =
      archFlag.empty() ? targetForDevice(chip) : findTarget(archFlag);
  if (!target || !target->isGpu())
    return makeError(
        "--target: expected a GPU that can be compiled for, got " +
        (archFlag.empty() ? "sm_" + std::to_string(chip) : archFlag));
  auto module = buildProblem(&context, p, *target);
  if (!module)
    return makeError("the problem is not valid");
  if (mlir::failed(requestSchedule(*module, scheduleFlag())))
    return makeError("--schedule: not possible here");
  auto image = compileTarget(*module);
  if (mlir::failed(image))
    return makeError("compiling for " + llvm::StringRef(target->name) +
                     " failed");
  Bundle bundle;
  bundle.problem = p;
  bundle.targets.push_back(std::move(*image));
  return bundle;
}

llvm::Error Session::runCuda(const Problem &p, const Inputs &in,
                             const Bundle *given, int64_t keyFrames,
                             std::vector<uint8_t> &out, Report &report) {
  std::string error;
  const CudaDriver *d = CudaDriver::get(error);
  if (!d)
    return makeError("--backend=cuda: " + error);
  Bundle compiled;
  if (!given) {
    auto start = std::chrono::steady_clock::now();
    auto bundle = compile(p, *d);
    if (!bundle)
      return bundle.takeError();
    report.compileMilliseconds = millisecondsSince(start);
    compiled = std::move(*bundle);
  }
  PlanOptions options;
  options.arch = archFlag;
  options.heads = given ? p.heads : 0;
  if (maxWorkspace)
    options.maxWorkspaceBytes = maxWorkspace;
  DeviceProblem onDevice(*d);
  if (!onDevice.create(given ? *given : compiled, options, p, in, keyFrames,
                       error))
    return makeError(error);
  Plan &plan = *onDevice.plan;
  report.target = plan.arch();
  report.device = d->deviceName(options.device, error);
  if (report.device.empty())
    return makeError(error);
  report.workspaceBytes = plan.workspaceBytes();
  report.slabsPerGroup = plan.slabsPerGroup();
  DeviceBuffer o(*d);
  if (!o.upload(out, error))
    return makeError(error);
  AttentionTensors t = onDevice.tensors(o);
  if (!plan.run(t, nullptr, error) ||
      !d->check(d->ctxSynchronize(), "running the kernels", error) ||
      !o.download(out, error))
    return makeError(error);
  int runs = repeats ? repeats : 20;
  if (bench && (!timeRuns(*d, plan, t, runs, report.milliseconds, error) ||
                !timeKernels(*d, plan, t, runs, report.kernels, error)))
    return makeError(error);
  return llvm::Error::success();
}

llvm::Expected<int> Session::launchTogether(llvm::ArrayRef<RandomRun> runs) {
  std::string error;
  const CudaDriver *d = CudaDriver::get(error);
  if (!d)
    return makeError("--backend=cuda: " + error);
  PlanOptions options;
  options.arch = archFlag;
  if (maxWorkspace)
    options.maxWorkspaceBytes = maxWorkspace;
  std::deque<DeviceProblem> problems[2]; // of each stream
  for (const RandomRun &run : runs) {
    auto bundle = compile(run.problem, *d);
    if (!bundle)
      return bundle.takeError();
    for (std::deque<DeviceProblem> &ofStream : problems) {
      ofStream.emplace_back(*d);
      if (!ofStream.back().create(*bundle, options, run.problem, run.inputs,
                                  run.keyFrames, error))
        return makeError(error);
    }
  }
  Stream streams[] = {Stream(*d), Stream(*d)};
  for (Stream &stream : streams)
    if (!stream.create(error))
      return makeError(error);
  // The streams are one problem apart: what overlaps has different shapes.
  auto problemOf = [&](int launch) {
    return size_t(launch / 2 + launch % 2) % runs.size();
  };
  std::deque<DeviceBuffer> outputs; // of each launch
  for (int i = 0; i < launches; ++i) {
    outputs.emplace_back(*d);
    size_t size = runs[problemOf(i)].out.size();
    if (!outputs.back().upload(std::vector<uint8_t>(size, 0xff), error))
      return makeError(error);
  }
  for (int i = 0; i < launches; ++i) {
    DeviceProblem &problem = problems[i % 2][problemOf(i)];
    if (!problem.plan->run(problem.tensors(outputs[i]), streams[i % 2].get(),
                           error))
      return makeError(error);
  }
  if (!d->check(d->ctxSynchronize(), "running the kernels", error))
    return makeError(error);
  int wrong = 0;
  for (int i = 0; i < launches; ++i) {
    const RandomRun &run = runs[problemOf(i)];
    std::vector<uint8_t> out(run.out.size());
    if (!outputs[i].download(out, error))
      return makeError(error);
    if (out == run.out)
      continue;
    ++wrong;
    llvm::outs() << "launch " << i
                 << " differs from a run alone: " << describe(run.problem)
                 << "\n";
  }
  return wrong;
}

/// Compares `out` with the oracle.
static void verifyOutput(const Problem &p, const Inputs &in, int64_t keyFrames,
                         bool quiet, const std::vector<uint8_t> &out,
                         Report &report) {
  std::vector<float> q = toFloats(in.query.data(), p.queryElements(), p.dtype);
  std::vector<float> k = toFloats(in.key.data(), p.keyElements(), p.dtype);
  std::vector<float> v = toFloats(in.value.data(), p.valueElements(), p.dtype);
  ReferenceInputs inputs{q.data(), k.data(), v.data(),
                         in.keyMask.empty() ? nullptr : in.keyMask.data(),
                         keyFrames};
  ReferenceOptions options;
  if (verifyFlag != "full" && !randomProblems)
    options.samplePairs = 256;
  Progress progress("computing the oracle");
  if (!quiet)
    options.progress = [&](double f) { progress(f); };
  ReferenceResult reference = computeReference(p, inputs, options);
  std::vector<float> result = toFloats(out.data(), p.outElements(), p.dtype);
  report.error = compare(p, reference, result.data());
  report.verified = report.error.relative < errorBound(p.dtype);
  // Finite inputs give finite outputs. That goes for the rows that were not
  // sampled too: what is never written is NaN.
  auto finite = [](llvm::ArrayRef<float> values) {
    return llvm::all_of(values, [](float x) { return std::isfinite(x); });
  };
  if (finite(q) && finite(k) && finite(v) && !finite(result))
    report.verified = report.error.finite = false;
}

llvm::Expected<Report> Session::run(const Problem &p, const Inputs &in,
                                    const Bundle *bundle, int64_t keyFrames,
                                    bool quiet, std::vector<uint8_t> &out) {
  Report report;
  // All ones is NaN in every element type: what is not written shows.
  out.assign(p.outElements() * dtypeSize(p.dtype), 0xff);
  if (llvm::Error e = backend == "host"
                          ? runHost(p, in, keyFrames, quiet, out, report)
                          : runCuda(p, in, bundle, keyFrames, out, report))
    return std::move(e);
  llvm::sort(report.milliseconds);
  for (KernelTime &k : report.kernels)
    llvm::sort(k.milliseconds);
  if (verifyFlag.getNumOccurrences() || randomProblems)
    verifyOutput(p, in, keyFrames, quiet, out, report);
  return report;
}

static int fail(const llvm::Twine &message) {
  llvm::WithColor::error(llvm::errs(), "monarch-run") << message << "\n";
  return 1;
}

/// Physical memory of this machine.
static double hostMemoryBytes() {
  return double(sysconf(_SC_PHYS_PAGES)) * double(sysconf(_SC_PAGESIZE));
}

static int runRandomProblems(Session &session) {
  std::vector<RandomRun> runs;
  int failures = 0;
  for (int i = 0; i < randomProblems; ++i) {
    uint64_t seed = uint64_t(firstSeed) + i;
    ProblemLimits limits;
    limits.gpu = backend == "cuda";
    RandomRun run;
    run.problem = randomProblem(seed, limits, run.keyFrames);
    run.inputs = randomInputs(run.problem, seed);
    auto report = session.run(run.problem, run.inputs, nullptr, run.keyFrames,
                              true, run.out);
    if (!report)
      return fail("seed " + llvm::Twine(seed) + " (" + describe(run.problem) +
                  "): " + llvm::toString(report.takeError()));
    if (!report->verified) {
      ++failures;
      llvm::outs() << "seed " << seed << " fails: " << describe(run.problem)
                   << llvm::formatv(": error {0:e3}, bound {1:e0}\n",
                                    report->error.relative,
                                    errorBound(run.problem.dtype));
    }
    if (launches)
      runs.push_back(std::move(run));
  }
  llvm::outs() << randomProblems - failures << " passed, " << failures
               << " failed\n";
  if (failures || !launches)
    return failures != 0;
  auto wrong = session.launchTogether(runs);
  if (!wrong)
    return fail("--launches: " + llvm::toString(wrong.takeError()));
  llvm::outs() << launches << " launches of " << randomProblems
               << " problems on two streams, " << *wrong << " wrong\n";
  return *wrong != 0;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  parseCommandLine(
      argc, argv, "monarch-run", category,
      "Run, verify and time Monarch attention\n\n"
      "  monarch-run --workload=wan-480p-95 --heads=1 --input=video:1 "
      "--verify=sample\n");
  if (listRequested()) {
    printList();
    return 0;
  }
  if (backend != "host" && backend != "cuda")
    return fail("--backend: expected host or cuda, got '" + backend + "'");
  if (verifyFlag.getNumOccurrences() && verifyFlag != "" &&
      verifyFlag != "full" && verifyFlag != "sample")
    return fail("--verify: expected full or sample, got '" + verifyFlag + "'");
  if (!archFlag.empty() && backend == "host" && archFlag != "host")
    return fail("--target: expected host for --backend=host, got '" + archFlag +
                "'");
  for (auto [flag, least] : {std::pair<const cl::opt<int> *, int>{&repeats, 1},
                             {&randomProblems, 1},
                             {&launches, 1},
                             {&firstSeed, 0}})
    if (flag->getNumOccurrences() && *flag < least)
      return fail("--" + flag->ArgStr + ": expected at least " +
                  llvm::Twine(least) + ", got " + llvm::Twine(int(*flag)));
  if (maxWorkspace.getNumOccurrences() &&
      (maxWorkspace < 1 || backend != "cuda"))
    return fail("--max-workspace: expected a number of bytes, for "
                "--backend=cuda");
  if (launches && (!randomProblems || backend != "cuda"))
    return fail("--launches: expected --random-problems and --backend=cuda "
                "with it, got " +
                (randomProblems ? "--backend=" + backend
                                : std::string("no --random-problems")));
  if (candidateFlag.getNumOccurrences()) {
    if (!verifyFlag.getNumOccurrences())
      return fail("--candidate: expected --verify with it, got none");
    const cl::Option *ofRuns[] = {&backend,   &archFlag, &scheduleFlag(),
                                  &bench,     &repeats,  &maxWorkspace,
                                  &outputFlag};
    for (const cl::Option *flag : ofRuns)
      if (flag->getNumOccurrences())
        return fail("--candidate: verifies what another program gave; expected "
                    "no flag of a run with it, got --" +
                    flag->ArgStr);
  }
  Session session;
  if (randomProblems) {
    if (hasProblemFlags() || inputProblem.getNumOccurrences() || json ||
        scheduleFlag().getNumOccurrences() || bench || !outputFlag.empty() ||
        !candidateFlag.empty())
      return fail("--random-problems: makes its own problems; expected no "
                  "problem, --schedule, --json, --bench, --output or "
                  "--candidate with it");
    return runRandomProblems(session);
  }

  Problem problem;
  Bundle bundle;
  bool isBundle = false, fromFile = inputProblem.getNumOccurrences();
  if (fromFile == hasProblemFlags())
    return fail(fromFile ? "expected a file or problem flags, got both"
                         : "expected a .mlir file, a bundle, or a problem: "
                           "--workload, --model, --grid or --tokens");
  if (fromFile) {
    if (scheduleFlag().getNumOccurrences())
      return fail("--schedule: expected problem flags with it; a file is run "
                  "as it is");
    if (llvm::Error e = refuseProblemFlags(/*allowHeads=*/true))
      return fail(llvm::toString(std::move(e)));
    auto buffer = llvm::MemoryBuffer::getFile(inputProblem, false, false);
    if (!buffer)
      return fail("cannot read '" + inputProblem +
                  "': " + buffer.getError().message());
    std::string bytes = (*buffer)->getBuffer().str();
    isBundle = looksLikeBundle(bytes) ||
               inputProblem.getValue().find(".mlir") == std::string::npos;
    if (isBundle) {
      std::string error;
      if (!parseBundle(bytes, bundle, error))
        return fail(inputProblem + ": " + error);
      problem = bundle.problem;
    } else {
      auto module = mlir::parseSourceString<mlir::ModuleOp>(
          bytes, &session.context, inputProblem);
      if (!module)
        return fail(inputProblem + ": cannot be parsed");
      auto read = readProblem(*module);
      if (failed(read))
        return fail(inputProblem + ": holds no problem");
      problem = *read;
    }
    auto heads = headsToRun(problem.heads);
    if (!heads)
      return fail(llvm::toString(heads.takeError()));
    problem.heads = *heads;
  } else {
    auto parsed = problemFromFlags();
    if (!parsed)
      return fail(llvm::toString(parsed.takeError()));
    problem = *parsed;
  }
  int64_t keyFrames = problem.geometry.keyFrames;
  if (keyFramesFlag.getNumOccurrences()) {
    if (!problem.dynamicKeyFrames)
      return fail("--key-frames: the problem takes none at run time "
                  "(--max-kv-frames)");
    if (keyFramesFlag < 1 || keyFramesFlag > keyFrames)
      return fail("--key-frames: expected 1.." + llvm::Twine(keyFrames) +
                  ", got " + llvm::Twine(keyFramesFlag));
    keyFrames = keyFramesFlag;
  }
  for (const cl::opt<std::string> *flag : {&outputFlag, &candidateFlag}) {
    llvm::StringRef file = flag->getValue();
    if (flag->getNumOccurrences() && !file.ends_with(".safetensors") &&
        !file.ends_with(".npy"))
      return fail("--" + flag->ArgStr +
                  ": expected a .safetensors or .npy file, got '" + file + "'");
  }

  // Tensors as elements; for the oracle as floats and its result as doubles.
  bool oracle = verifyFlag.getNumOccurrences();
  double in = double(problem.queryElements()) + problem.keyElements() +
              problem.valueElements();
  double bytes =
      in * (dtypeSize(problem.dtype) + 4 * oracle) +
      double(problem.outElements()) * (dtypeSize(problem.dtype) + 12 * oracle);
  double most = hostMemoryBytes();
  if (bytes > most)
    return fail(llvm::formatv("the problem needs {0:f1} GiB of this machine's "
                              "memory, which has {1:f1}; --heads takes fewer "
                              "heads",
                              bytes / 1073741824, most / 1073741824));
  auto inputs = makeInputs(problem, inputFlag);
  if (!inputs)
    return fail(llvm::toString(inputs.takeError()));
  std::vector<uint8_t> out;
  Report report;
  if (candidateFlag.getNumOccurrences()) {
    auto candidate = readOutput(problem, candidateFlag);
    if (!candidate)
      return fail("--candidate: " + llvm::toString(candidate.takeError()));
    verifyOutput(problem, *inputs, keyFrames, json, *candidate, report);
  } else {
    auto ran = session.run(problem, *inputs, isBundle ? &bundle : nullptr,
                           keyFrames, json, out);
    if (!ran)
      return fail(llvm::toString(ran.takeError()));
    report = std::move(*ran);
  }
  if (!outputFlag.empty())
    if (llvm::Error e = writeOutput(problem, outputFlag, out))
      return fail("--output: cannot write '" + outputFlag +
                  "': " + llvm::toString(std::move(e)));

  report.keyFrames = keyFrames;
  bool verify = verifyFlag.getNumOccurrences();
  if (json)
    printJson(report, problem, verify);
  else
    printText(report, problem, verify);
  return verify && !report.verified;
}
