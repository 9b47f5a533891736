//===- ProblemFlags.cpp - a problem on the command line -------------------===//

#include "ProblemFlags.h"

#include "Presets.h"

#include "monarch/Codegen/Targets.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

using namespace monarch;
namespace cl = llvm::cl;

static cl::OptionCategory category("Problem");
cl::OptionCategory &monarch::problemCategory() { return category; }

static cl::opt<std::string>
    workload("workload", cl::desc("a canonical problem by name (see --list)"),
             cl::value_desc("name"), cl::cat(category));
static cl::opt<std::string>
    model("model", cl::desc("a video model by name (see --list)"),
          cl::value_desc("name"), cl::cat(category));
static cl::opt<std::string>
    resolution("resolution", cl::desc("video size in pixels, with --model"),
               cl::value_desc("WxH"), cl::cat(category));
static cl::opt<std::string> videoFrames("frames",
                                        cl::desc("video frames, with --model"),
                                        cl::value_desc("N"), cl::cat(category));
static cl::opt<std::string>
    gridFlag("grid", cl::desc("token grid, in place of a model"),
             cl::value_desc("F,H,W"), cl::cat(category));
static cl::opt<std::string> tokens("tokens",
                                   cl::desc("a plain sequence of N tokens"),
                                   cl::value_desc("N"), cl::cat(category));
static cl::opt<std::string>
    blockSize("block-size", cl::desc("columns of a block, with --tokens"),
              cl::value_desc("B"), cl::cat(category));
static cl::opt<std::string>
    padding("padding", cl::desc("where a sequence is padded: post or pre"),
            cl::value_desc("post|pre"), cl::init("post"), cl::cat(category));
static cl::opt<std::string>
    headsFlag("heads",
              cl::desc("attention heads; of a file or bundle, how many to run"),
              cl::value_desc("N"), cl::cat(category));
static cl::opt<std::string> headDim("head-dim",
                                    cl::desc("channels of a head (128)"),
                                    cl::value_desc("D"), cl::cat(category));
static cl::opt<std::string>
    valueDim("value-dim", cl::desc("channels of a value (as --head-dim)"),
             cl::value_desc("D"), cl::cat(category));
static cl::opt<std::string> batch("batch", cl::desc("batch entries (1)"),
                                  cl::value_desc("N"), cl::cat(category));
static cl::opt<std::string> method(
    "method",
    cl::desc("monarchrt (one tile a frame, blocks fh,w, T = 1), vmonarch "
             "(one tile, blocks f,hw, T = 2, floor 0.1, one frame "
             "recomputed) or monarch (one tile, blocks fh,w, T = 2)"),
    cl::value_desc("name"), cl::cat(category));
static cl::opt<std::string> tile("tile", cl::desc("tile extents (G1)"),
                                 cl::value_desc("F,H,W"), cl::cat(category));
static cl::opt<std::string>
    blocks("blocks", cl::desc("axes of block rows and columns (G2)"),
           cl::value_desc("fh,w"), cl::cat(category));
static cl::opt<std::string> iterations("iterations", cl::desc("T"),
                                       cl::value_desc("T"), cl::cat(category));
static cl::opt<std::string> scale("scale",
                                  cl::desc("score scale (1/sqrt(head-dim))"),
                                  cl::value_desc("x"), cl::cat(category));
static cl::opt<std::string> temperatureFloor("temperature-floor",
                                             cl::desc("least cR (A2)"),
                                             cl::value_desc("x"),
                                             cl::cat(category));
static cl::opt<std::string>
    recomputeFrames("recompute-frames",
                    cl::desc("leading frames answered densely (A3)"),
                    cl::value_desc("N"), cl::cat(category));
static cl::opt<std::string>
    causalFrames("causal-frames",
                 cl::desc("frames of a causal group, 0 for none (A4)"),
                 cl::value_desc("N"), cl::cat(category));
static cl::opt<std::string>
    causalOffset("causal-offset",
                 cl::desc("key frame at which the queries start (A4)"),
                 cl::value_desc("N"), cl::cat(category));
static cl::opt<std::string> queryFrames("query-frames",
                                        cl::desc("frames of the queries"),
                                        cl::value_desc("N"), cl::cat(category));
