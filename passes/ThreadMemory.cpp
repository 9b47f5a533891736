//===- ThreadMemory.cpp - addresses, loads, stores and rings of a thread --===//

#include "ThreadLowering.h"

using namespace mlir;
using namespace monarch;

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

/// The indices that `map` gives for `dims`, of where the memory really is.
SmallVector<Value> ThreadLowering::indicesAt(const Memory &memory,
                                             AffineMap map,
                                             ArrayRef<Value> dims) {
  SmallVector<Value> indices;
  for (AffineExpr e : map.getResults())
    indices.push_back(evaluate(e, dims));
  if (memory.exchanged)
    indices[2] = settledPair(memory, indices[1], indices[2]);
  return indices;
}

/// The address that `map` gives for `dims`.
Value ThreadLowering::pointerAt(const Memory &memory, AffineMap map,
                                ArrayRef<Value> dims) {
  auto [staticStrides, unused] = memory.type.getStridesAndOffset();
  Value offset;
  for (auto [x, at] : llvm::enumerate(indicesAt(memory, map, dims))) {
    Value stride =
        memory.strides[x]
            ? memory.strides[x]
            : arith::ConstantIntOp::create(b, loc, staticStrides[x], 64)
                  .getResult();
    Value term = mul(toI64(at), stride);
    offset = offset ? add(offset, term) : term;
  }
  int64_t bytes = memory.type.getElementTypeBitWidth() / 8;
  return advance(memory.pointer,
                 mul(offset, arith::ConstantIntOp::create(b, loc, bytes, 64)));
}

ThreadLowering::Rows ThreadLowering::makeRows(const Memory &memory,
                                              ValueRange indices, Value limit,
                                              int64_t period, AffineMap map,
                                              ArrayRef<bool> inBounds,
                                              Value first, Value offset) {
  Rows rows;
  rows.offset = offset;
  rows.memory = &memory;
  for (Value v : indices)
    rows.operands.push_back(mapping.lookupOrDefault(v));
  rows.limit = limit ? mapping.lookupOrDefault(limit) : Value();
  rows.period = period;
  rows.map = map;
  rows.inBounds = inBounds;
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
/// strides the address alone. `most` is the largest row that any thread has
/// here, -1 when unknown: a constant limit past it needs no check.
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
    Value row = dims.back();
    if (rows.period)
      row = arith::RemUIOp::create(b, loc, row, index(rows.period));
    if (rows.period || !known || most < 0 || most >= *known)
      require(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, row,
                                    rows.limit));
  }
  unsigned rowDim = rows.map.getNumDims() - 1;
  auto [staticStrides, unused] = memory.type.getStridesAndOffset();
  int64_t bytes = memory.type.getElementTypeBitWidth() / 8;
  bool linear = true;
  int64_t fixed = 0; ///< bytes from the previous row, static strides
  Value moving;      ///< bytes from the previous row, dynamic strides
  for (unsigned x = 0; x < rows.map.getNumResults(); ++x) {
    AffineExpr e = rows.map.getResult(x);
    std::optional<int64_t> step = stepOf(e, rowDim, distance - rows.distance);
    if (!rows.inBounds[x]) {
      std::optional<int64_t> ahead = stepOf(e, rowDim, distance);
      if (!memory.sizes[x] && ahead) {
        // One number is compared with many constants: many numbers with one
        // constant would each take a register.
        SmallVector<Value> first = rows.operands;
        first.push_back(rows.first);
        require(arith::CmpIOp::create(
            b, loc, arith::CmpIPredicate::slt, evaluate(e, first),
            index(memory.type.getDimSize(x) - *ahead)));
      } else {
        Value size = memory.sizes[x] ? memory.sizes[x]
                                     : index(memory.type.getDimSize(x));
        require(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult,
                                      evaluate(e, dims), size));
      }
    }
    if (!step) {
      linear = false;
    } else if (*step && !memory.strides[x]) {
      fixed += *step * staticStrides[x] * bytes;
    } else if (*step) {
      Value term = mul(memory.strides[x],
                       arith::ConstantIntOp::create(b, loc, *step * bytes, 64));
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
  Type element = getElementTypeOrSelf(type);
  auto vector = dyn_cast<VectorType>(type);
  unsigned alignment = element.getIntOrFloatBitWidth() / 8 *
                       (vector ? vector.getNumElements() : 1);
  if (!place.valid)
    return LLVM::LoadOp::create(b, loc, type, pointer, alignment);
  pointer = LLVM::SelectOp::create(b, loc, place.valid, pointer, base);
  Value v = LLVM::LoadOp::create(b, loc, type, pointer, alignment);
  Value zero = LLVM::ZeroOp::create(b, loc, type);
  return LLVM::SelectOp::create(b, loc, place.valid, v, zero);
}

