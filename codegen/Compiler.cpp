//===- Compiler.cpp - problems as modules, and levels ---------------------===//

#include "monarch/Codegen/Compiler.h"

#include "monarch/Dialect/MonarchDialect.h"

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
  auto geometry = GeometryAttr::getChecked(
      [&] { return emitError(loc); }, context, g);
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
      b.getI64IntegerAttr(p.causalFrames),
      b.getI64IntegerAttr(p.causalOffset));
  func::ReturnOp::create(b, loc, op.getResult());
  if (failed(verify(*module)))
    return {};
  return module;
}

FailureOr<Problem> monarch::readProblem(ModuleOp module) {
  SmallVector<AttentionOp> ops;
  module.walk([&](AttentionOp op) { ops.push_back(op); });
  if (ops.size() != 1)
    return module.emitError("expected one monarch.attention, got ")
           << ops.size();
  AttentionOp op = ops[0];
  auto query = cast<RankedTensorType>(op.getQuery().getType());
  Problem p;
  p.geometry = op.getGeometry().getValue();
  p.batch = query.getDimSize(0);
  p.heads = query.getDimSize(2);
  p.headDim = query.getDimSize(3);
  p.valueDim = cast<RankedTensorType>(op.getValue().getType()).getDimSize(3);
  Type e = query.getElementType();
  p.dtype = e.isBF16() ? DType::BF16 : e.isF16() ? DType::F16 : DType::F32;
  p.iterations = op.getIterations();
  p.scale = op.getScale().convertToDouble();
  p.temperatureFloor = op.getTemperatureFloor().convertToDouble();
  p.recomputeFrames = op.getRecomputeFrames();
  p.causalFrames = op.getCausalFrames();
  p.causalOffset = op.getCausalOffset();
  p.dynamicKeyFrames = static_cast<bool>(op.getKeyFrames());
  p.keyMask = static_cast<bool>(op.getKeyMask());
  return p;
}

Level monarch::levelOf(ModuleOp module) {
  auto attr = module->getAttrOfType<StringAttr>(levelAttrName);
  return attr ? parseLevel(attr.getValue()).value_or(Level::Problem)
              : Level::Problem;
}

LogicalResult monarch::lowerTo(ModuleOp module, Level to) {
  Level from = levelOf(module);
  auto target = module->getAttrOfType<TargetAttr>(targetAttrName);
  if (!target)
    return module.emitError("expected module attribute '")
           << targetAttrName << "'";
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