static cl::opt<std::string>
    maxKvFrames("max-kv-frames",
                cl::desc("compile for any number of key frames up to N, given "
                         "at run time (A5)"),
                cl::value_desc("N"), cl::cat(category));
static cl::opt<std::string> dtype("dtype", cl::desc("bf16, f16 or f32"),
                                  cl::value_desc("type"), cl::cat(category));
static cl::opt<bool> keyMask("key-mask",
                             cl::desc("take a boolean mask over the keys"),
                             cl::cat(category));
static cl::opt<bool> list("list",
                          cl::desc("print models, targets and workloads"),
                          cl::cat(category));

static llvm::Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

/// Reads an integer flag into `out` when it was given.
static llvm::Error readInteger(const cl::opt<std::string> &flag, int64_t least,
                               int64_t &out) {
  if (!flag.getNumOccurrences())
    return llvm::Error::success();
  int64_t v;
  if (llvm::StringRef(flag).getAsInteger(10, v) || v < least ||
      v > (int64_t(1) << 31))
    return makeError("--" + flag.ArgStr + ": expected an integer in " +
                     llvm::Twine(least) + ".." + llvm::Twine(int64_t(1) << 31) +
                     ", got '" + flag + "'");
  out = v;
  return llvm::Error::success();
}

static llvm::Error readNumber(const cl::opt<std::string> &flag, double &out) {
  if (!flag.getNumOccurrences())
    return llvm::Error::success();
  double v;
  if (llvm::StringRef(flag).getAsDouble(v) || !std::isfinite(v) || v == 0)
    return makeError("--" + flag.ArgStr +
                     ": expected a finite number other than 0, got '" + flag +
                     "'");
  out = v;
  return llvm::Error::success();
}

static llvm::Error readExtents(const cl::opt<std::string> &flag, Extents &out) {
  if (!flag.getNumOccurrences())
    return llvm::Error::success();
  llvm::SmallVector<llvm::StringRef> parts;
  llvm::StringRef(flag).split(parts, ',');
  Extents e = {0, 0, 0};
  bool bad = parts.size() != 3;
  for (int x = 0; x < 3 && !bad; ++x)
    bad = parts[x].getAsInteger(10, e[x]) || e[x] < 1;
  if (bad)
    return makeError("--" + flag.ArgStr +
                     ": expected three positive integers F,H,W, got '" + flag +
                     "'");
  out = e;
  return llvm::Error::success();
}

/// Every flag that states a part of a problem.
static cl::Option *const allFlags[] = {
    &workload,        &model,        &resolution,
    &videoFrames,     &gridFlag,     &tokens,
    &blockSize,       &padding,      &headsFlag,
    &headDim,         &valueDim,     &batch,
    &method,          &tile,         &blocks,
    &iterations,      &scale,        &temperatureFloor,
    &recomputeFrames, &causalFrames, &causalOffset,
    &queryFrames,     &maxKvFrames,  &dtype,
    &keyMask};

bool monarch::hasProblemFlags() {
  return workload.getNumOccurrences() || model.getNumOccurrences() ||
         gridFlag.getNumOccurrences() || tokens.getNumOccurrences();
}

llvm::Error monarch::refuseProblemFlags(bool allowHeads) {
  for (cl::Option *flag : allFlags)
    if (flag->getNumOccurrences() && !(allowHeads && flag == &headsFlag))
      return makeError("--" + flag->ArgStr +
                       ": states a problem, but the input is a file");
  return llvm::Error::success();
}

/// Flags that only one source of the grid reads are refused with any other.
static llvm::Error checkSource(const cl::Option &source) {
  const std::pair<const cl::Option *, const cl::Option *> owners[] = {
      {&resolution, &model},
      {&videoFrames, &model},
      {&blockSize, &tokens},
      {&padding, &tokens}};
  for (auto [flag, owner] : owners)
    if (flag->getNumOccurrences() && owner != &source)
      return makeError("--" + flag->ArgStr + ": goes with --" + owner->ArgStr +
                       ", got --" + source.ArgStr);
  return llvm::Error::success();
}

