//===- ConvertTileToNvvm.cpp - convert-monarch-tile-to-nvvm ---------------===//
//
// One thread's view of a mapped kernel. With g = lane / 4 and c = lane % 4
// (PTX ISA, "Matrix Fragments for mma.m16n8k16"), the registers of a tile are
//
//   acc     [m][n][e]  rows 16m+g (e = 0, 1) and 16m+g+8 (e = 2, 3), columns
//                      8n+2c+(e % 2), one f32 each
//   lhs     [m][s][r]  16 columns a step s; r = 0, 2 row g, r = 1, 3 row g+8;
//                      r < 2 columns 16s+2c.., else 16s+8+2c..; two elements
//   rows    [m][h]     row 16m+8h+g
//   columns [n][e]     column 8n+2c+e
//   shared             one base address; row r at r * bytes, 16-byte chunk q of
//                      it at q ^ (r % 8)
//
// where the rows of warp w start at w * rows / warps.
//
//===----------------------------------------------------------------------===//

#include "PassDetail.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_CONVERTMONARCHTILETONVVM
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

namespace {

using Registers = SmallVector<Value>;

/// A kernel argument in global memory.
struct Memory {
  MemRefType type;
  Value pointer;
  SmallVector<Value> sizes;   ///< index; null where static
  SmallVector<Value> strides; ///< i64; null where static
};

/// Stages of a tile in shared memory.
struct Ring {
  Value base; ///< i32 address
  RankedTensorType tile;
  int64_t stageBytes;
};

/// Bytes of one row of a shared tile.
int64_t rowBytes(RankedTensorType tile) {
  int64_t bytes = tile.getElementTypeBitWidth() / 8;
  return tile.getRank() == 2 ? tile.getDimSize(1) * bytes : bytes;
}

class ThreadLowering {
public:
  ThreadLowering(func::FuncOp from, ScheduleAttr schedule, int64_t &products)
      : from(from), warps(schedule.getWarps()), b(from), loc(from.getLoc()),
        products(products) {}

  LogicalResult run();

private:
  //--- scalars ---//
  Value index(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }
  Value i32(int64_t v) { return arith::ConstantIntOp::create(b, loc, v, 32); }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) { return arith::MulIOp::create(b, loc, x, y); }
  Value toI32(Value v) {
    return arith::IndexCastOp::create(b, loc, b.getI32Type(), v);
  }
  Value toI64(Value v) {
    return arith::IndexCastOp::create(b, loc, b.getI64Type(), v);
  }
  Value evaluate(AffineExpr e, ArrayRef<Value> dims);
  Value assembly(StringRef text, StringRef constraints, Type type,
                 ValueRange operands) {
    return LLVM::InlineAsmOp::create(
               b, loc, type, operands, b.getStringAttr(text),
               b.getStringAttr(constraints), UnitAttr(), UnitAttr(),
               LLVM::TailCallKindAttr::get(b.getContext(),
                                           LLVM::TailCallKind::None),
               LLVM::AsmDialectAttr(), ArrayAttr())
        ->getResult(0);
  }

  //--- shapes ---//
  static RankedTensorType tileOf(Value v) {
    return cast<RankedTensorType>(v.getType());
  }
  StringRef kindOf(Value v) { return tile::layoutOf(v.getType()).getKind(); }
  int64_t rowTiles(RankedTensorType t) const {
    return t.getDimSize(0) / warps / 16;
  }
  /// Row g of this thread's warp, as index; its others are 16m + 8h after it.
  Value firstRow(RankedTensorType t) {
    return add(mul(warp, index(t.getDimSize(0) / warps)), group);
  }

  //--- memory ---//
  struct Place {
    Value pointer; ///< of the row's first element, or `Rows::offset` after it
    Value valid;   ///< i1, or null
  };
  /// The rows of one load, store or copy that this thread touches: `first`,
  /// and others at known distances from it.
  struct Rows {
    const Memory *memory;
    SmallVector<Value> operands;
    Value limit;
    AffineMap map;
    ArrayRef<bool> inBounds;
    Value first;          ///< index
    Value offset;         ///< bytes into every row, i64, or null
    Value pointer;        ///< of the row `distance` after `first`, which is
    int64_t distance = 0; ///< the last one asked for
  };
  template <typename Op>
  Rows rowsAt(Op op, const Memory &memory, Value first,
              Value offset = Value());
  Place placeOf(Rows &rows, int64_t distance, int64_t most = -1);
  Value pointerAt(const Memory &memory, AffineMap map, ArrayRef<Value> dims);
  Value advance(Value pointer, Value bytes) {
    return LLVM::GEPOp::create(b, loc, pointer.getType(), b.getI8Type(),
                               pointer, ArrayRef<LLVM::GEPArg>{bytes});
  }
  Value advance(Value pointer, int64_t bytes) {
    return LLVM::GEPOp::create(b, loc, pointer.getType(), b.getI8Type(),
                               pointer, ArrayRef<LLVM::GEPArg>{int32_t(bytes)});
  }
  Value sharedPointer(Value address) {
    return LLVM::IntToPtrOp::create(
        b, loc, LLVM::LLVMPointerType::get(b.getContext(), 3), address);
  }
  Value guardedLoad(const Place &place, Value base, Type type, int64_t offset);
  Value pack(Value low, Value high, Type element);

  //--- registers ---//
  /// Register i of a tile, formed when first asked for: values are made row by
  /// row where they are used, which keeps few of them live.
  Value at(Value tile, size_t i);
  /// All registers of a tile.
  Registers all(Value tile);
  Value reduceRow(tile::ReduceOp op, size_t row);
  Value elementwise(Operation *op, size_t i);
  /// Forms what `region` uses from outside, so that it dominates later uses.
  void formForRegion(Region &region);

