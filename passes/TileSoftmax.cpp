//===- TileSoftmax.cpp - monarch-tile-softmax: kernels to tiles -----------===//
//
// Turns every monarch.kernel into a function of memrefs, whose body
// ProgramBuilder writes. What the entry function stood for, the memory of its
// values and the order of its kernels, becomes the module's launch plan.
//
//===----------------------------------------------------------------------===//

#include "TilePrograms.h"

#include "monarch/Support/SlabParts.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_MONARCHTILESOFTMAX
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

namespace {

//===----------------------------------------------------------------------===//
// The entry function as buffers and launches
//===----------------------------------------------------------------------===//

class Entry {
public:
  Entry(func::FuncOp entry, ModuleOp module)
      : entry(entry), module(module), b(module.getContext()) {}

  LogicalResult run() {
    if (failed(assignBuffers()))
      return failure();
    SmallVector<Attribute> launches;
    for (KernelOp kernel : entry.getOps<KernelOp>())
      if (failed(buildKernel(kernel, launches)))
        return failure();
    SmallVector<NamedAttribute> plan = {
        b.getNamedAttr("arguments", b.getArrayAttr(arguments)),
        b.getNamedAttr("workspaces", b.getArrayAttr(workspaces)),
        b.getNamedAttr("launches", b.getArrayAttr(launches)),
        b.getNamedAttr("batch", b.getI64IntegerAttr(batch)),
        b.getNamedAttr("heads", b.getI64IntegerAttr(heads)),
        b.getNamedAttr(
            "slabs_per_head",
            b.getI64IntegerAttr(ceilDiv(g.queryTiles() * g.b2(), slabPairs)))};
    if (geometry)
      plan.push_back(b.getNamedAttr("geometry", geometry));
    module->setAttr(planAttrName, b.getDictionaryAttr(plan));
    entry.erase();
    return success();
  }

private:
  LogicalResult assignBuffers();
  void chooseSlabs();
  LogicalResult buildKernel(KernelOp kernel, SmallVectorImpl<Attribute> &out);
  void addArgument(StringRef name, Value v, bool isKeySide,
                   bool isMask = false);
  LogicalResult addWorkspace(ArrayRef<Value> values, ScheduleAttr schedule,
                             Type element);
  void addForAllSlabs(const Buffer &buffer, int64_t bytes,
                      StringRef zeroed = {});
  LogicalResult addRing(KernelOp kernel);
  void addParts(KernelOp kernel);

