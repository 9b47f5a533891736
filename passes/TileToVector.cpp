//===- TileToVector.cpp - monarch-tile-to-vector: the host end ------------===//
//
// A tile is a buffer whose rows are padded to whole vectors; the padding holds
// anything and is never reduced over or stored. Splat constants and broadcasts
// have no buffer: their readers fetch them as they go.
//
//===----------------------------------------------------------------------===//

#include "PassDetail.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_MONARCHTILETOVECTOR
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

namespace {

constexpr int64_t lanes = 16;

/// How a reader finds the elements of a tile.
struct Tile {
  enum Kind { Buffer, Splat, RowBroadcast, ColumnBroadcast } kind = Buffer;
  Value value; ///< the memref, or the scalar of a splat
};

class Lowering {
public:
  Lowering(func::FuncOp from, func::FuncOp to)
      : from(from), to(to), b(to.getContext()), loc(from.getLoc()) {}
  LogicalResult run();

private:
  Value index(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }
  VectorType vectorOf(Type e) { return VectorType::get({lanes}, e); }
  static RankedTensorType tensorOf(Value v) {
    return cast<RankedTensorType>(v.getType());
  }
  static bool isTile(Value v) { return isa<RankedTensorType>(v.getType()); }
  static int64_t rowsOf(RankedTensorType t) {
    return t.getRank() == 2 ? t.getDimSize(0) : 1;
  }
  static int64_t columnsOf(RankedTensorType t) { return t.getShape().back(); }
  /// i1 tiles are kept as bytes.
  Type storage(Type e) { return e.isInteger(1) ? Type(b.getI8Type()) : e; }

  /// A loop over 0..count (by step) whose body `f` fills.
  void loop(Value lower, Value upper, int64_t step,
            llvm::function_ref<void(Value)> f) {
    auto op = scf::ForOp::create(b, loc, lower, upper, index(step));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(op.getBody());
    f(op.getInductionVar());
  }
  void loop(int64_t upper, int64_t step, llvm::function_ref<void(Value)> f) {
    if (upper <= step)
      return f(index(0));
    loop(index(0), index(upper), step, f);
  }

  Value allocate(ArrayRef<int64_t> shape, Type e);
  Value bufferFor(Value tile) {
    RankedTensorType type = tensorOf(tile);
    Value buffer = allocate({rowsOf(type), columnsOf(type)},
                            storage(type.getElementType()));
    tiles[tile] = {Tile::Buffer, buffer};
    return buffer;
  }
  Value scalarZero(Type e) {
    return arith::ConstantOp::create(b, loc, b.getZeroAttr(e));
  }
  Value splat(Value scalar) {
    return vector::BroadcastOp::create(b, loc, vectorOf(scalar.getType()),
                                       scalar);
  }
  Value fetch(Value tile, Value row, Value column);
  void put(Value v, Value buffer, Value row, Value column);
  Value materialize(Value tile);
  void copy(Value source, Value dest);
  Value exp2(Value x);

  struct Row {
    SmallVector<Value> indices;
    Value valid; ///< i1, or null when always valid
  };
  Row addressOf(Value memory, ValueRange operands, Value limit, AffineMap map,
                ArrayRef<bool> inBounds, Value row);
  void ifValid(const Row &row, llvm::function_ref<void()> then,
               llvm::function_ref<void()> otherwise);
  Value convert(Value v, Type element);

  LogicalResult lower(Operation *op);
  LogicalResult lowerFor(scf::ForOp op);
  void lowerElementwise(Operation *op);
  void lowerLoad(tile::LoadOp op);
  void lowerStore(tile::StoreOp op);
  void lowerInBounds(tile::InBoundsOp op);
  void lowerDot(tile::DotOp op);
  void lowerReduce(tile::ReduceOp op);
  LogicalResult lowerForall(scf::ForallOp op);

  func::FuncOp from, to;
  OpBuilder b;
  Location loc;
  IRMapping mapping;
  llvm::DenseMap<Value, Tile> tiles;
  SmallVector<Value> allocated;
  Operation *allocationPoint = nullptr;
};

//===----------------------------------------------------------------------===//
// Buffers
//===----------------------------------------------------------------------===//

Value Lowering::allocate(ArrayRef<int64_t> shape, Type e) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(allocationPoint);
  auto type = MemRefType::get({shape[0], roundUp(shape[1], lanes)}, e);
  Value buffer = memref::AllocOp::create(b, loc, type, b.getI64IntegerAttr(64));
  allocated.push_back(buffer);
  return buffer;
}

