//===- TileToVector.cpp - monarch-tile-to-vector: the host end ------------===//

#include "VectorLowering.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_MONARCHTILETOVECTOR
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

//===----------------------------------------------------------------------===//
// Buffers
//===----------------------------------------------------------------------===//

Value VectorLowering::allocate(ArrayRef<int64_t> shape, Type e) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(allocationPoint);
  auto type = MemRefType::get({shape[0], roundUp(shape[1], vectorLanes)}, e);
  Value buffer = memref::AllocOp::create(b, loc, type, b.getI64IntegerAttr(64));
  allocated.push_back(buffer);
  return buffer;
}

/// `vectorLanes` elements of a tile from (row, column); `row` is 0 for rank 1.
Value VectorLowering::fetch(Value v, Value row, Value column) {
  Tile t = tiles.lookup(v);
  RankedTensorType type = tensorOf(v);
  Type e = storage(type.getElementType());
  Value result;
  switch (t.kind) {
  case Tile::Splat:
    return splat(t.value);
  case Tile::RowBroadcast:
    result = splat(
        memref::LoadOp::create(b, loc, t.value, ValueRange{index(0), row}));
    break;
  case Tile::ColumnBroadcast:
    result = vector::LoadOp::create(b, loc, vectorOf(e), t.value,
                                    ValueRange{index(0), column});
    break;
  case Tile::Buffer:
    result = vector::LoadOp::create(b, loc, vectorOf(e), t.value,
                                    ValueRange{row, column});
    break;
  }
  if (!type.getElementType().isInteger(1))
    return result;
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, result,
                               splat(scalarZero(e)));
}

void VectorLowering::put(Value v, Value buffer, Value row, Value column) {
  if (getElementTypeOrSelf(v.getType()).isInteger(1))
    v = arith::ExtUIOp::create(b, loc, vectorOf(b.getI8Type()), v);
  vector::StoreOp::create(b, loc, v, buffer, ValueRange{row, column});
}

/// The tile as a buffer of its own.
Value VectorLowering::materialize(Value v) {
  Tile t = tiles.lookup(v);
  if (t.kind == Tile::Buffer)
    return t.value;
  RankedTensorType type = tensorOf(v);
  Value buffer =
      allocate({rowsOf(type), columnsOf(type)}, storage(type.getElementType()));
  loop(rowsOf(type), 1, [&](Value row) {
    loop(columnsOf(type), vectorLanes, [&](Value column) {
      put(fetch(v, row, column), buffer, row, column);
    });
  });
  return buffer;
}

void VectorLowering::copy(Value source, Value dest) {
  auto type = cast<MemRefType>(source.getType());
  loop(type.getDimSize(0), 1, [&](Value row) {
    loop(type.getDimSize(1), vectorLanes, [&](Value column) {
      Value v = vector::LoadOp::create(b, loc, vectorOf(type.getElementType()),
                                       source, ValueRange{row, column});
      vector::StoreOp::create(b, loc, v, dest, ValueRange{row, column});
    });
  });
}

//===----------------------------------------------------------------------===//
// Elementwise
//===----------------------------------------------------------------------===//

/// 2^x = 2^n 2^f with n = round(x), |f| <= 1/2, and the Taylor polynomial of
/// 2^f of degree 7, whose error is under (ln 2 / 2)^8 / 8! = 5e-9.
Value VectorLowering::exp2(Value x) {
  auto type = cast<VectorType>(x.getType());
  auto constant = [&](double v) -> Value {
    return arith::ConstantOp::create(
        b, loc, DenseElementsAttr::get(type, b.getF32FloatAttr(v).getValue()));
  };
  auto intType = vectorOf(b.getI32Type());
  auto integer = [&](int32_t v) -> Value {
    return arith::ConstantOp::create(b, loc,
                                     DenseElementsAttr::get(intType, v));
  };
  Value tiny = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, x,
                                     constant(-126));
  Value clamped = arith::MinimumFOp::create(
      b, loc, arith::MaximumFOp::create(b, loc, x, constant(-126)),
      constant(128));
  Value n = math::RoundEvenOp::create(b, loc, clamped);
  Value f = arith::SubFOp::create(b, loc, clamped, n);
  double coefficient = 1;
  SmallVector<double> taylor = {1};
  for (int k = 1; k <= 7; ++k)
    taylor.push_back(coefficient *= 0.6931471805599453 / k);
  Value p = constant(taylor[7]);
  for (int k = 6; k >= 0; --k)
    p = math::FmaOp::create(b, loc, p, f, constant(taylor[k]));
  Value biased = arith::AddIOp::create(
      b, loc, arith::FPToSIOp::create(b, loc, intType, n), integer(127));
  Value power = arith::BitcastOp::create(
      b, loc, type, arith::ShLIOp::create(b, loc, biased, integer(23)));
  Value result = arith::MulFOp::create(b, loc, p, power);
  return arith::SelectOp::create(b, loc, tiny, constant(0), result);
}