  //--- ops ---//
  LogicalResult lower(Operation *op);
  LogicalResult lowerBlock(Block *block);
  LogicalResult lowerForall(scf::ForallOp op);
  LogicalResult lowerFor(scf::ForOp op);
  LogicalResult lowerLoad(tile::LoadOp op);
  LogicalResult lowerStore(tile::StoreOp op);
  void lowerInBounds(tile::InBoundsOp op);
  LogicalResult lowerDot(tile::DotOp op);
  LogicalResult lowerConvert(tile::ConvertLayoutOp op);
  void lowerAlloc(tile::AllocRingOp op);
  void lowerCopy(tile::CopyAsyncOp op);
  int64_t registerCount(RankedTensorType type);
  Registers matrices(Value address, int count, bool transpose);
  void multiply(MutableArrayRef<Value> acc, ArrayRef<Value> lhs,
                ArrayRef<Value> rhs, Type element);

  func::FuncOp from;
  int64_t warps;
  OpBuilder b;
  Location loc;
  int64_t &products;

  IRMapping mapping;
  llvm::DenseMap<Value, Registers> registers;
  llvm::DenseMap<Value, Memory> memories;
  llvm::DenseMap<Value, Ring> rings;
  Value thread, lane, warp, group, quad; ///< index: tid, lane, warp, g, c
  Value sharedBase;                      ///< i32
  int64_t sharedBytes = 0;
};

//===----------------------------------------------------------------------===//
// Scalars and addresses
//===----------------------------------------------------------------------===//

/// Affine expressions over non-negative operands, so that division and
/// remainder are unsigned.
Value ThreadLowering::evaluate(AffineExpr e, ArrayRef<Value> dims) {
  if (auto constant = dyn_cast<AffineConstantExpr>(e))
    return index(constant.getValue());
  if (auto dim = dyn_cast<AffineDimExpr>(e))
    return dims[dim.getPosition()];
  auto binary = cast<AffineBinaryOpExpr>(e);
  Value lhs = evaluate(binary.getLHS(), dims);
  Value rhs = evaluate(binary.getRHS(), dims);
  switch (e.getKind()) {
  case AffineExprKind::Add:
    return add(lhs, rhs);
  case AffineExprKind::Mul:
    return mul(lhs, rhs);
  case AffineExprKind::Mod:
    return arith::RemUIOp::create(b, loc, lhs, rhs);
  case AffineExprKind::FloorDiv:
    return arith::DivUIOp::create(b, loc, lhs, rhs);
  default: {
    auto divisor = cast<AffineConstantExpr>(binary.getRHS()).getValue();
    return arith::DivUIOp::create(b, loc, add(lhs, index(divisor - 1)), rhs);
  }
  }
}

/// The address that `map` gives for `dims`.
Value ThreadLowering::pointerAt(const Memory &memory, AffineMap map,
                                ArrayRef<Value> dims) {
  auto [staticStrides, unused] = memory.type.getStridesAndOffset();
  Value offset;
  for (unsigned x = 0; x < map.getNumResults(); ++x) {
    Value stride =
        memory.strides[x]
            ? memory.strides[x]
            : arith::ConstantIntOp::create(b, loc, staticStrides[x], 64)
                  .getResult();
    Value term = mul(toI64(evaluate(map.getResult(x), dims)), stride);
    offset = offset ? add(offset, term) : term;
  }
  int64_t bytes = memory.type.getElementTypeBitWidth() / 8;
  return advance(memory.pointer,
                 mul(offset, arith::ConstantIntOp::create(b, loc, bytes, 64)));
}

template <typename Op>
ThreadLowering::Rows ThreadLowering::rowsAt(Op op, const Memory &memory,
                                            Value first, Value offset) {
  Rows rows;
  rows.offset = offset;
  rows.memory = &memory;
  for (Value v : op.getIndices())
    rows.operands.push_back(mapping.lookupOrDefault(v));
  rows.limit = op.getLimit() ? mapping.lookupOrDefault(op.getLimit()) : Value();
  rows.map = op.getMap();
  rows.inBounds = op.getInBounds();
  rows.first = first;
  SmallVector<Value> dims = rows.operands;
  dims.push_back(first);
  rows.pointer = pointerAt(memory, rows.map, dims);
  if (offset)
    rows.pointer = advance(rows.pointer, offset);
  return rows;
}

/// By how much `e` grows when dimension `dim` grows by `distance`, where that
/// is the same everywhere.
static std::optional<int64_t> stepOf(AffineExpr e, unsigned dim,
                                     int64_t distance) {
  if (isa<AffineConstantExpr>(e))
    return 0;
  if (auto d = dyn_cast<AffineDimExpr>(e))
    return d.getPosition() == dim ? distance : 0;
  auto binary = cast<AffineBinaryOpExpr>(e);
  std::optional<int64_t> lhs = stepOf(binary.getLHS(), dim, distance);
  if (!lhs)
    return std::nullopt;
  if (e.getKind() == AffineExprKind::Add) {
    std::optional<int64_t> rhs = stepOf(binary.getRHS(), dim, distance);
    return rhs ? std::optional(*lhs + *rhs) : std::nullopt;
  }
  int64_t by = cast<AffineConstantExpr>(binary.getRHS()).getValue();
  if (e.getKind() == AffineExprKind::Mul)
    return *lhs * by;
  if (*lhs % by) // a quotient or remainder that depends on where it starts
    return std::nullopt;
  return e.getKind() == AffineExprKind::Mod ? 0 : *lhs / by;
}