  func::FuncOp entry;
  ModuleOp module;
  OpBuilder b;
  llvm::DenseMap<Value, Buffer> buffers;
  Buffer ringInto, scratch;     ///< of a ring
  Buffer partOutputs, partRows; ///< of clusters
  Buffer counters;              ///< of either
  SmallVector<Attribute> arguments, workspaces;
  GeometryAttr geometry;
  Geometry g;
  int64_t batch = 0, heads = 0;
  int64_t slabPairs = 0;
  int64_t bulkKeys = 0; ///< that L takes at a time as one piece; 0: not so
  bool dynamicFrames = false;
};

/// How the pairs of a head are cut into slabs, the unit in which launches are
/// grouped to fit a workspace: on a GPU the rows of one program of R, else all
/// pairs of the head.
void Entry::chooseSlabs() {
  slabPairs = g.queryTiles() * g.b2();
  entry.walk([&](RStepOp r) {
    auto kernel = r->getParentOfType<KernelOp>();
    if (kernel && kernel.getSchedule() &&
        kernel.getSchedule()->getKind() != "host") {
      int64_t most = kernel.getSchedule()->getRows();
      // Alone, programs take whole tiles; a cluster sends no row that it can
      // save, so that even slabs are better.
      slabPairs = kernel.getBeside() ? evenPart(slabPairs, most)
                                     : std::min(slabPairs, most);
    }
  });
}

/// A tensor [B, N, heads, D] as [B, F, H, W, heads, D] with free strides, or a
/// mask [B, N] as [B, F, H, W].
void Entry::addArgument(StringRef name, Value v, bool isKeySide, bool isMask) {
  if (buffers.count(v))
    return;
  auto tensor = cast<RankedTensorType>(v.getType());
  Extents view = viewExtents(g, isKeySide ? g.keyFrames : g.queryFrames);
  SmallVector<int64_t> shape = {tensor.getDimSize(0)};
  shape.append(view.begin(), view.end());
  if (isKeySide && dynamicFrames)
    shape[1] = ShapedType::kDynamic;
  Type element = tensor.getElementType();
  if (isMask)
    element = b.getI8Type();
  else
    shape.append({tensor.getDimSize(2), tensor.getDimSize(3)});
  SmallVector<int64_t> strides(shape.size(), ShapedType::kDynamic);
  strides.back() = 1;
  auto layout = StridedLayoutAttr::get(b.getContext(), 0, strides);
  Buffer buffer;
  buffer.name = buffer.memory = name.str();
  buffer.type = MemRefType::get(shape, element, layout);
  buffers[v] = buffer;
  arguments.push_back(
      b.getDictionaryAttr({b.getNamedAttr("name", b.getStringAttr(name)),
                           b.getNamedAttr("type", TypeAttr::get(tensor))}));
}

/// One workspace per slab for factors that are used together. Pairs come in
/// groups; for one key and one group the rows of the first factor are one piece
/// of memory, behind them those of the second: [P/group, NK, factor, group].
/// With a ring one workspace for all slabs, and its slots are the keys.
LogicalResult Entry::addWorkspace(ArrayRef<Value> values, ScheduleAttr schedule,
                                  Type element) {
  std::string name = "ws" + std::to_string(workspaces.size());
  auto channels = [](Value v) -> int64_t {
    auto t = cast<RankedTensorType>(v.getType());
    return t.getRank() == 5 ? t.getDimSize(4) : 1;
  };
  int64_t row = 0;
  for (Value v : values)
    row += channels(v);
  auto first = cast<RankedTensorType>(values[0].getType());
  int64_t group = pairGroup(schedule);
  int64_t pairs = slabPairs, slots = schedule.getSlots();
  int64_t keys = slots ? slots : first.getDimSize(3);
  bool scalarsInBulk = bulkKeys && first.getRank() == 4;
  if (scalarsInBulk)
    keys = roundUp(keys, bulkKeys);
  double size = double(roundUp(pairs, group)) * keys * row * 4;
  if (size > double(int64_t(1) << 50))
    return entry.emitError("G1: expected a workspace of at most 2^50 bytes a "
                           "slab, got ")
           << pairs << " pairs of " << keys << " keys of " << row
           << " channels";
  int64_t groups = ceilDiv(pairs, group), groupStride = keys * group * row;
  int64_t offset = 0;
  for (Value v : values) {
    auto t = cast<RankedTensorType>(v.getType());
    SmallVector<int64_t> shape = {ShapedType::kDynamic, groups, keys, group};
    SmallVector<int64_t> strides = {groups * groupStride, groupStride,
                                    group * row, channels(v)};
    if (t.getRank() == 5) {
      shape.push_back(t.getDimSize(4));
      strides.push_back(1);
    }
    Buffer buffer;
    buffer.name = name + "+" + std::to_string(offset);
    buffer.memory = name;
    buffer.offset = offset;
    buffer.type = MemRefType::get(
        shape, element, StridedLayoutAttr::get(b.getContext(), 0, strides));
    buffers[v] = buffer;
    offset += group * channels(v);
  }
  int64_t bytes = groups * groupStride * (element.getIntOrFloatBitWidth() / 8);
  workspaces.push_back(
      b.getDictionaryAttr({b.getNamedAttr("name", b.getStringAttr(name)),
                           b.getNamedAttr(slots ? "bytes" : "bytes_per_slab",
                                          b.getI64IntegerAttr(bytes))}));
  return success();
}

/// A workspace of one size. `zeroed` says when it has to be zero: before every
/// launch ("zeroed"), the first ("zeroed_once"), or never.
void Entry::addForAllSlabs(const Buffer &buffer, int64_t bytes,
                           StringRef zeroed) {
  SmallVector<NamedAttribute> workspace = {
      b.getNamedAttr("name", b.getStringAttr(buffer.name)),
      b.getNamedAttr("bytes", b.getI64IntegerAttr(bytes))};
  if (!zeroed.empty())
    workspace.push_back(b.getNamedAttr(zeroed, b.getBoolAttr(true)));
  workspaces.push_back(b.getDictionaryAttr(workspace));
}

/// What clusters have of slabs that are cut into parts: for every row of their
/// members outputs, and maximum and sum. A counter for each member, with 128
/// bytes of its own, says that they are there.
void Entry::addParts(KernelOp kernel) {
  ScheduleAttr ofL = *kernel.getBeside();
  LStepOp l;
  for (auto step : kernel.getBody().getOps<LStepOp>())
    l = step;
  int64_t parts = mostParts(ofL.getClusters()), members = ofL.getCluster();
  int64_t rows = ofL.getRows();
  int64_t channels =
      cast<RankedTensorType>(l.getY().getType()).getShape().back();
  auto add = [&](Buffer &buffer, StringRef name, MemRefType type, int64_t bytes,
                 StringRef zeroed = {}) {
    buffer.name = buffer.memory = name.str();
    buffer.type = type;
    addForAllSlabs(buffer, bytes, zeroed);
  };
  auto f32 = [&](ArrayRef<int64_t> shape) {
    return MemRefType::get(shape, b.getF32Type());
  };
  add(partOutputs, "part_outputs", f32({parts, members, rows, channels}),
      4 * parts * members * rows * channels);
  add(partRows, "part_rows", f32({parts, members, 2, rows}),
      4 * parts * members * 2 * rows);
  add(counters, "counters",
      MemRefType::get({parts * members}, b.getI32Type(),
                      StridedLayoutAttr::get(b.getContext(), 0, {32})),
      128 * parts * members, "zeroed_once");
}

/// The ring between the steps of a persistent kernel: rows of both factors side
/// by side, 8 keys of a pair in one chunk [.., NK/8, P, 8, 2D]. Beside it the
/// bias, and counters: two for every group of keys, each with 128 bytes of its
/// own.
LogicalResult Entry::addRing(KernelOp kernel) {
  ScheduleAttr schedule = *kernel.getSchedule();
  RStepOp r;
  for (auto step : kernel.getBody().getOps<RStepOp>())
    r = step;
  if (!r || !r.getY() || !r.getCL())
    return kernel.emitOpError("expected an r_step with values and entropy");
  auto channels = [](Value v) {
    return cast<RankedTensorType>(v.getType()).getShape().back();
  };
  Buffer rows;
  rows.name = rows.memory = "ring";
  rows.type = MemRefType::get({ShapedType::kDynamic, schedule.getSlots() / 8,
                               roundUp(slabPairs, 16), 8,
                               channels(r.getAL()) + channels(r.getY())},
                              schedule.getElement());
  buffers[r.getAL()] = buffers[r.getY()] = rows;
  // Rows are written in other boxes than they are read.
  ringInto = rows;
  ringInto.name = "ring_into";
  int64_t elements = 2; // bytes
  for (int64_t extent : rows.type.getShape().drop_front())
    elements *= extent;
  addForAllSlabs(rows, elements);
  if (failed(addWorkspace(r.getCL(), schedule, b.getF32Type())))
    return failure();
  counters.name = counters.memory = "counters";
  int64_t count =
      2 * ceilDiv(schedule.getSlots(), kernel.getBeside()->getColumns());
  counters.type = MemRefType::get(
      {count}, b.getI32Type(), StridedLayoutAttr::get(b.getContext(), 0, {32}));
  addForAllSlabs(counters, count * 128, "zeroed");
  scratch.name = scratch.memory = "scratch";
  int64_t words = tile::SettleOp::scratchWords(
      schedule.getRing() + kernel.getBeside()->getRing(), rows.type);
  scratch.type = MemRefType::get({words}, b.getI32Type());
  addForAllSlabs(scratch, words * 4, "zeroed");
  return success();
}

LogicalResult Entry::assignBuffers() {
  // Operands tell what the arguments are.
  auto walk = entry.walk([&](Operation *step) {
    auto attr = step->getAttrOfType<GeometryAttr>("geometry");
    if (!attr)
      return WalkResult::advance();
    if (geometry && geometry != attr) {
      step->emitOpError("expected one geometry in all steps of a function");
      return WalkResult::interrupt();
    }
    geometry = attr;
    return WalkResult::advance();
  });
  if (walk.wasInterrupted())
    return failure();
  if (!geometry)
    return entry.emitError("expected a step of attention in function '")
           << entry.getName() << "'";
  g = geometry.getValue();
  for (BlockArgument a : entry.getArguments())
    dynamicFrames |= a.getType().isIndex();

  struct Roles {
    Value query, key, value, mask;
  } roles;
  entry.walk([&](Operation *op) {
    llvm::TypeSwitch<Operation *>(op).Case<RStepOp, DenseOp>([&](auto s) {
      roles.query = s.getQuery();
      roles.key = s.getKey();
      if (s.getValue())
        roles.value = s.getValue();
      if (s.getKeyMask())
        roles.mask = s.getKeyMask();
    });
  });
  if (!roles.query || !roles.key || !roles.value)
    return entry.emitError("expected steps that read query, key and value");
  chooseSlabs();
  auto queryType = cast<RankedTensorType>(roles.query.getType());
  batch = queryType.getDimSize(0);
  heads = queryType.getDimSize(2);
  addArgument("query", roles.query, false);
  addArgument("key", roles.key, true);
  addArgument("value", roles.value, true);
  if (roles.mask)
    addArgument("key_mask", roles.mask, true, /*isMask=*/true);

  auto ret = cast<func::ReturnOp>(entry.getBody().front().getTerminator());
  if (ret.getNumOperands() != 1)
    return entry.emitError("expected a function with one result");
  Value out = ret.getOperand(0);
  addArgument("out", out, false);

  // A value inside a kernel and the kernel's result are the same memory; so are
  // the two operands of a join and its result.
  auto alias = [&](Value v, Value with) {
    auto it = buffers.find(with);
    if (it != buffers.end())
      buffers[v] = Buffer(it->second);
  };
  SmallVector<KernelOp> kernels(entry.getOps<KernelOp>());
  for (KernelOp kernel : llvm::reverse(kernels)) {
    auto yield = cast<YieldOp>(kernel.getBody().front().getTerminator());
    for (auto [inside, outside] :
         llvm::zip(yield.getOperands(), kernel.getResults())) {
      alias(inside, outside);
      if (auto join = inside.getDefiningOp<ReplaceFramesOp>()) {
        alias(join.getInto(), inside);
        alias(join.getWith(), inside);
      }
    }
  }
  for (KernelOp kernel : kernels) {
    if (!kernel.getSchedule())
      return kernel.emitOpError("expected a schedule; run "
                                "monarch-select-schedule first");
    ScheduleAttr ofL = kernel.getBeside().value_or(*kernel.getSchedule());
    if (ofL.getKind() == "wgmma" && !kernel.getBody().getOps<LStepOp>().empty())
      bulkKeys = ofL.getColumns();
  }
  for (KernelOp kernel : kernels) {
    ScheduleAttr schedule = *kernel.getSchedule();
    if (kernel.getBeside() && schedule.getRing() && failed(addRing(kernel)))
      return failure();
    if (kernel.getBeside() && schedule.getCluster() > 1)
      addParts(kernel);
    auto yield = cast<YieldOp>(kernel.getBody().front().getTerminator());
    SmallVector<Value> factors, scalars;
    for (Value v : kernel.getResults())
      if (!buffers.count(v))
        (cast<RankedTensorType>(v.getType()).getRank() == 5 ? factors : scalars)
            .push_back(v);
    if (!factors.empty() &&
        failed(addWorkspace(factors, schedule, schedule.getElement())))
      return failure();
    for (Value v : scalars) {
      if (cast<RankedTensorType>(v.getType()).getShape().size() != 4 ||
          !cast<RankedTensorType>(v.getType()).getElementType().isF32())
        return kernel.emitOpError("expected results that are factors, their "
                                  "statistics, or the function's result");
      if (failed(addWorkspace(v, schedule, b.getF32Type())))
        return failure();
    }
    for (auto [inside, outside] :
         llvm::zip(yield.getOperands(), kernel.getResults()))
      alias(inside, outside);
  }
  return success();
}

LogicalResult Entry::buildKernel(KernelOp kernel,
                                 SmallVectorImpl<Attribute> &out) {
  for (auto dense : kernel.getBody().getOps<DenseOp>())
    if (static_cast<int64_t>(dense.getFrames()) != g.queryFrames &&
        !isa<ReplaceFramesOp>(*dense->user_begin()))
      return dense.emitOpError(
          "expected a dense step over fewer frames to be joined");
  // Buffers in the order in which the steps name them.
  llvm::MapVector<StringRef, Buffer> used;
  auto use = [&](Value v) {
    auto it = buffers.find(v);
    if (it != buffers.end())
      used.insert({it->second.name, it->second});
  };
  for (Operation &step : kernel.getBody().front().without_terminator()) {
    if (isa<ReplaceFramesOp>(step))
      continue;
    for (Value v : step.getOperands())
      use(v);
    for (Value v : step.getResults())
      use(v);
  }
  bool inRing = kernel.getBeside() && kernel.getSchedule()->getRing();
  bool inClusters =
      kernel.getBeside() && kernel.getSchedule()->getCluster() > 1;
  SmallVector<const Buffer *> own;
  if (inRing)
    own = {&ringInto, &counters, &scratch};
  else if (inClusters)
    own = {&partOutputs, &partRows, &counters};
  for (const Buffer *buffer : own)
    used.insert({buffer->name, *buffer});
  SmallVector<Type> types;
  SmallVector<Attribute> bound;
  for (auto &[name, buffer] : used) {
    types.push_back(buffer.type);
    bound.push_back(b.getDictionaryAttr(
        {b.getNamedAttr("buffer", b.getStringAttr(buffer.memory)),
         b.getNamedAttr("offset", b.getI64IntegerAttr(buffer.offset))}));
  }
  SmallVector<StringRef> scalars;
  if (dynamicFrames)
    scalars.push_back("key_frames");
  scalars.append({"slab_begin", "slab_count"});
  if (inClusters)
    scalars.append({"clusters", "whole", "parts"});
  types.append(scalars.size(), b.getIndexType());

  b.setInsertionPoint(entry);
  auto function = func::FuncOp::create(b, kernel.getLoc(), kernel.getName(),
                                       b.getFunctionType(types, {}));
  function->setAttr(tile::scheduleAttrName, *kernel.getSchedule());
  if (kernel.getBeside())
    function->setAttr(tile::besideAttrName, *kernel.getBeside());
  Block *body = function.addEntryBlock();
  llvm::StringMap<Value> args;
  size_t i = 0;
  for (auto &entryPair : used)
    args[entryPair.first] = body->getArgument(i++);
  for (StringRef name : scalars)
    args[name] = body->getArgument(i++);
  b.setInsertionPointToStart(body);
  if (failed(buildPrograms(kernel, function, b, slabPairs, buffers, args)))
    return failure();
  SmallVector<NamedAttribute> launch = {
      b.getNamedAttr("kernel", b.getStringAttr(kernel.getName())),
      b.getNamedAttr("arguments", b.getArrayAttr(bound)),
      b.getNamedAttr("dynamic_frames", b.getBoolAttr(dynamicFrames))};
  if (inRing)
    launch.push_back(b.getNamedAttr("persistent", b.getBoolAttr(true)));
  out.push_back(b.getDictionaryAttr(launch));
  return success();
}

struct TileSoftmax : monarch::impl::MonarchTileSoftmaxBase<TileSoftmax> {
  void runOnOperation() override {
    SmallVector<func::FuncOp> entries;
    for (auto f : getOperation().getOps<func::FuncOp>())
      if (!f.getOps<KernelOp>().empty())
        entries.push_back(f);
    if (entries.size() > 1) {
      entries[1].emitError("expected one function with kernels in a module");
      return signalPassFailure();
    }
    for (func::FuncOp entry : entries)
      if (failed(Entry(entry, getOperation()).run()))
        return signalPassFailure();
    setLevel(getOperation(), "tiled");
  }
};
} // namespace