/// Grid, heads and head size from the one source that was given.
static llvm::Error readGrid(Problem &p, std::string &defaultMethod) {
  Geometry &g = p.geometry;
  int sources =
      (workload.getNumOccurrences() > 0) + (model.getNumOccurrences() > 0) +
      (gridFlag.getNumOccurrences() > 0) + (tokens.getNumOccurrences() > 0);
  if (sources != 1)
    return makeError(
        "expected one of --workload, --model, --grid, --tokens or "
        "a .mlir file, got " +
        (sources ? llvm::Twine(sources) + " of them" : llvm::Twine("none")));
  const cl::Option &source = workload.getNumOccurrences()   ? workload
                             : model.getNumOccurrences()    ? model
                             : gridFlag.getNumOccurrences() ? gridFlag
                                                            : tokens;
  if (auto e = checkSource(source))
    return e;
  if (workload.getNumOccurrences()) {
    auto found = findWorkload(workload);
    if (!found)
      return found.takeError();
    p = *found;
    return llvm::Error::success();
  }
  defaultMethod = "monarchrt";
  if (model.getNumOccurrences()) {
    const Model *m = findModel(model);
    if (!m) {
      std::string known;
      for (const Model &each : allModels())
        known += (known.empty() ? "" : ", ") + each.name.str();
      return makeError("--model: unknown model '" + model + "', expected " +
                       known);
    }
    auto [ws, hs] = llvm::StringRef(resolution).split('x');
    int64_t width, height, frames;
    if (ws.getAsInteger(10, width) || hs.getAsInteger(10, height))
      return makeError("--resolution: expected WxH in pixels, got '" +
                       resolution + "'");
    if (llvm::StringRef(videoFrames).getAsInteger(10, frames))
      return makeError("--frames: expected a number of video frames, got '" +
                       videoFrames + "'");
    auto grid = videoGrid(*m, width, height, frames);
    if (!grid)
      return grid.takeError();
    g.keyFrames = g.queryFrames = (*grid)[0];
    g.height = (*grid)[1];
    g.width = (*grid)[2];
    p.heads = m->heads;
    p.headDim = p.valueDim = m->headDim;
    if (m->queryFrames) {
      g.queryFrames = std::min(m->queryFrames, g.keyFrames);
      p.dynamicKeyFrames = true;
    }
    return llvm::Error::success();
  }
  if (gridFlag.getNumOccurrences()) {
    Extents grid;
    if (auto e = readExtents(gridFlag, grid))
      return e;
    g.keyFrames = g.queryFrames = grid[0];
    g.height = grid[1];
    g.width = grid[2];
    return llvm::Error::success();
  }
  defaultMethod = "monarch";
  int64_t n = 0, size = 0;
  if (auto e = readInteger(tokens, 1, n))
    return e;
  if (auto e = readInteger(blockSize, 1, size))
    return e;
  if (!size)
    return makeError("--tokens: expected --block-size with it");
  if (padding != "post" && padding != "pre")
    return makeError("--padding: expected post or pre, got '" + padding + "'");
  g.keyFrames = g.queryFrames = 1;
  g.height = ceilDiv(n, size);
  g.width = size;
  g.sequenceTokens = n;
  g.padBefore = padding == "pre" ? g.height * size - n : 0;
  return llvm::Error::success();
}

static llvm::Error applyMethod(Problem &p, llvm::StringRef name) {
  Geometry &g = p.geometry;
  Extents whole = {g.queryFrames, g.height, g.width};
  if (name == "monarchrt") {
    g.tile = {1, g.height, g.width};
    g.blocks = *Blocking::parse("fh", "w");
    p.iterations = 1;
  } else if (name == "vmonarch") {
    g.tile = whole;
    g.blocks = *Blocking::parse("f", "hw");
    p.iterations = 2;
    p.temperatureFloor = 0.1;
    p.recomputeFrames = 1;
  } else if (name == "monarch") {
    g.tile = whole;
    g.blocks = *Blocking::parse("fh", "w");
    p.iterations = 2;
  } else {
    return makeError(
        "--method: expected monarchrt, vmonarch or monarch, got '" + name +
        "'");
  }
  return llvm::Error::success();
}