/// The row `distance` after the first. Where the map is linear in the row its
/// pointer is the previous one's plus a multiple of a stride, which keeps one
/// address and one stride in registers instead of an address a row; with static
/// strides the address alone. `most` is
/// the largest row that any thread has here, -1 when unknown: a constant limit
/// past it needs no check.
ThreadLowering::Place ThreadLowering::placeOf(Rows &rows, int64_t distance,
                                              int64_t most) {
  const Memory &memory = *rows.memory;
  SmallVector<Value> dims = rows.operands;
  dims.push_back(distance ? add(rows.first, index(distance)) : rows.first);
  Place place;
  auto require = [&](Value condition) {
    place.valid = place.valid
                      ? arith::AndIOp::create(b, loc, place.valid, condition)
                      : condition;
  };
  if (rows.limit) {
    std::optional<int64_t> known = getConstantIntValue(rows.limit);
    if (!known || most < 0 || most >= *known)
      require(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                    dims.back(), rows.limit));
  }
  unsigned rowDim = rows.map.getNumDims() - 1;
  auto [staticStrides, unused] = memory.type.getStridesAndOffset();
  int64_t bytes = memory.type.getElementTypeBitWidth() / 8;
  bool linear = true;
  int64_t fixed = 0; ///< bytes from the previous row, static strides
  Value moving;      ///< bytes from the previous row, dynamic strides
  for (unsigned x = 0; x < rows.map.getNumResults(); ++x) {
    AffineExpr e = rows.map.getResult(x);
    if (!rows.inBounds[x]) {
      Value size =
          memory.sizes[x] ? memory.sizes[x] : index(memory.type.getDimSize(x));
      require(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult,
                                    evaluate(e, dims), size));
    }
    std::optional<int64_t> step =
        stepOf(e, rowDim, distance - rows.distance);
    if (!step) {
      linear = false;
    } else if (*step && !memory.strides[x]) {
      fixed += *step * staticStrides[x] * bytes;
    } else if (*step) {
      Value term = mul(memory.strides[x], arith::ConstantIntOp::create(
                                              b, loc, *step * bytes, 64));
      moving = moving ? add(moving, term) : term;
    }
  }
  if (!linear) {
    place.pointer = pointerAt(memory, rows.map, dims);
    if (rows.offset)
      place.pointer = advance(place.pointer, rows.offset);
    return place;
  }
  place.pointer = rows.pointer;
  rows.distance = distance;
  if (moving)
    place.pointer = advance(place.pointer, moving);
  if (fixed)
    place.pointer =
        advance(place.pointer,
                arith::ConstantIntOp::create(b, loc, fixed, 64).getResult());
  rows.pointer = place.pointer;
  return place;
}

/// A load that reads zero where the place is not valid; it then touches the
/// start of the memory, which is always there.
Value ThreadLowering::guardedLoad(const Place &place, Value base, Type type,
                                  int64_t offset) {
  Value pointer = advance(place.pointer, offset);
  unsigned alignment =
      type.isIntOrFloat() ? type.getIntOrFloatBitWidth() / 8 : 16;
  if (!place.valid)
    return LLVM::LoadOp::create(b, loc, type, pointer, alignment);
  pointer = LLVM::SelectOp::create(b, loc, place.valid, pointer, base);
  Value v = LLVM::LoadOp::create(b, loc, type, pointer, alignment);
  Value zero = LLVM::ZeroOp::create(b, loc, type);
  return LLVM::SelectOp::create(b, loc, place.valid, v, zero);
}

/// Two floats rounded to `element` as one 32-bit register, low half first.
Value ThreadLowering::pack(Value low, Value high, Type element) {
  auto pair = [&](Type e) { return VectorType::get({2}, e); };
  Value v = LLVM::PoisonOp::create(b, loc, pair(b.getF32Type()));
  v = LLVM::InsertElementOp::create(b, loc, v, low, i32(0));
  v = LLVM::InsertElementOp::create(b, loc, v, high, i32(1));
  v = LLVM::FPTruncOp::create(b, loc, pair(element), v);
  return LLVM::BitcastOp::create(b, loc, b.getI32Type(), v);
}

//===----------------------------------------------------------------------===//
// Loads and stores
//===----------------------------------------------------------------------===//

LogicalResult ThreadLowering::lowerLoad(tile::LoadOp op) {
  RankedTensorType type = tileOf(op.getResult());
  const Memory &memory = memories.find(op.getSource())->second;
  if (kindOf(op.getResult()) != "lhs")
    return op.emitOpError("expected a layout of registers that loads fill "
                          "(lhs), or a ring from monarch-tile-pipeline");
  int64_t steps = type.getDimSize(1) / 16;
  Registers regs(rowTiles(type) * steps * 4);
  Type quadType = VectorType::get({4}, b.getI32Type());
  Rows rows = rowsAt(op, memory, firstRow(type),
                     toI64(mul(quad, index(op.getInterleave() ? 16 : 4))));
  for (int64_t m = 0; m < rowTiles(type); ++m)
    for (int64_t h = 0; h < 2; ++h) {
      Place place = placeOf(rows, 16 * m + 8 * h);
      if (op.getInterleave()) {
        // 32 channels: this thread's 8 are 8c .. 8c+7, in true order, for the
        // fragments of two steps.
        for (int64_t s = 0; s < steps; s += 2) {
          Value v = guardedLoad(place, memory.pointer, quadType, s * 32);
          for (int64_t r = 0; r < 4; ++r)
            regs[(m * steps + s + r / 2) * 4 + r % 2 * 2 + h] =
                LLVM::ExtractElementOp::create(b, loc, v, i32(r));
        }
        continue;
      }
      for (int64_t s = 0; s < steps; ++s)
        for (int64_t half = 0; half < 2; ++half)
          regs[(m * steps + s) * 4 + half * 2 + h] = guardedLoad(
              place, memory.pointer, b.getI32Type(), s * 32 + half * 16);
    }
  registers[op.getResult()] = regs;
  return success();
}

