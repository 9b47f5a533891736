//===- VectorLowering.h - tiled programs as loops over vectors --*- C++ -*-===//
//
// What monarch-tile-to-vector is made of. A tile is a buffer whose rows are
// padded to whole vectors; the padding holds anything and is never reduced over
// or stored. Splat constants and broadcasts have no buffer: their readers fetch
// them as they go.
//
//===----------------------------------------------------------------------===//
#ifndef MONARCH_PASSES_VECTORLOWERING_H
#define MONARCH_PASSES_VECTORLOWERING_H

#include "PassDetail.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"

namespace monarch {
using namespace mlir;

/// Elements of a vector.
inline constexpr int64_t vectorLanes = 16;

/// How a reader finds the elements of a tile.
struct Tile {
  enum Kind { Buffer, Splat, RowBroadcast, ColumnBroadcast } kind = Buffer;
  Value value; ///< the memref, or the scalar of a splat
};

class VectorLowering {
public:
  VectorLowering(func::FuncOp from, func::FuncOp to)
      : from(from), to(to), b(to.getContext()), loc(from.getLoc()) {}
  LogicalResult run();

private:
  Value index(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }
  VectorType vectorOf(Type e) { return VectorType::get({vectorLanes}, e); }
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

} // namespace monarch

#endif // MONARCH_PASSES_VECTORLOWERING_H