/// `lanes` elements of a tile from (row, column); `row` is 0 for rank 1.
Value Lowering::fetch(Value v, Value row, Value column) {
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

void Lowering::put(Value v, Value buffer, Value row, Value column) {
  if (getElementTypeOrSelf(v.getType()).isInteger(1))
    v = arith::ExtUIOp::create(b, loc, vectorOf(b.getI8Type()), v);
  vector::StoreOp::create(b, loc, v, buffer, ValueRange{row, column});
}

/// The tile as a buffer of its own.
Value Lowering::materialize(Value v) {
  Tile t = tiles.lookup(v);
  if (t.kind == Tile::Buffer)
    return t.value;
  RankedTensorType type = tensorOf(v);
  Value buffer =
      allocate({rowsOf(type), columnsOf(type)}, storage(type.getElementType()));
  loop(rowsOf(type), 1, [&](Value row) {
    loop(columnsOf(type), lanes, [&](Value column) {
      put(fetch(v, row, column), buffer, row, column);
    });
  });
  return buffer;
}

void Lowering::copy(Value source, Value dest) {
  auto type = cast<MemRefType>(source.getType());
  loop(type.getDimSize(0), 1, [&](Value row) {
    loop(type.getDimSize(1), lanes, [&](Value column) {
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
Value Lowering::exp2(Value x) {
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

void Lowering::lowerElementwise(Operation *op) {
  Value result = op->getResult(0);
  RankedTensorType type = tensorOf(result);
  Value buffer = bufferFor(result);
  loop(rowsOf(type), 1, [&](Value row) {
    loop(columnsOf(type), lanes, [&](Value column) {
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
// Memory
//===----------------------------------------------------------------------===//

Lowering::Row Lowering::addressOf(Value memory, ValueRange operands,
                                  Value limit, AffineMap map,
                                  ArrayRef<bool> inBounds, Value row) {
  SmallVector<Value> inputs;
  for (Value v : operands)
    inputs.push_back(mapping.lookupOrDefault(v));
  inputs.push_back(row);
  Row result;
  result.indices = *affine::expandAffineMap(b, loc, map, inputs);
  auto require = [&](Value condition) {
    result.valid = result.valid
                       ? arith::AndIOp::create(b, loc, result.valid, condition)
                       : condition;
  };
  if (limit)
    require(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, row,
                                  mapping.lookupOrDefault(limit)));
  for (size_t x = 0; x < inBounds.size(); ++x) {
    if (inBounds[x])
      continue;
    // As unsigned, one comparison refuses negative indices too.
    Value extent = memref::DimOp::create(b, loc, memory, x);
    require(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult,
                                  result.indices[x], extent));
  }
  return result;
}

void Lowering::ifValid(const Row &row, llvm::function_ref<void()> then,
                       llvm::function_ref<void()> otherwise) {
  if (!row.valid)
    return then();
  auto op = scf::IfOp::create(b, loc, row.valid, static_cast<bool>(otherwise));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(op.thenBlock());
  then();
  if (otherwise) {
    b.setInsertionPointToStart(op.elseBlock());
    otherwise();
  }
}

/// A scalar or vector of floats or bytes with another element type.
Value Lowering::convert(Value v, Type element) {
  Type from = getElementTypeOrSelf(v.getType());
  if (from == element)
    return v;
  Type to = element;
  if (auto vector = dyn_cast<VectorType>(v.getType()))
    to = vectorOf(element);
  if (from.getIntOrFloatBitWidth() < element.getIntOrFloatBitWidth())
    return arith::ExtFOp::create(b, loc, to, v);
  return arith::TruncFOp::create(b, loc, to, v);
}

void Lowering::lowerLoad(tile::LoadOp op) {
  RankedTensorType type = tensorOf(op.getResult());
  Value memory = mapping.lookup(op.getSource());
  Type from = cast<MemRefType>(memory.getType()).getElementType();
  Type e = type.getElementType();
  Value buffer = bufferFor(op.getResult());
  bool flat = type.getRank() == 1;
  int64_t columns = flat ? 1 : columnsOf(type), whole = columns / lanes * lanes;
  loop(flat ? columnsOf(type) : rowsOf(type), 1, [&](Value row) {
    Row at = addressOf(memory, op.getIndices(), op.getLimit(), op.getMap(),
                       op.getInBounds(), row);
    auto place = [&](Value column) -> SmallVector<Value> {
      if (flat)
        return {index(0), row};
      return {row, column};
    };
    auto source = [&](Value column) {
      SmallVector<Value> indices = at.indices;
      if (!flat)
        indices.push_back(column);
      return indices;
    };
    auto scalars = [&](bool read) {
      loop(index(whole), index(columns), 1, [&](Value column) {
        Value v = read ? convert(memref::LoadOp::create(b, loc, memory,
                                                        source(column)),
                                 e)
                       : scalarZero(e);
        memref::StoreOp::create(b, loc, v, buffer, place(column));
      });
    };
    auto vectors = [&](bool read) {
      if (!whole)
        return;
      loop(whole, lanes, [&](Value column) {
        Value v = read ? convert(vector::LoadOp::create(b, loc, vectorOf(from),
                                                        memory, source(column)),
                                 e)
                       : splat(scalarZero(e));
        vector::StoreOp::create(b, loc, v, buffer, place(column));
      });
    };
    ifValid(
        at,
        [&] {
          vectors(true);
          scalars(true);
        },
        [&] {
          vectors(false);
          scalars(false);
        });
  });
}

void Lowering::lowerStore(tile::StoreOp op) {
  RankedTensorType type = tensorOf(op.getValue());
  Value memory = mapping.lookup(op.getDest());
  Type to = cast<MemRefType>(memory.getType()).getElementType();
  Value buffer = materialize(op.getValue());
  bool flat = type.getRank() == 1;
  int64_t columns = flat ? 1 : columnsOf(type), whole = columns / lanes * lanes;
  Value offset = index(op.getColumnOffset());
  loop(flat ? columnsOf(type) : rowsOf(type), 1, [&](Value row) {
    Row at = addressOf(memory, op.getIndices(), op.getLimit(), op.getMap(),
                       op.getInBounds(), row);
    auto dest = [&](Value column) {
      SmallVector<Value> indices = at.indices;
      if (!flat)
        indices.push_back(arith::AddIOp::create(b, loc, column, offset));
      return indices;
    };
    ifValid(
        at,
        [&] {
          if (whole)
            loop(whole, lanes, [&](Value column) {
              Value v = vector::LoadOp::create(b, loc,
                                               vectorOf(type.getElementType()),
                                               buffer, ValueRange{row, column});
              vector::StoreOp::create(b, loc, convert(v, to), memory,
                                      dest(column));
            });
          loop(index(whole), index(columns), 1, [&](Value column) {
            Value v = memref::LoadOp::create(b, loc, buffer,
                                             flat ? ValueRange{index(0), row}
                                                  : ValueRange{row, column});
            memref::StoreOp::create(b, loc, convert(v, to), memory,
                                    dest(column));
          });
        },
        nullptr);
  });
}

void Lowering::lowerInBounds(tile::InBoundsOp op) {
  RankedTensorType type = tensorOf(op.getResult());
  Value memory = mapping.lookup(op.getSource());
  Value buffer = bufferFor(op.getResult());
  loop(columnsOf(type), 1, [&](Value row) {
    Row at = addressOf(memory, op.getIndices(), op.getLimit(), op.getMap(),
                       op.getInBounds(), row);
    Value bit = at.valid
                    ? arith::ExtUIOp::create(b, loc, b.getI8Type(), at.valid)
                          .getResult()
                    : arith::ConstantIntOp::create(b, loc, 1, 8);
    memref::StoreOp::create(b, loc, bit, buffer, ValueRange{index(0), row});
  });
}

//===----------------------------------------------------------------------===//
// Products and reductions
//===----------------------------------------------------------------------===//

/// Register-blocked product: 8 accumulator vectors (4 x 2 or 8 x 1), one pass
/// over the contraction.
void Lowering::lowerDot(tile::DotOp op) {
  RankedTensorType type = tensorOf(op.getResult());
  bool transposeLhs = op.getTransposeLhs();
  int64_t rows = type.getDimSize(0), columns = type.getDimSize(1);
  int64_t depth = tensorOf(op.getLhs()).getDimSize(transposeLhs ? 0 : 1);
  Value lhs = materialize(op.getLhs()), rhs = materialize(op.getRhs());
  if (op.getTransposeRhs()) {
    // rhs^T has the contraction along rows, so that vectors run along columns.
    Value turned = allocate({depth, columns}, b.getF32Type());
    loop(columns, 1, [&](Value n) {
      loop(depth, 1, [&](Value k) {
        Value v = memref::LoadOp::create(b, loc, rhs, ValueRange{n, k});
        memref::StoreOp::create(b, loc, v, turned, ValueRange{k, n});
      });
    });
    rhs = turned;
  }
  Value acc = op.getAcc() ? materialize(op.getAcc()) : Value();
  Value result = bufferFor(op.getResult());
  int64_t padded = roundUp(columns, lanes);
  int64_t vectors = padded % (2 * lanes) == 0 ? 2 : 1;
  int64_t blockRows = vectors == 1 && rows % 8 == 0 ? 8 : rows % 4 == 0 ? 4 : 1;
  int64_t offset = op.getRhsOffset();
  loop(rows, blockRows, [&](Value m) {
    loop(padded, vectors * lanes, [&](Value n) {
      SmallVector<Value> rowAt, columnAt, inits;
      for (int64_t i = 0; i < blockRows; ++i)
        rowAt.push_back(arith::AddIOp::create(b, loc, m, index(i)));
      for (int64_t j = 0; j < vectors; ++j)
        columnAt.push_back(arith::AddIOp::create(b, loc, n, index(j * lanes)));
      for (Value row : rowAt)
        for (Value column : columnAt)
          inits.push_back(
              acc ? vector::LoadOp::create(b, loc, vectorOf(b.getF32Type()),
                                           acc, ValueRange{row, column})
                        .getResult()
                  : splat(scalarZero(b.getF32Type())));
      auto sum =
          scf::ForOp::create(b, loc, index(0), index(depth), index(1), inits);
      {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPointToStart(sum.getBody());
        Value k = sum.getInductionVar();
        SmallVector<Value> right, next;
        for (Value column : columnAt)
          right.push_back(vector::LoadOp::create(
              b, loc, vectorOf(b.getF32Type()), rhs,
              ValueRange{
                  k, arith::AddIOp::create(b, loc, column, index(offset))}));
        for (int64_t i = 0; i < blockRows; ++i) {
          Value left = splat(
              memref::LoadOp::create(b, loc, lhs,
                                     transposeLhs ? ValueRange{k, rowAt[i]}
                                                  : ValueRange{rowAt[i], k}));
          for (int64_t j = 0; j < vectors; ++j)
            next.push_back(vector::FMAOp::create(
                b, loc, left, right[j],
                sum.getRegionIterArgs()[i * vectors + j]));
        }
        scf::YieldOp::create(b, loc, next);
      }
      for (int64_t i = 0; i < blockRows; ++i)
        for (int64_t j = 0; j < vectors; ++j)
          vector::StoreOp::create(b, loc, sum.getResult(i * vectors + j),
                                  result, ValueRange{rowAt[i], columnAt[j]});
    });
  });
}

void Lowering::lowerReduce(tile::ReduceOp op) {
  RankedTensorType type = tensorOf(op.getSource());
  Value result = bufferFor(op.getResult());
  bool isMax = op.getKind() == "max";
  auto combine = [&](Value x, Value y) -> Value {
    if (isMax)
      return arith::MaximumFOp::create(b, loc, x, y);
    return arith::AddFOp::create(b, loc, x, y);
  };
  // One vector of partial results, combined over `count` steps.
  auto accumulate = [&](int64_t count, int64_t step,
                        llvm::function_ref<Value(Value)> at) {
    Value first = at(index(0));
    if (count <= step)
      return first;
    auto sum = scf::ForOp::create(b, loc, index(step), index(count),
                                  index(step), ValueRange{first});
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(sum.getBody());
    scf::YieldOp::create(
        b, loc, combine(sum.getRegionIterArgs()[0], at(sum.getInductionVar())));
    return sum.getResult(0);
  };
  if (op.getAxis() == 0) {
    loop(columnsOf(type), lanes, [&](Value column) {
      Value v = accumulate(rowsOf(type), 1, [&](Value row) {
        return fetch(op.getSource(), row, column);
      });
      put(v, result, index(0), column);
    });
    return;
  }
  loop(rowsOf(type), 1, [&](Value row) {
    Value v = accumulate(columnsOf(type), lanes, [&](Value column) {
      return fetch(op.getSource(), row, column);
    });
    Value scalar = vector::ReductionOp::create(
        b, loc,
        isMax ? vector::CombiningKind::MAXIMUMF : vector::CombiningKind::ADD, v,
        arith::FastMathFlags::reassoc);
    memref::StoreOp::create(b, loc, scalar, result, ValueRange{index(0), row});
  });
}

//===----------------------------------------------------------------------===//
// Structure
//===----------------------------------------------------------------------===//

/// Loop-carried tiles live in buffers of their own, written at the end of each
/// turn when nothing of the turn still reads them.
LogicalResult Lowering::lowerFor(scf::ForOp op) {
  SmallVector<Value> carriers;
  for (auto [init, arg, result] :
       llvm::zip(op.getInitArgs(), op.getRegionIterArgs(), op.getResults())) {
    RankedTensorType type = tensorOf(init);
    Value carrier = allocate({rowsOf(type), columnsOf(type)},
                             storage(type.getElementType()));
    loop(rowsOf(type), 1, [&, init = init](Value row) {
      loop(columnsOf(type), lanes, [&](Value column) {
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

LogicalResult Lowering::lower(Operation *op) {
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
LogicalResult Lowering::lowerForall(scf::ForallOp op) {
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

LogicalResult Lowering::run() {
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
      if (failed(Lowering(kernel, lowered).run()))
        return signalPassFailure();
      kernel.erase();
    }
    setLevel(getOperation(), "host");
  }
};
} // namespace