void VectorLowering::lowerElementwise(Operation *op) {
  Value result = op->getResult(0);
  RankedTensorType type = tensorOf(result);
  Value buffer = bufferFor(result);
  loop(rowsOf(type), 1, [&](Value row) {
    loop(columnsOf(type), vectorLanes, [&](Value column) {
      SmallVector<Value> operands;
      for (Value v : op->getOperands())
        operands.push_back(fetch(v, row, column));
      Value v;
      if (isa<math::Exp2Op>(op)) {
        v = exp2(operands[0]);
      } else {
        OperationState state(loc, op->getName(), operands,
                             {vectorOf(type.getElementType())}, op->getAttrs());
        state.propertiesAttr = op->getPropertiesAsAttribute();
        v = b.create(state)->getResult(0);
      }
      put(v, buffer, row, column);
    });
  });
}

//===----------------------------------------------------------------------===//
// Structure
//===----------------------------------------------------------------------===//

/// Loop-carried tiles live in buffers of their own, written at the end of each
/// turn when nothing of the turn still reads them.
LogicalResult VectorLowering::lowerFor(scf::ForOp op) {
  SmallVector<Value> carriers;
  for (auto [init, arg, result] :
       llvm::zip(op.getInitArgs(), op.getRegionIterArgs(), op.getResults())) {
    RankedTensorType type = tensorOf(init);
    Value carrier = allocate({rowsOf(type), columnsOf(type)},
                             storage(type.getElementType()));
    loop(rowsOf(type), 1, [&, init = init](Value row) {
      loop(columnsOf(type), vectorLanes, [&](Value column) {
        put(fetch(init, row, column), carrier, row, column);
      });
    });
    carriers.push_back(carrier);
    tiles[arg] = tiles[result] = {Tile::Buffer, carrier};
  }
  auto replacement =
      scf::ForOp::create(b, loc, mapping.lookupOrDefault(op.getLowerBound()),
                         mapping.lookupOrDefault(op.getUpperBound()),
                         mapping.lookupOrDefault(op.getStep()));
  mapping.map(op.getInductionVar(), replacement.getInductionVar());
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(replacement.getBody());
  for (Operation &inner : op.getBody()->without_terminator())
    if (failed(lower(&inner)))
      return failure();
  SmallVector<Value> sources;
  for (Value v : op.getBody()->getTerminator()->getOperands()) {
    Value source = materialize(v);
    if (llvm::is_contained(carriers, source)) {
      // One carrier feeds another: keep what it holds now.
      auto type = cast<MemRefType>(source.getType());
      Value kept = allocate(type.getShape(), type.getElementType());
      copy(source, kept);
      source = kept;
    }
    sources.push_back(source);
  }
  for (auto [source, carrier] : llvm::zip(sources, carriers))
    copy(source, carrier);
  return success();
}

LogicalResult VectorLowering::lower(Operation *op) {
  loc = op->getLoc();
  if (auto constant = dyn_cast<arith::ConstantOp>(op);
      constant && isTile(constant)) {
    auto value = cast<DenseElementsAttr>(constant.getValue());
    if (!value.isSplat())
      return op->emitOpError("expected a splat constant");
    Value scalar;
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPoint(allocationPoint);
      scalar = arith::ConstantOp::create(
          b, loc, cast<TypedAttr>(value.getSplatValue<Attribute>()));
    }
    tiles[constant] = {Tile::Splat, scalar};
    return success();
  }
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<tile::LoadOp>([&](auto o) { return lowerLoad(o), success(); })
      .Case<tile::StoreOp>([&](auto o) { return lowerStore(o), success(); })
      .Case<tile::InBoundsOp>(
          [&](auto o) { return lowerInBounds(o), success(); })
      .Case<tile::DotOp>([&](auto o) { return lowerDot(o), success(); })
      .Case<tile::ReduceOp>([&](auto o) { return lowerReduce(o), success(); })
      .Case<tile::BroadcastOp>([&](auto o) {
        tiles[o.getResult()] = {o.getAxis() == 1 ? Tile::RowBroadcast
                                                 : Tile::ColumnBroadcast,
                                materialize(o.getSource())};
        return success();
      })
      .Case<scf::ForOp>([&](auto o) { return lowerFor(o); })
      .Case<scf::ForallOp>([&](auto o) { return lowerForall(o); })
      .Default([&](Operation *o) -> LogicalResult {
        if (llvm::any_of(o->getResults(), isTile)) {
          if (!OpTrait::hasElementwiseMappableTraits(o) ||
              o->getNumResults() != 1)
            return o->emitOpError("is not an op of the tiled level");
          lowerElementwise(o);
          return success();
        }
        if (isa<tile::TileDialect>(o->getDialect()))
          return o->emitOpError("is not an op of the tiled level");
        b.clone(*o, mapping);
        return success();
      });
}

