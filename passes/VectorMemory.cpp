//===- VectorMemory.cpp - loads and stores of the host end ----------------===//

#include "VectorLowering.h"

#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace monarch;

VectorLowering::Row VectorLowering::addressOf(Value memory, ValueRange operands,
                                              Value limit, AffineMap map,
                                              ArrayRef<bool> inBounds,
                                              Value row) {
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

void VectorLowering::ifValid(const Row &row, llvm::function_ref<void()> then,
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
Value VectorLowering::convert(Value v, Type element) {
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

void VectorLowering::lowerLoad(tile::LoadOp op) {
  RankedTensorType type = tensorOf(op.getResult());
  Value memory = mapping.lookup(op.getSource());
  Type from = cast<MemRefType>(memory.getType()).getElementType();
  Type e = type.getElementType();
  Value buffer = bufferFor(op.getResult());
  bool flat = type.getRank() == 1;
  int64_t columns = flat ? 1 : columnsOf(type),
          whole = columns / vectorLanes * vectorLanes;
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
      loop(whole, vectorLanes, [&](Value column) {
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

void VectorLowering::lowerStore(tile::StoreOp op) {
  RankedTensorType type = tensorOf(op.getValue());
  Value memory = mapping.lookup(op.getDest());
  Type to = cast<MemRefType>(memory.getType()).getElementType();
  Value buffer = materialize(op.getValue());
  bool flat = type.getRank() == 1;
  int64_t columns = flat ? 1 : columnsOf(type),
          whole = columns / vectorLanes * vectorLanes;
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
            loop(whole, vectorLanes, [&](Value column) {
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

void VectorLowering::lowerInBounds(tile::InBoundsOp op) {
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
