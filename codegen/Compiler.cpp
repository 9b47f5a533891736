//===- Compiler.cpp - problems as modules, and levels ---------------------===//

#include "monarch/Codegen/Compiler.h"

#include "monarch/Dialect/MonarchDialect.h"
#include "monarch/Dialect/TileDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"

using namespace mlir;
using namespace monarch;

static Type elementType(OpBuilder &b, DType type) {
  switch (type) {
  case DType::F16:
    return b.getF16Type();
  case DType::BF16:
    return b.getBF16Type();
  case DType::F32:
    return b.getF32Type();
  }
  return {};
}

OwningOpRef<ModuleOp> monarch::buildProblem(MLIRContext *context,
                                            const Problem &p,
                                            const Target &target) {
  context->loadDialect<MonarchDialect, func::FuncDialect>();
  OpBuilder b(context);
  Location loc = b.getUnknownLoc();
  const Geometry &g = p.geometry;
  auto geometry =
      GeometryAttr::getChecked([&] { return emitError(loc); }, context, g);
  if (!geometry)
    return {};
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  (*module)->setAttr(targetAttrName, targetAttr(context, target));
  (*module)->setAttr(levelAttrName, b.getStringAttr("problem"));
  Type e = elementType(b, p.dtype);
  auto tensor = [&](int64_t tokens, int64_t width) -> Type {
    return RankedTensorType::get({p.batch, tokens, p.heads, width}, e);
  };
  SmallVector<Type> types = {tensor(g.queryTokens(), p.headDim),
                             tensor(g.keyTokens(), p.headDim),
                             tensor(g.keyTokens(), p.valueDim)};
  if (p.dynamicKeyFrames)
    types.push_back(b.getIndexType());
  if (p.keyMask)
    types.push_back(
        RankedTensorType::get({p.batch, g.keyTokens()}, b.getI1Type()));
  Type result = tensor(g.queryTokens(), p.valueDim);
  b.setInsertionPointToEnd(module->getBody());
  auto function = func::FuncOp::create(b, loc, "attention",
                                       b.getFunctionType(types, {result}));
  Block *body = function.addEntryBlock();
  b.setInsertionPointToStart(body);
  auto op = AttentionOp::create(
      b, loc, result, body->getArgument(0), body->getArgument(1),
      body->getArgument(2), p.dynamicKeyFrames ? body->getArgument(3) : Value(),
      p.keyMask ? body->getArguments().back() : Value(), geometry,
      b.getI64IntegerAttr(p.iterations), b.getF64FloatAttr(p.effectiveScale()),
      b.getF64FloatAttr(p.temperatureFloor),
      b.getI64IntegerAttr(p.recomputeFrames),
      b.getI64IntegerAttr(p.causalFrames), b.getI64IntegerAttr(p.causalOffset));
  func::ReturnOp::create(b, loc, op.getResult());
  if (failed(verify(*module)))
    return {};
  return module;
}

/// Keeps the problem of the module's one attention op as the module attribute
/// `monarch.problem`, a copy of the op's types and attributes: lower levels
/// have no such op, and a bundle needs it.
static void recordProblem(ModuleOp module) {
  SmallVector<AttentionOp> ops;
  module.walk([&](AttentionOp op) { ops.push_back(op); });
  if (ops.size() != 1)
    return;
  AttentionOp op = ops[0];
  OpBuilder b(module.getContext());
  auto integer = [&](StringRef name, uint64_t v) {
    return b.getNamedAttr(name, b.getI64IntegerAttr(v));
  };
  module->setAttr(
      problemAttrName,
      b.getDictionaryAttr(
          {b.getNamedAttr("geometry", op.getGeometry()),
           b.getNamedAttr("query", TypeAttr::get(op.getQuery().getType())),
           b.getNamedAttr("value", TypeAttr::get(op.getValue().getType())),
           b.getNamedAttr("scale", op.getScaleAttr()),
           b.getNamedAttr("temperature_floor", op.getTemperatureFloorAttr()),
           integer("iterations", op.getIterations()),
           integer("recompute_frames", op.getRecomputeFrames()),
           integer("causal_frames", op.getCausalFrames()),
           integer("causal_offset", op.getCausalOffset()),
           b.getNamedAttr("key_frames",
                          b.getBoolAttr(static_cast<bool>(op.getKeyFrames()))),
           b.getNamedAttr("key_mask",
                          b.getBoolAttr(static_cast<bool>(op.getKeyMask())))}));
}