LogicalResult ThreadLowering::lowerStore(tile::StoreOp op) {
  RankedTensorType type = tileOf(op.getValue());
  const Memory &memory = memories.find(op.getDest())->second;
  Value tile = op.getValue();
  Type element = memory.type.getElementType();
  Value offset;
  if (type.getRank() == 2)
    offset = toI64(mul(quad, index(op.getInterleave() ? 16 : 4)));
  Rows rows = rowsAt(op, memory, firstRow(type), offset);
  int64_t column = op.getColumnOffset();
  auto guarded = [&](Value valid, llvm::function_ref<void()> body) {
    if (!valid)
      return body();
    auto branch = scf::IfOp::create(b, loc, valid, false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    body();
  };
  if (kindOf(op.getValue()) == "rows") {
    Value first =
        arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, quad, index(0));
    int64_t tiles = type.getDimSize(0) / warps / 16;
    for (int64_t m = 0; m < tiles; ++m)
      for (int64_t h = 0; h < 2; ++h) {
        Value v = at(tile, m * 2 + h); // before any branch
        Place place = placeOf(rows, 16 * m + 8 * h);
        Value valid = place.valid
                          ? arith::AndIOp::create(b, loc, place.valid, first)
                          : first;
        guarded(valid,
                [&] { LLVM::StoreOp::create(b, loc, v, place.pointer, 4); });
      }
    return success();
  }
  if (kindOf(op.getValue()) != "acc")
    return op.emitOpError("expected a tile with layout acc or rows");
  int64_t columns = type.getDimSize(1) / 8;
  for (int64_t m = 0; m < rowTiles(type); ++m)
    for (int64_t h = 0; h < 2; ++h) {
      SmallVector<Value> row; // before any branch
      for (int64_t n = 0; n < columns; ++n) {
        size_t first = (m * columns + n) * 4 + h * 2;
        Value low = at(tile, first), high = at(tile, first + 1);
        row.push_back(pack(low, high, element));
      }
      Place place = placeOf(rows, 16 * m + 8 * h);
      auto packed = [&](int64_t n) { return row[n]; };
      guarded(place.valid, [&] {
        if (op.getInterleave()) {
          // 4 n-tiles are 32 channels, of which this thread writes 8 together.
          for (int64_t n = 0; n < columns; n += 4) {
            Value v = LLVM::PoisonOp::create(
                b, loc, VectorType::get({4}, b.getI32Type()));
            for (int64_t t = 0; t < 4; ++t)
              v = LLVM::InsertElementOp::create(b, loc, v, packed(n + t),
                                                i32(t));
            LLVM::StoreOp::create(
                b, loc, v, advance(place.pointer, (n * 8 + column) * 2), 16);
          }
          return;
        }
        for (int64_t n = 0; n < columns; ++n)
          LLVM::StoreOp::create(b, loc, packed(n),
                                advance(place.pointer, (n * 8 + column) * 2),
                                4);
      });
    }
  return success();
}

void ThreadLowering::lowerInBounds(tile::InBoundsOp op) {
  RankedTensorType type = tileOf(op.getResult());
  const Memory &memory = memories.find(op.getSource())->second;
  Registers regs;
  Rows columns = rowsAt(op, memory, mul(quad, index(2)));
  for (int64_t n = 0; n < type.getDimSize(0) / 8; ++n)
    for (int64_t e = 0; e < 2; ++e) {
      Place place = placeOf(columns, 8 * n + e, 8 * n + 7);
      regs.push_back(
          place.valid ? place.valid
                      : arith::ConstantIntOp::create(b, loc, 1, 1).getResult());
    }
  registers[op.getResult()] = regs;
}

//===----------------------------------------------------------------------===//
// Rings
//===----------------------------------------------------------------------===//

void ThreadLowering::lowerAlloc(tile::AllocRingOp op) {
  auto type = cast<tile::RingType>(op.getRing().getType());
  RankedTensorType tile = type.getTile();
  int64_t stageBytes = roundUp(tile.getDimSize(0) * rowBytes(tile), 256);
  rings[op.getRing()] = {add(sharedBase, i32(sharedBytes)), tile, stageBytes};
  sharedBytes += type.getStages() * stageBytes;
}