/// Programs are numbered with the last index fastest.
LogicalResult VectorLowering::lowerForall(scf::ForallOp op) {
  auto args = to.getArguments();
  Value begin = args[args.size() - 2], end = args[args.size() - 1];
  LogicalResult result = success();
  loop(begin, end, 1, [&](Value program) {
    SmallVector<OpFoldResult> bounds = op.getMixedUpperBound();
    Value rest = program;
    for (size_t x = bounds.size(); x-- > 0;) {
      Value id = op.getInductionVar(x);
      if (x == 0) {
        mapping.map(id, rest);
        break;
      }
      Value extent = index(*getConstantIntValue(bounds[x]));
      mapping.map(id, arith::RemUIOp::create(b, loc, rest, extent));
      rest = arith::DivUIOp::create(b, loc, rest, extent);
    }
    for (Operation &inner : op.getBody()->without_terminator())
      if (failed(result = lower(&inner)))
        return;
  });
  return result;
}

LogicalResult VectorLowering::run() {
  Block *body = to.addEntryBlock();
  for (auto [oldArg, newArg] :
       llvm::zip(from.getArguments(), body->getArguments()))
    mapping.map(oldArg, newArg);
  b.setInsertionPointToStart(body);
  auto ret = func::ReturnOp::create(b, loc);
  // Buffers are allocated before everything else and freed at the end.
  b.setInsertionPoint(ret);
  allocationPoint = arith::ConstantIndexOp::create(b, loc, 0);
  for (Operation &op : from.getBody().front().without_terminator())
    if (failed(lower(&op)))
      return failure();
  b.setInsertionPoint(ret);
  for (Value buffer : allocated)
    memref::DeallocOp::create(b, loc, buffer);
  return success();
}

namespace {
struct TileToVector : monarch::impl::MonarchTileToVectorBase<TileToVector> {
  void runOnOperation() override {
    SmallVector<func::FuncOp> kernels;
    for (auto f : getOperation().getOps<func::FuncOp>())
      if (scheduleOf(f))
        kernels.push_back(f);
    for (func::FuncOp kernel : kernels) {
      if (scheduleOf(kernel).getKind() != "host") {
        kernel.emitError("expected a schedule of kind host, got ")
            << scheduleOf(kernel).getKind();
        return signalPassFailure();
      }
      auto runs = kernel.walk([&](Operation *op) {
        return failed(refuseRuns(op)) ? WalkResult::interrupt()
                                      : WalkResult::advance();
      });
      if (runs.wasInterrupted())
        return signalPassFailure();
      OpBuilder b(kernel);
      SmallVector<Type> types(kernel.getArgumentTypes());
      types.append(2, b.getIndexType());
      auto lowered = func::FuncOp::create(b, kernel.getLoc(), kernel.getName(),
                                          b.getFunctionType(types, {}));
      lowered->setAttr("llvm.emit_c_interface", b.getUnitAttr());
      // How many programs there are for one (batch, head).
      int64_t programs = 1;
      kernel.walk([&](scf::ForallOp forall) {
        for (OpFoldResult bound :
             ArrayRef(forall.getMixedUpperBound()).drop_front())
          programs *= getConstantIntValue(bound).value_or(1);
      });
      lowered->setAttr("monarch.programs", b.getI64IntegerAttr(programs));
      if (failed(VectorLowering(kernel, lowered).run()))
        return signalPassFailure();
      kernel.erase();
    }
    setLevel(getOperation(), "host");
  }
};
} // namespace