FailureOr<Problem> monarch::readProblem(ModuleOp module) {
  recordProblem(module);
  auto attr = module->getAttrOfType<DictionaryAttr>(problemAttrName);
  if (!attr)
    return module.emitError("expected one monarch.attention, or the module "
                            "attribute '")
           << problemAttrName << "' that it leaves behind";
  auto geometry = attr.getAs<GeometryAttr>("geometry");
  auto queryAttr = attr.getAs<TypeAttr>("query");
  auto valueAttr = attr.getAs<TypeAttr>("value");
  auto query = queryAttr ? dyn_cast<RankedTensorType>(queryAttr.getValue())
                         : RankedTensorType();
  auto value = valueAttr ? dyn_cast<RankedTensorType>(valueAttr.getValue())
                         : RankedTensorType();
  auto scale = attr.getAs<FloatAttr>("scale");
  auto floor = attr.getAs<FloatAttr>("temperature_floor");
  bool complete = geometry && query && value && scale && floor &&
                  query.getRank() == 4 && value.getRank() == 4;
  auto integer = [&](StringRef name) -> int64_t {
    auto v = attr.getAs<IntegerAttr>(name);
    complete &= static_cast<bool>(v);
    return v ? v.getInt() : 0;
  };
  auto flag = [&](StringRef name) {
    auto v = attr.getAs<BoolAttr>(name);
    complete &= static_cast<bool>(v);
    return v && v.getValue();
  };
  Problem p;
  p.iterations = integer("iterations");
  p.recomputeFrames = integer("recompute_frames");
  p.causalFrames = integer("causal_frames");
  p.causalOffset = integer("causal_offset");
  p.dynamicKeyFrames = flag("key_frames");
  p.keyMask = flag("key_mask");
  if (!complete)
    return module.emitError("module attribute '")
           << problemAttrName << "' is not complete";
  p.geometry = geometry.getValue();
  p.batch = query.getDimSize(0);
  p.heads = query.getDimSize(2);
  p.headDim = query.getDimSize(3);
  p.valueDim = value.getDimSize(3);
  Type e = query.getElementType();
  p.dtype = e.isBF16() ? DType::BF16 : e.isF16() ? DType::F16 : DType::F32;
  p.scale = scale.getValueAsDouble();
  p.temperatureFloor = floor.getValueAsDouble();
  return p;
}

Level monarch::levelOf(ModuleOp module) {
  auto attr = module->getAttrOfType<StringAttr>(levelAttrName);
  return attr ? parseLevel(attr.getValue()).value_or(Level::Problem)
              : Level::Problem;
}

LogicalResult monarch::checkTarget(ModuleOp module) {
  auto target = module->getAttrOfType<TargetAttr>(targetAttrName);
  if (!target)
    return module.emitError("expected module attribute '")
           << targetAttrName << "'";
  const Target *known = findTarget(target.getChip());
  if (!known)
    return module.emitError("unknown chip '") << target.getChip() << "'";
  // A feature that the chip lacks would end in LLVM, which exits.
  if (target != targetAttr(module.getContext(), *known))
    return module.emitError("expected the capabilities of ")
           << target.getChip() << ", "
           << targetAttr(module.getContext(), *known) << ", got " << target;
  return success();
}

/// A module holds no op of a level before its own.
static LogicalResult checkLevel(ModuleOp module, Level level) {
  WalkResult result = module.walk([&](Operation *op) {
    bool isTile = isa<tile::TileDialect>(op->getDialect());
    bool isStep = isa<MonarchDialect>(op->getDialect());
    bool behind = (level >= Level::Steps && isa<AttentionOp>(op)) ||
                  (level >= Level::Tiled && isStep) ||
                  (level >= Level::Host && isTile);
    if (!behind)
      return WalkResult::advance();
    op->emitOpError("does not belong to level '") << levelName(level) << "'";
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

LogicalResult monarch::requestSchedule(ModuleOp module, StringRef request) {
  if (levelOf(module) >= Level::Fused)
    return module.emitError("schedule: the input is at level '")
           << levelName(levelOf(module))
           << "', where schedules are chosen already; edit them there";
  module->setAttr(scheduleRequestAttrName,
                  StringAttr::get(module.getContext(), request));
  return success();
}

LogicalResult monarch::lowerTo(ModuleOp module, Level to) {
  Level from = levelOf(module);
  if (failed(checkTarget(module)) || failed(checkLevel(module, from)))
    return failure();
  recordProblem(module);
  auto target = module->getAttrOfType<TargetAttr>(targetAttrName);
  bool gpu = target.getKind() != "host";
  if (gpu ? to == Level::Host : to == Level::Mapped || to == Level::Nvvm)
    return module.emitError("target ")
           << target.getChip() << " has no level '" << levelName(to) << "'";
  if (to < from)
    return module.emitError("the input is at level '")
           << levelName(from) << "', which is past '" << levelName(to) << "'";
  PassManager pm(module.getContext());
  buildPipeline(pm, from, to, gpu);
  return pm.run(module);
}
