//===- ThreadMmaSync.cpp - products by mma.sync ---------------------------===//

#include "ThreadLowering.h"

using namespace mlir;
using namespace monarch;

Registers ThreadLowering::matrices(Value address, int count, bool transpose) {
  Type i32Type = b.getI32Type();
  Type type = count == 1
                  ? i32Type
                  : Type(LLVM::LLVMStructType::getLiteral(
                        b.getContext(), SmallVector<Type>(count, i32Type)));
  Value loaded = NVVM::LdMatrixOp::create(
      b, loc, type, sharedPointer(address), count,
      transpose ? NVVM::MMALayout::col : NVVM::MMALayout::row,
      NVVM::LdStMatrixShapeAttr::get(b.getContext(), 8, 8),
      NVVM::LdStMatrixEltType::B16);
  if (count == 1)
    return {loaded};
  Registers regs;
  for (int64_t i = 0; i < count; ++i)
    regs.push_back(LLVM::ExtractValueOp::create(b, loc, loaded, i));
  return regs;
}

/// acc += lhs x rhs for one m16n8k16 (4 and 2 registers) or m16n8k8 (2 and 1).
void ThreadLowering::multiply(MutableArrayRef<Value> acc, ArrayRef<Value> lhs,
                              ArrayRef<Value> rhs, Type element) {
  bool isBF16 = element.isBF16();
  auto typed = [&](ArrayRef<Value> regs) {
    SmallVector<Value> out(regs);
    if (!isBF16)
      for (Value &v : out)
        v = LLVM::BitcastOp::create(b, loc, VectorType::get({2}, element), v);
    return out;
  };
  Type f32 = b.getF32Type();
  Type result =
      LLVM::LLVMStructType::getLiteral(b.getContext(), {f32, f32, f32, f32});
  auto types = isBF16 ? NVVM::MMATypes::bf16 : NVVM::MMATypes::f16;
  Value d = NVVM::MmaOp::create(
      b, loc, result, typed(lhs), typed(rhs), ValueRange(acc),
      ArrayRef<int64_t>{16, 8, lhs.size() == 4 ? 16 : 8}, std::nullopt,
      std::nullopt, std::array<NVVM::MMATypes, 2>{types, types},
      std::array<NVVM::MMALayout, 2>{NVVM::MMALayout::row,
                                     NVVM::MMALayout::col});
  for (int64_t i = 0; i < 4; ++i)
    acc[i] = LLVM::ExtractValueOp::create(b, loc, d, i);
  ++products;
}