/// Rows of 16-byte chunks dealt to a power of two of threads, or single words
/// of a rank-1 tile. Invalid rows are filled with zero by a source size of 0.
/// A thread's chunk is the same in all of its rows; rows are `step` apart.
void ThreadLowering::lowerCopy(tile::CopyAsyncOp op) {
  const Ring &ring = rings.find(op.getRing())->second;
  const Memory &memory = memories.find(op.getSource())->second;
  bool flat = ring.tile.getRank() == 1;
  int64_t bytes = rowBytes(ring.tile), piece = flat ? 4 : 16;
  int64_t pieces = bytes / piece, count = ring.tile.getDimSize(0);
  int64_t threads = llvm::bit_floor(uint64_t(warps * 32));
  int64_t step = threads / pieces;

  auto enabled = scf::IfOp::create(b, loc, mapping.lookup(op.getEnable()),
                                   /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(enabled.thenBlock());
  if (threads != warps * 32) {
    Value some = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult,
                                       thread, index(threads));
    auto branch = scf::IfOp::create(b, loc, some, /*withElseRegion=*/false);
    b.setInsertionPointToStart(branch.thenBlock());
  }
  Value row =
      arith::ShRUIOp::create(b, loc, thread, index(llvm::Log2_64(pieces)));
  Value chunk = arith::AndIOp::create(b, loc, thread, index(pieces - 1));
  Rows rows = rowsAt(op, memory, row, toI64(mul(chunk, index(piece))));
  Value l7 = arith::AndIOp::create(b, loc, row, index(7));
  Value swizzled = flat ? chunk : arith::XOrIOp::create(b, loc, chunk, l7);
  Value stage = add(ring.base, mul(toI32(mapping.lookup(op.getStage())),
                                   i32(ring.stageBytes)));
  Value dest = add(
      stage, toI32(add(mul(row, index(bytes)), mul(swizzled, index(piece)))));
  for (int64_t at = 0; at < count; at += step) {
    auto copy = [&] {
      Place place = placeOf(rows, at, at + step - 1);
      Value source = place.pointer;
      Value to = dest;
      // step and the thread's first row have no bit in common, so that
      // (row + at) % 8 is l7 ^ (at % 8).
      if (!flat && at % 8)
        to = arith::XOrIOp::create(b, loc, to, i32(at % 8 * 16));
      if (at)
        to = add(to, i32(at * bytes));
      Value size;
      if (place.valid) {
        source =
            LLVM::SelectOp::create(b, loc, place.valid, source, memory.pointer);
        size = arith::SelectOp::create(b, loc, place.valid, i32(piece), i32(0));
      }
      NVVM::CpAsyncOp::create(
          b, loc, sharedPointer(to), source, b.getI32IntegerAttr(piece),
          NVVM::LoadCacheModifierKindAttr::get(
              b.getContext(), flat ? NVVM::LoadCacheModifierKind::CA
                                   : NVVM::LoadCacheModifierKind::CG),
          size);
    };
    if (at + step <= count) {
      copy();
      continue;
    }
    Value inside = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, row,
                                         index(count - at));
    auto branch = scf::IfOp::create(b, loc, inside, false);
    OpBuilder::InsertionGuard inner(b);
    b.setInsertionPointToStart(branch.thenBlock());
    copy();
  }
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

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
  RankedTensorType type = tileOf(op.getResult()), rhsType = tileOf(op.getRhs());
  if (kindOf(op.getLhs()) != "lhs" || kindOf(op.getRhs()) != "shared" ||
      op.getTransposeLhs())
    return op.emitOpError("expected a lhs in registers and a rhs in shared "
                          "memory");
  Type element = rhsType.getElementType();
  Registers lhs = all(op.getLhs());
  Value base = at(op.getRhs(), 0);
  int64_t depth = tileOf(op.getLhs()).getDimSize(1);
  int64_t steps = ceilDiv(depth, 16), mTiles = rowTiles(type);
  int64_t nTiles = type.getDimSize(1) / 8, bytes = rowBytes(rhsType);
  Registers acc;
  if (op.getAcc()) {
    acc = all(op.getAcc());
  } else {
    Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
    acc.assign(mTiles * nTiles * 4, zero);
  }
  auto accumulate = [&](int64_t step, int64_t n, ArrayRef<Value> rhs) {
    for (int64_t m = 0; m < mTiles; ++m)
      multiply(MutableArrayRef(acc).slice((m * nTiles + n) * 4, 4),
               ArrayRef(lhs).slice((m * steps + step) * 4, 2 * rhs.size()), rhs,
               element);
  };
  // Lane's row inside an 8-row matrix is l7. A row's chunk q is at q ^ (row %
  // 8) and matrices start at multiples of 8 rows and of 16 bytes times a power
  // of two, so that moving along a row is one xor of the lane's first address.
  Value l7 = arith::AndIOp::create(b, loc, lane, index(7));
  Value which = arith::ShRUIOp::create(b, loc, lane, index(3));
  Value low = arith::AndIOp::create(b, loc, which, index(1));
  Value high = arith::ShRUIOp::create(b, loc, lane, index(4));
  auto start = [&](Value row, Value chunk) {
    Value swizzled = arith::XOrIOp::create(b, loc, chunk, l7);
    return add(base,
               toI32(add(mul(row, index(bytes)), mul(swizzled, index(16)))));
  };
  auto move = [&](Value address, int64_t chunks, int64_t rows) {
    if (chunks)
      address = arith::XOrIOp::create(b, loc, address, i32(chunks * 16));
    return rows ? add(address, i32(rows * bytes)) : address;
  };
  if (op.getTransposeRhs()) {
    // rhs rows are columns of the result: matrices of 8 rows x 8 channels.
    Value pairs = start(add(l7, mul(high, index(8))), low);
    Value single = start(l7, low);
    for (int64_t s = 0; s < steps; ++s)
      for (int64_t n = 0; n < nTiles; n += 2) {
        bool pair = n + 1 < nTiles;
        Registers r = matrices(move(pair ? pairs : single, 2 * s, 8 * n),
                               pair ? 4 : 2, false);
        accumulate(s, n, {r[0], r[1]});
        if (pair)
          accumulate(s, n + 1, {r[2], r[3]});
      }
  } else {
    int64_t first = op.getRhsOffset() / 8;
    Value pairs = start(add(l7, mul(low, index(8))), high);
    Value four = start(l7, which);
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

//===----------------------------------------------------------------------===//
// Elementwise, reductions, layouts
//===----------------------------------------------------------------------===//

/// One row's value: two running values, so that few registers are live. A
/// product that only feeds a sum is never formed, but added by fma.
Value ThreadLowering::reduceRow(tile::ReduceOp op, size_t rowIndex) {
  RankedTensorType type = tileOf(op.getSource());
  bool isMax = op.getKind() == "max";
  arith::MulFOp product;
  if (!isMax && op.getSource().hasOneUse())
    product = op.getSource().getDefiningOp<arith::MulFOp>();
  int64_t nTiles = type.getDimSize(1) / 8;
  int64_t m = rowIndex / 2, h = rowIndex % 2;
  auto combine = [&](Value x, Value y) -> Value {
    if (isMax)
      return arith::MaximumFOp::create(b, loc, x, y);
    return arith::AddFOp::create(b, loc, x, y);
  };
  Value running[2];
  for (int64_t n = 0; n < nTiles; ++n)
    for (int64_t e = 0; e < 2; ++e) {
      size_t i = (m * nTiles + n) * 4 + h * 2 + e;
      if (product && running[e]) {
        Value x = at(product.getLhs(), i), y = at(product.getRhs(), i);
        running[e] = LLVM::FMAOp::create(b, loc, x, y, running[e]);
      } else {
        Value x = at(op.getSource(), i);
        running[e] = running[e] ? combine(running[e], x) : x;
      }
    }
  Value v = combine(running[0], running[1]);
  for (int64_t distance : {1, 2}) // the four threads of the row
    v = combine(v, NVVM::ShflOp::create(b, loc, b.getF32Type(), i32(-1), v,
                                        i32(distance), i32(31),
                                        NVVM::ShflKind::bfly, UnitAttr()));
  return v;
}

Value ThreadLowering::elementwise(Operation *op, size_t i) {
  Type f32 = b.getF32Type();
  Type element = tileOf(op->getResult(0)).getElementType();
  if (auto truncate = dyn_cast<arith::TruncFOp>(op)) {
    // Kept as packed pairs [m][n][h], the form that fragments need.
    Value low = at(truncate.getIn(), 2 * i);
    Value high = at(truncate.getIn(), 2 * i + 1);
    return pack(low, high, element);
  }
  SmallVector<Value> operands;
  for (Value v : op->getOperands())
    operands.push_back(at(v, i));
  if (isa<math::Exp2Op>(op))
    return assembly("ex2.approx.ftz.f32 $0, $1;", "=f,f", f32, operands);
  if (isa<math::Log2Op>(op))
    return assembly("lg2.approx.ftz.f32 $0, $1;", "=f,f", f32, operands);
  if (isa<arith::DivFOp>(op)) {
    Value inverse =
        assembly("rcp.approx.ftz.f32 $0, $1;", "=f,f", f32, {operands[1]});
    return arith::MulFOp::create(b, loc, operands[0], inverse);
  }
  OperationState state(loc, op->getName(), operands, {element}, op->getAttrs());
  state.propertiesAttr = op->getPropertiesAsAttribute();
  return b.create(state)->getResult(0);
}

Value ThreadLowering::at(Value tile, size_t i) {
  Registers &known = registers[tile];
  if (i < known.size() && known[i])
    return known[i];
  Operation *op = tile.getDefiningOp();
  Value v;
  if (auto broadcast = dyn_cast<tile::BroadcastOp>(op)) {
    // Register i = (m * nTiles + n) * 4 + e holds row 2m + e/2, column 2n +
    // e%2.
    int64_t nTiles = tileOf(tile).getDimSize(1) / 8;
    size_t e = i % 4, n = i / 4 % nTiles, m = i / 4 / nTiles;
    v = at(broadcast.getSource(),
           broadcast.getAxis() == 1 ? m * 2 + e / 2 : n * 2 + e % 2);
  } else if (auto reduce = dyn_cast<tile::ReduceOp>(op)) {
    v = reduceRow(reduce, i);
  } else if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    // Not kept: it may be wanted first inside a branch, and costs nothing.
    return arith::ConstantOp::create(
        b, loc,
        cast<TypedAttr>(cast<DenseElementsAttr>(constant.getValue())
                            .getSplatValue<Attribute>()));
  } else {
    v = elementwise(op, i);
  }
  Registers &slots = registers[tile]; // the map may have grown
  if (slots.size() <= i)
    slots.resize(i + 1);
  return slots[i] = v;
}