/// Two floats rounded to `element` as one 32-bit register, low half first.
Value ThreadLowering::pack(Value low, Value high, Type element) {
  Value v = LLVM::FPTruncOp::create(b, loc, VectorType::get({2}, element),
                                    vectorOf({low, high}));
  return LLVM::BitcastOp::create(b, loc, b.getI32Type(), v);
}

/// Registers of one type as a vector.
Value ThreadLowering::vectorOf(ArrayRef<Value> elements) {
  Value v = LLVM::PoisonOp::create(
      b, loc,
      VectorType::get({static_cast<int64_t>(elements.size())},
                      elements.front().getType()));
  for (auto [i, element] : llvm::enumerate(elements))
    v = LLVM::InsertElementOp::create(b, loc, v, element, i32(i));
  return v;
}

//===----------------------------------------------------------------------===//
// Loads and stores
//===----------------------------------------------------------------------===//

LogicalResult ThreadLowering::lowerLoad(tile::LoadOp op) {
  RankedTensorType type = tileOf(op.getResult());
  const Memory &memory = memories.find(op.getSource())->second;
  if (kindOf(op.getResult()) == "swizzled")
    return loadSwizzled(op);
  if (op.getInto())
    return op.emitOpError("expected layout swizzled for into");
  if (kindOf(op.getResult()) == "acc" || kindOf(op.getResult()) == "rows")
    return loadAccumulators(op);
  if (kindOf(op.getResult()) != "lhs")
    return op.emitOpError("expected a layout of registers that loads fill "
                          "(lhs, acc, rows), or a ring from "
                          "monarch-tile-pipeline");
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

/// Rows of f32 that a program has stored as they were in its registers.
LogicalResult ThreadLowering::loadAccumulators(tile::LoadOp op) {
  RankedTensorType type = tileOf(op.getResult());
  const Memory &memory = memories.find(op.getSource())->second;
  if (!type.getElementType().isF32() || !memory.type.getElementType().isF32() ||
      op.getInterleave())
    return op.emitOpError("expected f32 for layouts acc and rows, got ")
           << memory.type;
  bool flat = type.getRank() == 1;
  int64_t columns = flat ? 1 : type.getDimSize(1) / 8;
  int64_t tiles = rowTiles(type), each = flat ? 1 : 2;
  Registers regs(tiles * columns * 2 * each);
  Type pair = VectorType::get({2}, b.getF32Type());
  Rows rows = rowsAt(op, memory, firstRow(type),
                     flat ? Value() : toI64(mul(quad, index(8))));
  for (int64_t m = 0; m < tiles; ++m)
    for (int64_t h = 0; h < 2; ++h) {
      Place place = placeOf(rows, 16 * m + 8 * h);
      if (flat) {
        regs[m * 2 + h] = guardedLoad(place, memory.pointer, b.getF32Type());
        continue;
      }
      for (int64_t n = 0; n < columns; ++n) {
        Value v = guardedLoad(place, memory.pointer, pair, n * 32);
        for (int64_t e = 0; e < 2; ++e)
          regs[(m * columns + n) * 4 + h * 2 + e] =
              LLVM::ExtractElementOp::create(b, loc, v, i32(e));
      }
    }
  registers[op.getResult()] = regs;
  return success();
}

LogicalResult ThreadLowering::lowerStore(tile::StoreOp op) {
  RankedTensorType type = tileOf(op.getValue());
  const Memory &memory = memories.find(op.getDest())->second;
  Value tile = op.getValue();
  Type element = memory.type.getElementType();
  // Addresses of outputs are made here, or they would wait in registers while
  // wgmma wants all of them.
  ScheduleAttr schedule = scheduleOf(from);
  bool late = schedule && schedule.getKind() == "wgmma" &&
              schedule.getCluster() == 1 && !isFactor(op.getDest()) &&
              type.getRank() == 2;
  NumbersHere here(*this, late);
  llvm::SaveAndRestore<IRMapping> scalars(mapping, IRMapping(mapping));
  if (late && !schedule.getRing()) // whose programs stay
    readProgramAnew(op);
  Value offset;
  bool isF32 = element.isF32();
  if (type.getRank() == 2)
    offset = toI64(mul(quad, index(op.getInterleave() ? 16 : isF32 ? 8 : 4)));
  Rows rows = rowsAt(op, memory, firstRow(type), offset);
  int64_t column = op.getColumnOffset();
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
  if (kindOf(op.getValue()) != "acc" || (isF32 && op.getInterleave()))
    return op.emitOpError("expected a tile with layout acc or rows, and "
                          "interleaved channels of 16 bits");
  int64_t columns = type.getDimSize(1) / 8;
  for (int64_t m = 0; m < rowTiles(type); ++m)
    for (int64_t h = 0; h < 2; ++h) {
      SmallVector<Value> row; // before any branch
      for (int64_t n = 0; n < columns; ++n) {
        size_t first = (m * columns + n) * 4 + h * 2;
        Value low = at(tile, first), high = at(tile, first + 1);
        row.push_back(isF32 ? vectorOf({low, high}) : pack(low, high, element));
      }
      Place place = placeOf(rows, 16 * m + 8 * h);
      auto packed = [&](int64_t n) { return row[n]; };
      guarded(place.valid, [&] {
        if (op.getInterleave()) {
          // 4 n-tiles are 32 channels, of which this thread writes 8 together.
          for (int64_t n = 0; n < columns; n += 4) {
            Value v = vectorOf(ArrayRef(row).slice(n, 4));
            LLVM::StoreOp::create(
                b, loc, v, advance(place.pointer, (n * 8 + column) * 2), 16);
          }
          return;
        }
        for (int64_t n = 0; n < columns; ++n)
          LLVM::StoreOp::create(
              b, loc, packed(n),
              advance(place.pointer, (n * 8 + column) * (isF32 ? 4 : 2)),
              isF32 ? 8 : 4);
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

LogicalResult ThreadLowering::lowerAlloc(tile::AllocRingOp op) {
  auto type = cast<tile::RingType>(op.getRing().getType());
  RankedTensorType tile = type.getTile();
  if (tile::layoutOf(tile).getKind() == "swizzled")
    return lowerSwizzledAlloc(op);
  Ring ring;
  ring.tile = tile;
  ring.stages = type.getStages();
  ring.stageBytes = roundUp(tile.getDimSize(0) * rowBytes(tile), 256);
  if (failed(addBarriers(ring, op)))
    return failure();
  sharedBytes = roundUp(sharedBytes, 256);
  ring.base = add(sharedBase, i32(sharedBytes));
  sharedBytes += ring.stages * ring.stageBytes;
  rings[op.getRing()] = ring;
  return success();
}

/// Rows of 16-byte chunks dealt to a power of two of threads, or single words
/// of a rank-1 tile. Invalid rows are filled with zero by a source size of 0.
/// A thread's chunk is the same in all of its rows; rows are `step` apart.
void ThreadLowering::lowerCopy(tile::CopyAsyncOp op) {
  const Ring &ring = rings.find(op.getRing())->second;
  const Memory &memory = memories.find(op.getSource())->second;
  bool flat = ring.tile.getRank() == 1;
  bool halves = tile::layoutOf(ring.tile).getKind() == "swizzled";
  int64_t piece = flat ? 4 : 16, pieces = rowBytes(ring.tile) / piece;
  int64_t bytes = halves ? 128 : rowBytes(ring.tile);
  int64_t count = ring.tile.getDimSize(0);
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
  Value place = chunk; // in its row, or its half's
  if (halves)
    place = arith::AndIOp::create(b, loc, chunk, index(7));
  Value swizzled = flat ? place : arith::XOrIOp::create(b, loc, place, l7);
  Value stage = add(ring.base, mul(toI32(mapping.lookup(op.getStage())),
                                   i32(ring.stageBytes)));
  Value dest = add(
      stage, toI32(add(mul(row, index(bytes)), mul(swizzled, index(piece)))));
  if (halves)
    dest = add(dest, toI32(mul(arith::ShRUIOp::create(b, loc, chunk, index(3)),
                               index(ring.halfBytes))));
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