LogicalResult ThreadLowering::lowerDot(tile::DotOp op) {
  bool swizzled = kindOf(op.getRhs()) == "swizzled";
  if (swizzled && areWarpgroups(warps))
    return lowerWgmma(op);
  RankedTensorType type = tileOf(op.getResult()), rhsType = tileOf(op.getRhs());
  bool exchanged = kindOf(op.getRhs()) == "exchanged";
  int64_t groups = op.getGroups();
  bool inRegisters = kindOf(op.getLhs()) == "lhs";
  bool shared = swizzled && kindOf(op.getLhs()) == "swizzled" &&
                rowTiles(type) == 1 && warps == 1;
  if ((!inRegisters && !shared) || op.getTransposeLhs() ||
      (shared && !op.getTransposeRhs()) ||
      (kindOf(op.getRhs()) != "shared" && !exchanged && !swizzled))
    return op.emitOpError("expected a lhs in registers and a rhs in shared "
                          "memory");
  if (exchanged ? warps % groups || rhsType.getDimSize(0) / groups % 8
                : groups != 1)
    return op.emitOpError("expected groups of whole warps, of a rhs that came "
                          "through an exchange");
  Type element = rhsType.getElementType();
  Registers lhs = all(op.getLhs());
  Value base = at(op.getRhs(), 0);
  int64_t depth = tileOf(op.getLhs()).getDimSize(1);
  int64_t steps = ceilDiv(depth, 16), mTiles = rowTiles(type);
  int64_t nTiles = type.getDimSize(1) / 8, bytes = rowBytes(rhsType);
  Value place; // of this warp's rows among those of one sender
  if (exchanged) {
    place = toI32(arith::DivUIOp::create(b, loc, warp, index(warps / groups)));
    base = add(base, mul(place, i32(bytes)));
    bytes *= groups;
  }
  Registers acc;
  if (op.getAcc()) {
    acc = all(op.getAcc());
  } else {
    Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
    acc.assign(mTiles * nTiles * 4, zero);
  }
  Registers rowsOfStep; // of a lhs in shared memory
  auto accumulate = [&](int64_t step, int64_t n, ArrayRef<Value> rhs) {
    for (int64_t m = 0; m < mTiles; ++m)
      multiply(
          MutableArrayRef(acc).slice((m * nTiles + n) * 4, 4),
          shared ? ArrayRef(rowsOfStep)
                 : ArrayRef(lhs).slice((m * steps + step) * 4, 2 * rhs.size()),
          rhs, element);
  };
  // Lane's row inside an 8-row matrix is l7. A row's chunk q is at q ^ (row %
  // 8) and matrices start at multiples of 8 rows and of 16 bytes times a power
  // of two, so that moving along a row is one xor of the lane's first address.
  Value l7 = arith::AndIOp::create(b, loc, lane, index(7));
  Value which = arith::ShRUIOp::create(b, loc, lane, index(3));
  Value low = arith::AndIOp::create(b, loc, which, index(1));
  Value high = arith::ShRUIOp::create(b, loc, lane, index(4));
  int64_t groupBytes = swizzled ? bytesOfEightRows(rhsType) : 8 * bytes;
  int64_t lineBytes = swizzled ? 128 : bytes; // of a row, of 64 channels of it
  int64_t halfBytes = rowsTogether(rhsType) * 128;
  auto start = [&](Value eight, Value chunk) {
    Value at = arith::XOrIOp::create(b, loc, chunk, l7);
    if (place) {
      Value odd = arith::AndIOp::create(b, loc, place, i32(1));
      at = arith::XOrIOp::create(b, loc, at,
                                 arith::IndexCastOp::create(b, loc,
                                                            b.getIndexType(),
                                                            mul(odd, i32(4))));
    }
    Value row = mul(l7, index(lineBytes));
    if (eight)
      row = add(row, mul(eight, index(groupBytes)));
    return add(base, toI32(add(row, mul(at, index(16)))));
  };
  auto move = [&](Value address, int64_t chunks, int64_t rows) {
    int64_t distance = rows / 8 * groupBytes;
    if (swizzled) { // halves of 64 channels are apart
      distance += chunks / 8 * halfBytes;
      chunks %= 8;
    }
    if (chunks)
      address = arith::XOrIOp::create(b, loc, address, i32(chunks * 16));
    return distance ? add(address, i32(distance)) : address;
  };
  // 16 rows of a lhs in shared memory, 16 channels.
  auto rowsAt = [&](int64_t step) {
    RankedTensorType lhsType = tileOf(op.getLhs());
    Value chunk = arith::XOrIOp::create(b, loc, high, l7);
    Value row =
        add(mul(l7, index(128)), mul(low, index(bytesOfEightRows(lhsType))));
    Value at = add(lhs[0], toI32(add(row, mul(chunk, index(16)))));
    at = arith::XOrIOp::create(b, loc, at, i32(step % 4 * 32));
    return add(at, i32(step / 4 * rowsTogether(lhsType) * 128));
  };
  if (op.getTransposeRhs()) {
    // rhs rows are columns of the result: matrices of 8 rows x 8 channels.
    Value pairs = start(high, low);
    Value single = start(Value(), low);
    for (int64_t s = 0; s < steps; ++s) {
      if (shared)
        rowsOfStep = matrices(rowsAt(s), 4, false);
      for (int64_t n = 0; n < nTiles; n += 2) {
        bool pair = n + 1 < nTiles;
        Registers r = matrices(move(pair ? pairs : single, 2 * s, 8 * n),
                               pair ? 4 : 2, false);
        accumulate(s, n, {r[0], r[1]});
        if (pair)
          accumulate(s, n + 1, {r[2], r[3]});
      }
    }
  } else {
    int64_t first = op.getRhsOffset() / 8;
    Value pairs = start(low, high);
    Value four = start(Value(), which);
    for (int64_t s = 0; s < steps; ++s) {
      bool whole = depth - 16 * s >= 16;
      for (int64_t n = 0; n < nTiles; n += whole ? 2 : 4) {
        // With 8 rows left: one matrix for each of four n-tiles.
        Registers r =
            matrices(move(whole ? pairs : four, first + n, 16 * s), 4, true);
        for (int64_t i = 0; i < (whole ? 2 : 4); ++i)
          accumulate(s, n + i,
                     whole ? ArrayRef(r).slice(2 * i, 2)
                           : ArrayRef(r).slice(i, 1));
      }
    }
  }
  registers[op.getResult()] = acc;
  return success();
}