Registers ThreadLowering::all(Value tile) {
  // Fragments may have empty slots, behind a last step of 8 columns.
  if (kindOf(tile) == "lhs")
    return registers[tile];
  size_t n = registerCount(tileOf(tile));
  Registers regs;
  for (size_t i = 0; i < n; ++i)
    regs.push_back(at(tile, i));
  return regs;
}

void ThreadLowering::formForRegion(Region &region) {
  region.walk([&](Operation *op) {
    for (Value v : op->getOperands())
      if (isa<RankedTensorType>(v.getType()) &&
          !region.isAncestor(v.getParentRegion()) &&
          !v.getDefiningOp<arith::ConstantOp>())
        (void)all(v);
  });
}

LogicalResult ThreadLowering::lowerConvert(tile::ConvertLayoutOp op) {
  RankedTensorType type = tileOf(op.getResult());
  StringRef have = kindOf(op.getSource()), want = kindOf(op.getResult());
  Registers regs;
  if (have == "acc" && want == "lhs") {
    // Packed pairs [m][n][h] become fragments [m][step][r], r = 2 (n % 2) + h;
    // a last step of 8 columns has r < 2 only.
    int64_t nTiles = type.getDimSize(1) / 8;
    for (int64_t m = 0; m < rowTiles(type); ++m)
      for (int64_t n = 0; n < roundUp(nTiles, 2); ++n)
        for (int64_t h = 0; h < 2; ++h)
          regs.push_back(n < nTiles
                             ? at(op.getSource(), (m * nTiles + n) * 2 + h)
                             : Value());
  } else if (have == "shared" && want == "columns") {
    Type pair = VectorType::get({2}, b.getF32Type());
    for (int64_t n = 0; n < type.getDimSize(0) / 8; ++n) {
      Value address = add(at(op.getSource(), 0),
                          toI32(add(mul(quad, index(8)), index(n * 32))));
      Value v = LLVM::LoadOp::create(b, loc, pair, sharedPointer(address), 8);
      for (int64_t e = 0; e < 2; ++e)
        regs.push_back(LLVM::ExtractElementOp::create(b, loc, v, i32(e)));
    }
  } else {
    return op.emitOpError("has no lowering from ") << have << " to " << want;
  }
  registers[op.getResult()] = regs;
  return success();
}