llvm::Expected<Problem> monarch::problemFromFlags() {
  Problem p;
  Geometry &g = p.geometry;
  std::string defaultMethod;
  if (auto e = readGrid(p, defaultMethod))
    return std::move(e);
  int64_t maxFrames = 0;
  if (auto e = readInteger(maxKvFrames, 1, maxFrames))
    return std::move(e);
  if (maxFrames) {
    g.keyFrames = maxFrames;
    if (!queryFrames.getNumOccurrences())
      g.queryFrames = std::min(g.queryFrames, maxFrames);
    p.dynamicKeyFrames = true;
  }
  if (auto e = readInteger(queryFrames, 1, g.queryFrames))
    return std::move(e);
  std::string chosen = method.getNumOccurrences() ? method : defaultMethod;
  if (!chosen.empty())
    if (auto e = applyMethod(p, chosen))
      return std::move(e);
  if (auto e = readExtents(tile, g.tile))
    return std::move(e);
  if (blocks.getNumOccurrences()) {
    auto [rows, columns] = llvm::StringRef(blocks).split(',');
    std::string r = rows.str(), c = columns.str();
    // With one frame to a tile the frame axis is trivial and may be left out.
    if (g.tile[0] == 1 && r.find('f') == std::string::npos &&
        c.find('f') == std::string::npos)
      r = "f" + r;
    auto parsed = Blocking::parse(r, c);
    if (!parsed)
      return makeError("--blocks: G2: expected fh,w  w,fh  f,hw  hw,f  fw,h or "
                       "h,fw, got '" +
                       blocks + "'");
    g.blocks = *parsed;
  }
  llvm::Error errors = llvm::Error::success();
  auto read = [&](llvm::Error e) {
    errors = llvm::joinErrors(std::move(errors), std::move(e));
  };
  read(readInteger(headsFlag, 1, p.heads));
  read(readInteger(batch, 1, p.batch));
  read(readInteger(iterations, 1, p.iterations));
  read(readInteger(recomputeFrames, 0, p.recomputeFrames));
  read(readInteger(causalFrames, 0, p.causalFrames));
  read(readInteger(causalOffset, 0, p.causalOffset));
  read(readNumber(scale, p.scale));
  read(readNumber(temperatureFloor, p.temperatureFloor));
  if (errors)
    return std::move(errors);
  if (headDim.getNumOccurrences()) {
    if (auto e = readInteger(headDim, 1, p.headDim))
      return std::move(e);
    p.valueDim = p.headDim;
  }
  if (auto e = readInteger(valueDim, 1, p.valueDim))
    return std::move(e);
  if (dtype.getNumOccurrences()) {
    auto parsed = parseDType(dtype);
    if (!parsed)
      return makeError("--dtype: expected bf16, f16 or f32, got '" + dtype +
                       "'");
    p.dtype = *parsed;
  }
  p.keyMask |= keyMask;
  if (std::string error = g.verify(); !error.empty())
    return makeError(error);
  // Byte counts stay in 64 bits with room to spare.
  double elements = double(p.batch) * p.heads * g.keyTokens() *
                    std::max(p.headDim, p.valueDim);
  if (elements > double(int64_t(1) << 40))
    return makeError(llvm::formatv(
        "expected tensors of at most 2^40 elements, got {0:e} (batch {1}, {2} "
        "tokens, {3} heads, {4} channels)",
        elements, p.batch, g.keyTokens(), p.heads, p.headDim));
  return p;
}

llvm::Expected<int64_t> monarch::headsToRun(int64_t heads) {
  int64_t n = heads;
  if (auto e = readInteger(headsFlag, 1, n))
    return std::move(e);
  if (n > heads)
    return makeError("--heads: expected at most " + llvm::Twine(heads) +
                     " heads, got " + llvm::Twine(n));
  return n;
}

bool monarch::listRequested() { return list; }

void monarch::printList() {
  llvm::outs() << "models (--model=)\n";
  for (const Model &m : allModels())
    llvm::outs() << llvm::formatv(
        "  {0,-20} {1} heads of {2}, a token is {3} frames x {4} x {5} pixels: "
        "{6}\n",
        m.name, m.heads, m.headDim, m.vaeStride[0] * m.patch[0],
        m.vaeStride[1] * m.patch[1], m.vaeStride[2] * m.patch[2],
        m.description);
  llvm::outs() << "\ntargets (--target=)\n";
  for (const Target &t : allTargets())
    llvm::outs() << llvm::formatv("  {0,-20} {1}\n", t.name, t.description);
  llvm::outs() << "\nworkloads (--workload=)\n";
  for (const std::string &name : workloadNames())
    llvm::outs() << "  " << describeWorkload(name) << "\n";
}
