//===- VectorProducts.cpp - products and reductions of the host end -------===//

#include "VectorLowering.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace monarch;

/// Register-blocked product: 8 accumulator vectors (4 x 2 or 8 x 1), one pass
/// over the contraction.
void VectorLowering::lowerDot(tile::DotOp op) {
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
  int64_t padded = roundUp(columns, vectorLanes);
  int64_t vectors = padded % (2 * vectorLanes) == 0 ? 2 : 1;
  int64_t blockRows = vectors == 1 && rows % 8 == 0 ? 8 : rows % 4 == 0 ? 4 : 1;
  int64_t offset = op.getRhsOffset();
  loop(rows, blockRows, [&](Value m) {
    loop(padded, vectors * vectorLanes, [&](Value n) {
      SmallVector<Value> rowAt, columnAt, inits;
      for (int64_t i = 0; i < blockRows; ++i)
        rowAt.push_back(arith::AddIOp::create(b, loc, m, index(i)));
      for (int64_t j = 0; j < vectors; ++j)
        columnAt.push_back(
            arith::AddIOp::create(b, loc, n, index(j * vectorLanes)));
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

void VectorLowering::lowerReduce(tile::ReduceOp op) {
  RankedTensorType type = tensorOf(op.getSource());
  Value result = bufferFor(op.getResult());
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
    scf::YieldOp::create(b, loc,
                         combined(b, loc, op.getKind(),
                                  sum.getRegionIterArgs()[0],
                                  at(sum.getInductionVar())));
    return sum.getResult(0);
  };
  if (op.getAxis() == 0) {
    loop(columnsOf(type), vectorLanes, [&](Value column) {
      Value v = accumulate(rowsOf(type), 1, [&](Value row) {
        return fetch(op.getSource(), row, column);
      });
      put(v, result, index(0), column);
    });
    return;
  }
  loop(rowsOf(type), 1, [&](Value row) {
    Value v = accumulate(columnsOf(type), vectorLanes, [&](Value column) {
      return fetch(op.getSource(), row, column);
    });
    Value scalar = vector::ReductionOp::create(
        b, loc,
        op.getKind() == "max" ? vector::CombiningKind::MAXIMUMF
                              : vector::CombiningKind::ADD,
        v, arith::FastMathFlags::reassoc);
    memref::StoreOp::create(b, loc, scalar, result, ValueRange{index(0), row});
  });
}