int64_t ThreadLowering::registerCount(RankedTensorType type) {
  StringRef kind = tile::layoutOf(type).getKind();
  if (kind == "shared")
    return 1;
  if (kind == "rows")
    return type.getDimSize(0) / warps / 8;
  if (kind == "columns")
    return type.getDimSize(0) / 4;
  int64_t columns = type.getDimSize(1);
  if (kind == "lhs")
    return rowTiles(type) * ceilDiv(columns, 16) * 4;
  bool packed = type.getElementType().isBF16() || type.getElementType().isF16();
  return rowTiles(type) * columns / 8 * (packed ? 2 : 4);
}

//===----------------------------------------------------------------------===//
// Structure
//===----------------------------------------------------------------------===//

LogicalResult ThreadLowering::lowerFor(scf::ForOp op) {
  formForRegion(op.getRegion());
  SmallVector<Value> inits;
  for (Value v : op.getInitArgs()) {
    if (isa<RankedTensorType>(v.getType()))
      llvm::append_range(inits, all(v));
    else
      inits.push_back(mapping.lookupOrDefault(v));
  }
  auto loop =
      scf::ForOp::create(b, loc, mapping.lookupOrDefault(op.getLowerBound()),
                         mapping.lookupOrDefault(op.getUpperBound()),
                         mapping.lookupOrDefault(op.getStep()), inits);
  auto bind = [&](ValueRange old, ValueRange values) {
    size_t at = 0;
    for (Value v : old) {
      if (auto type = dyn_cast<RankedTensorType>(v.getType())) {
        size_t n = registerCount(type);
        auto part = values.slice(at, n);
        registers[v] = Registers(part.begin(), part.end());
        at += n;
      } else {
        mapping.map(v, values[at++]);
      }
    }
  };
  mapping.map(op.getInductionVar(), loop.getInductionVar());
  bind(op.getRegionIterArgs(), loop.getRegionIterArgs());
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    if (failed(lowerBlock(op.getBody())))
      return failure();
    SmallVector<Value> yielded;
    for (Value v : op.getBody()->getTerminator()->getOperands()) {
      if (isa<RankedTensorType>(v.getType()))
        llvm::append_range(yielded, all(v));
      else
        yielded.push_back(mapping.lookupOrDefault(v));
    }
    if (!inits.empty())
      scf::YieldOp::create(b, loc, yielded);
  }
  bind(op.getResults(), loop.getResults());
  return success();
}

/// Programs become blocks: x counts all dimensions but the first, last fastest;
/// y is the (batch, head).
LogicalResult ThreadLowering::lowerForall(scf::ForallOp op) {
  Type i32Type = b.getI32Type();
  auto special = [&](Value v) -> Value {
    return arith::IndexCastOp::create(b, loc, b.getIndexType(), v);
  };
  Value rest = special(NVVM::BlockIdXOp::create(b, loc, i32Type));
  Value y = special(NVVM::BlockIdYOp::create(b, loc, i32Type));
  SmallVector<OpFoldResult> bounds = op.getMixedUpperBound();
  mapping.map(op.getInductionVar(0), y);
  for (size_t x = bounds.size(); x-- > 1;) {
    Value extent = index(*getConstantIntValue(bounds[x]));
    if (x == 1) {
      mapping.map(op.getInductionVar(1), rest);
      break;
    }
    mapping.map(op.getInductionVar(x),
                arith::RemUIOp::create(b, loc, rest, extent));
    rest = arith::DivUIOp::create(b, loc, rest, extent);
  }
  return lowerBlock(op.getBody());
}

LogicalResult ThreadLowering::lowerBlock(Block *block) {
  for (Operation &op : block->without_terminator())
    if (failed(lower(&op)))
      return failure();
  return success();
}

LogicalResult ThreadLowering::lower(Operation *op) {
  loc = op->getLoc();
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<tile::LoadOp>([&](auto o) { return lowerLoad(o); })
      .Case<tile::StoreOp>([&](auto o) { return lowerStore(o); })
      .Case<tile::InBoundsOp>(
          [&](auto o) { return lowerInBounds(o), success(); })
      .Case<tile::DotOp>([&](auto o) { return lowerDot(o); })
      .Case<tile::ReduceOp, tile::BroadcastOp>([&](auto) { return success(); })
      .Case<tile::ConvertLayoutOp>([&](auto o) { return lowerConvert(o); })
      .Case<tile::AllocRingOp>([&](auto o) { return lowerAlloc(o), success(); })
      .Case<tile::CopyAsyncOp>([&](auto o) { return lowerCopy(o), success(); })
      .Case<tile::CommitOp>([&](auto) {
        NVVM::CpAsyncCommitGroupOp::create(b, loc);
        return success();
      })
      .Case<tile::WaitOp>([&](auto o) {
        NVVM::CpAsyncWaitGroupOp::create(b, loc, o.getPending());
        NVVM::Barrier0Op::create(b, loc);
        return success();
      })
      .Case<tile::ReadOp>([&](auto o) {
        const Ring &ring = rings.find(o.getRing())->second;
        registers[o.getResult()] = {
            add(ring.base, mul(toI32(mapping.lookup(o.getStage())),
                               i32(ring.stageBytes)))};
        return success();
      })
      .Case<scf::ForOp>([&](auto o) { return lowerFor(o); })
      .Case<scf::ForallOp>([&](auto o) { return lowerForall(o); })
      .Case<affine::AffineApplyOp>([&](auto o) {
        SmallVector<Value> dims;
        for (Value v : o.getMapOperands())
          dims.push_back(mapping.lookupOrDefault(v));
        AffineMap map = o.getAffineMap();
        AffineExpr e = map.getResult(0);
        for (unsigned s = 0; s < map.getNumSymbols(); ++s)
          e = e.replace(getAffineSymbolExpr(s, b.getContext()),
                        getAffineDimExpr(map.getNumDims() + s, b.getContext()));
        mapping.map(o.getResult(), evaluate(e, dims));
        return success();
      })
      .Default([&](Operation *o) -> LogicalResult {
        if (o->getNumResults() == 1 &&
            isa<RankedTensorType>(o->getResult(0).getType())) {
          // Formed when asked for.
          auto constant = dyn_cast<arith::ConstantOp>(o);
          if (constant && !cast<ElementsAttr>(constant.getValue()).isSplat())
            return o->emitOpError("expected a splat constant");
          if (constant || OpTrait::hasElementwiseMappableTraits(o))
            return success();
        } else if (isa<arith::ArithDialect>(o->getDialect())) {
          b.clone(*o, mapping);
          return success();
        }
        return o->emitOpError("is not an op of the mapped level");
      });
}

LogicalResult ThreadLowering::run() {
  MLIRContext *context = b.getContext();
  auto global = LLVM::LLVMPointerType::get(context, 1);
  // Arguments: for each memref its pointer, dynamic sizes and dynamic strides.
  SmallVector<Type> types;
  for (Type type : from.getArgumentTypes()) {
    auto memref = dyn_cast<MemRefType>(type);
    if (!memref) {
      types.push_back(b.getI32Type());
      continue;
    }
    types.push_back(global);
    auto [strides, offset] = memref.getStridesAndOffset();
    // The first size, of (batch, head) groups or batch, is never looked at.
    for (int64_t size : memref.getShape().drop_front())
      if (ShapedType::isDynamic(size))
        types.push_back(b.getI32Type());
    for (int64_t stride : strides)
      if (ShapedType::isDynamic(stride))
        types.push_back(b.getI64Type());
  }
  auto kernel = LLVM::LLVMFuncOp::create(
      b, loc, from.getName(),
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), types));
  kernel->setAttr("nvvm.kernel", b.getUnitAttr());
  kernel->setAttr("nvvm.reqntid",
                  b.getDenseI32ArrayAttr({int32_t(32 * warps), 1, 1}));
  // Without it ptxas may spill to reach an occupancy that nobody asked for.
  kernel->setAttr("nvvm.minctasm", b.getI32IntegerAttr(1));
  kernel->setAttr(tile::scheduleAttrName, scheduleOf(from));
  b.setInsertionPointToStart(kernel.addEntryBlock(b));
  auto next = kernel.getArguments().begin();
  auto asIndex = [&](Value v) -> Value {
    return arith::IndexCastOp::create(b, loc, b.getIndexType(), v);
  };
  for (BlockArgument argument : from.getArguments()) {
    auto memref = dyn_cast<MemRefType>(argument.getType());
    if (!memref) {
      mapping.map(argument, asIndex(*next++));
      continue;
    }
    Memory memory;
    memory.type = memref;
    memory.pointer = *next++;
    auto [strides, offset] = memref.getStridesAndOffset();
    for (auto [x, size] : llvm::enumerate(memref.getShape()))
      memory.sizes.push_back(x && ShapedType::isDynamic(size) ? asIndex(*next++)
                                                              : Value());
    for (int64_t stride : strides)
      memory.strides.push_back(ShapedType::isDynamic(stride) ? *next++
                                                             : Value());
    memories[argument] = memory;
  }
  auto shared = LLVM::LLVMPointerType::get(context, 3);
  Value base = LLVM::AddressOfOp::create(b, loc, shared, "monarch_shared");
  sharedBase = LLVM::PtrToIntOp::create(b, loc, b.getI32Type(), base);
  thread = asIndex(NVVM::ThreadIdXOp::create(b, loc, b.getI32Type()));
  lane = arith::AndIOp::create(b, loc, thread, index(31));
  warp = arith::ShRUIOp::create(b, loc, thread, index(5));
  group = arith::ShRUIOp::create(b, loc, lane, index(2));
  quad = arith::AndIOp::create(b, loc, lane, index(3));

  if (failed(lowerBlock(&from.getBody().front())))
    return failure();
  LLVM::ReturnOp::create(b, loc, ValueRange());
  kernel->setAttr("monarch.shared_bytes", b.getI64IntegerAttr(sharedBytes));
  int64_t programs = 1;
  from.walk([&](scf::ForallOp forall) {
    for (OpFoldResult bound :
         ArrayRef(forall.getMixedUpperBound()).drop_front())
      programs *= getConstantIntValue(bound).value_or(1);
  });
  kernel->setAttr("monarch.programs", b.getI64IntegerAttr(programs));
  return success();
}

struct ConvertTileToNvvm
    : monarch::impl::ConvertMonarchTileToNvvmBase<ConvertTileToNvvm> {
  void runOnOperation() override {
    SmallVector<func::FuncOp> kernels;
    for (auto f : getOperation().getOps<func::FuncOp>())
      if (scheduleOf(f))
        kernels.push_back(f);
    OpBuilder b(&getContext());
    if (!kernels.empty()) {
      // Dynamic shared memory: an external array whose size the launch gives.
      b.setInsertionPointToStart(getOperation().getBody());
      LLVM::GlobalOp::create(b, getOperation().getLoc(),
                             LLVM::LLVMArrayType::get(b.getI8Type(), 0),
                             /*isConstant=*/false, LLVM::Linkage::External,
                             "monarch_shared", Attribute(),
                             /*alignment=*/1024, /*addrSpace=*/3);
    }
    for (func::FuncOp kernel : kernels) {
      if (scheduleOf(kernel).getKind() != "mma_sync") {
        kernel.emitError("expected a schedule of kind mma_sync, got ")
            << scheduleOf(kernel).getKind();
        return signalPassFailure();
      }
      int64_t count = 0;
      if (failed(ThreadLowering(kernel, scheduleOf(kernel), count).run()))
        return signalPassFailure();
      products += count;
      kernel.erase();
    }
    setLevel(getOperation(), "nvvm");
  }
};
} // namespace
