//===- ThreadBulk.cpp - rings that bulk copies fill, and copies out -------===//
//
// PTX ISA: "mbarrier", "cp.async.bulk", "cp.async.bulk.tensor", "Async proxy".
//
//===----------------------------------------------------------------------===//

#include "ThreadLowering.h"

using namespace mlir;
using namespace monarch;

//===----------------------------------------------------------------------===//
// Rings with barriers
//===----------------------------------------------------------------------===//

Value ThreadLowering::allocBarriers(int64_t count) {
  if (nextBarrier + 8 * count > barrierEnd) {
    nextBarrier = roundUp(sharedBytes, 8);
    barrierEnd = nextBarrier + std::max<int64_t>(256, 8 * count);
    sharedBytes = barrierEnd;
  }
  Value first = add(sharedBase, i32(nextBarrier));
  nextBarrier += 8 * count;
  return first;
}

LogicalResult ThreadLowering::lowerSwizzledAlloc(tile::AllocRingOp op) {
  auto type = cast<tile::RingType>(op.getRing().getType());
  RankedTensorType tile = type.getTile();
  if (tile.getRank() != 2 || tile.getElementTypeBitWidth() != 16 ||
      !tile.getDimSize(0) || !tile.getDimSize(1) || tile.getDimSize(1) % 64 ||
      type.getStages() < 1)
    return op.emitOpError("expected a swizzled tile of 16-bit elements and a "
                          "multiple of 64 channels, got ")
           << type;
  Ring ring;
  ring.tile = type.getTile();
  ring.stages = type.getStages();
  ring.halfBytes = rowsTogether(ring.tile) * 128;
  ring.stageBytes = ring.tile.getDimSize(1) / 64 * paddedRows(ring.tile) * 128;
  threadsFillSwizzled |=
      llvm::any_of(op.getRing().getUsers(), llvm::IsaPred<tile::CopyAsyncOp>);
  sharedBytes = roundUp(sharedBytes, 1024); // the swizzle's period
  ring.base = add(sharedBase, i32(sharedBytes));
  sharedBytes += ring.stages * ring.stageBytes;

  // Rows that no copy writes stay zero: their scores are masked, but a product
  // of a zero probability with NaN would not be zero.
  int64_t rows = ring.tile.getDimSize(0);
  for (Operation *user : op.getRing().getUsers())
    if (auto copy = dyn_cast<tile::CopyBulkOp>(user))
      for (int64_t extent : copy.getBox().drop_back())
        if (extent != 1)
          rows = extent;
  if (tile::layoutOf(ring.tile).getRows())
    rows = rowsTogether(ring.tile);
  int64_t first = rows * 128, bytes = ring.halfBytes - first;
  int64_t halves = ring.stages * ring.stageBytes / ring.halfBytes;
  if (bytes) {
    Value zero =
        LLVM::ZeroOp::create(b, loc, VectorType::get({4}, b.getI32Type()));
    auto loop = scf::ForOp::create(b, loc, thread, index(bytes / 16 * halves),
                                   index(32 * allWarps));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value i = loop.getInductionVar(), per = index(bytes / 16);
    Value half = arith::DivUIOp::create(b, loc, i, per);
    Value chunk = arith::RemUIOp::create(b, loc, i, per);
    Value at = add(add(mul(half, index(ring.halfBytes)), mul(chunk, index(16))),
                   index(first));
    LLVM::StoreOp::create(b, loc, zero,
                          sharedPointer(add(ring.base, toI32(at))), 16);
  }
  if (failed(addBarriers(ring, op)))
    return failure();
  rings[op.getRing()] = ring;
  return success();
}

/// Barriers of a ring that is filled by bulk copies, and none of another: where
/// threads copy all of them meet, and what they stage a signal is for.
LogicalResult ThreadLowering::addBarriers(Ring &ring, tile::AllocRingOp op) {
  if (llvm::none_of(op.getRing().getUsers(), llvm::IsaPred<tile::CopyBulkOp>))
    return success();
  if (rolesBegun)
    return op.emitOpError("expected a ring of bulk copies before all roles");
  ring.full = allocBarriers(ring.stages);
  ring.empty = allocBarriers(ring.stages);
  // A turn is released by the warps of a consumer, or their threads where those
  // read it: one team's. Roles in a cluster take turns, others read all turns.
  llvm::SmallSetVector<tile::RoleOp, 2> roles;
  for (Operation *user : op.getRing().getUsers())
    if (isa<tile::ReleaseOp>(user))
      if (auto role = user->getParentOfType<tile::RoleOp>())
        roles.insert(role);
  auto arrivalsOf = [&](int64_t warps) {
    return warps * (isReadByThreads(ring.tile, warps) ? 32 : 1);
  };
  int64_t arrivals = roles.empty() ? arrivalsOf(warps) : 0;
  for (tile::RoleOp role : roles)
    arrivals = arrivalsOf(role.getWarps()) + (member ? 0 : arrivals);
  auto branch = scf::IfOp::create(b, loc, isFirstThread(), false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  for (int64_t s = 0; s < ring.stages; ++s) {
    initBarrier(ring.full, s, 1);
    initBarrier(ring.empty, s, arrivals);
  }
  return success();
}

void ThreadLowering::initBarrier(Value first, int64_t stage, int64_t arrivals) {
  NVVM::MBarrierInitOp::create(b, loc,
                               sharedPointer(add(first, i32(8 * stage))),
                               i32(arrivals), Value());
}

void ThreadLowering::arrive(Value barrier) {
  NVVM::MBarrierArriveOp::create(
      b, loc, b.getI64Type(), sharedPointer(barrier), Value(),
      NVVM::MemScopeKindAttr::get(b.getContext(), NVVM::MemScopeKind::CTA));
}

/// The ring with barriers that `ring` is, null when it is none.
const Ring *ThreadLowering::swizzledRing(Value ring) {
  auto it = rings.find(ring);
  return it == rings.end() || !it->second.full ? nullptr : &it->second;
}

Value ThreadLowering::stageOf(Value first, Value turn, int64_t stages,
                              int64_t bytes) {
  Value stage = arith::RemUIOp::create(b, loc, turn, index(stages));
  return add(first, mul(toI32(stage), i32(bytes)));
}

Value ThreadLowering::parityOf(Value turn, int64_t stages) {
  Value phase = arith::DivUIOp::create(b, loc, turn, index(stages));
  return toI32(arith::AndIOp::create(b, loc, phase, index(1)));
}

void ThreadLowering::awaitBarrier(Value address, Value parity) {
  // The hint bounds how long one try may sleep; the op tries until it is done.
  NVVM::MBarrierTryWaitParityOp::create(b, loc, sharedPointer(address), parity,
                                        i32(0x989680));
}

/// A fresh barrier counts as having completed the phase before its first, so
/// that the first turn of a stage does not wait.
void ThreadLowering::awaitRelease(Value empty, Value turn, int64_t stages) {
  Value released =
      arith::XOrIOp::create(b, loc, parityOf(turn, stages), i32(1));
  awaitBarrier(stageOf(empty, turn, stages, 8), released);
}

void ThreadLowering::expectBytes(Value barrier, Value bytes) {
  NVVM::MBarrierArriveExpectTxOp::create(
      b, loc, Type(), sharedPointer(barrier), bytes,
      NVVM::MemScopeKindAttr::get(b.getContext(), NVVM::MemScopeKind::CTA),
      b.getBoolAttr(false), Value());
}

/// What createpolicy.fractional of 1.0 gives, as CUTLASS spells it
/// (cute/arch/copy_sm90_desc.hpp, CacheHintSm90).
Value ThreadLowering::evictPolicy(StringRef evict) {
  if (evict == "normal")
    return Value();
  uint64_t policy = evict == "first" ? 0x12F0000000000000 : 0x14F0000000000000;
  return arith::ConstantIntOp::create(b, loc, int64_t(policy), 64);
}

LogicalResult ThreadLowering::lowerCopyBulk(tile::CopyBulkOp op) {
  const Ring *known = swizzledRing(op.getRing());
  bool swizzled = known && tile::layoutOf(known->tile).getKind() == "swizzled";
  if (!known || !memories.count(op.getSource()) ||
      (swizzled && !tensorMaps.lookup(op.getSource())))
    return op.emitOpError("expected a ring of swizzled tiles and an argument "
                          "of the kernel");
  const Ring &ring = *known;
  Value turn = mapping.lookupOrDefault(op.getTurn());
  // A producer has one thread already, or lanes that share the copy.
  Value mine;
  if (op.getEnable())
    mine = mapping.lookupOrDefault(op.getEnable());
  auto role = op->getParentOfType<tile::RoleOp>();
  if (role && role.getKind() == "consumer") {
    Value isFirst = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq,
                                          thread, index(0));
    mine = mine ? arith::AndIOp::create(b, loc, mine, isFirst) : isFirst;
  }
  OpBuilder::InsertionGuard guard(b);
  if (mine) {
    auto branch = scf::IfOp::create(b, loc, mine, false);
    b.setInsertionPointToStart(branch.thenBlock());
  }
  // Lanes wait together, or one could miss two phases of a barrier; the first
  // starts the copy, or each a part of it.
  int64_t lanes = lanesOf(op);
  if (lanes > 1)
    NVVM::SyncWarpOp::create(
        b, loc, i32(static_cast<int32_t>((int64_t(1) << lanes) - 1)));
  awaitRelease(ring.empty, turn, ring.stages);
  Value full = ofTurn(ring.full, turn, ring, 8);
  auto lanesBelow = [&](int64_t count, llvm::function_ref<void()> body) {
    if (lanes == count)
      return body();
    guarded(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, lane,
                                  index(count)),
            body);
  };
  if (!swizzled) {
    const Memory &memory = memories.find(op.getSource())->second;
    int64_t bytes = ring.tile.getDimSize(0) * rowBytes(ring.tile);
    lanesBelow(1, [&] {
      expectBytes(full, i32(bytes));
      NVVM::CpAsyncBulkGlobalToSharedClusterOp::create(
          b, loc, sharedPointer(ofTurn(ring.base, turn, ring, ring.stageBytes)),
          rowsAt(op, memory, index(0)).pointer, sharedPointer(full), i32(bytes),
          Value(), evictPolicy(op.getEvict()));
    });
    return success();
  }
  int64_t bytes = 2;
  for (int64_t extent : op.getBox())
    bytes *= extent;
  int64_t together = tile::layoutOf(ring.tile).getRows();
  int64_t halves = ring.tile.getDimSize(1) / 64;
  int64_t blocks = together ? ring.tile.getDimSize(0) / together : 1;
  lanesBelow(1, [&] { expectBytes(full, i32(bytes * halves * blocks)); });
  SmallVector<Value> dims;
  for (Value v : op.getIndices())
    dims.push_back(mapping.lookupOrDefault(v));
  dims.push_back(index(0));
  Value stage = ofTurn(ring.base, turn, ring, ring.stageBytes);
  Value policy = evictPolicy(op.getEvict());
  auto copy = [&](ArrayRef<Value> coordinates, Value to) {
    NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
        b, loc, sharedPointer(to), tensorMaps.lookup(op.getSource()),
        coordinates, sharedPointer(full), ValueRange(), Value(), policy,
        NVVM::TMALoadModeAttr::get(b.getContext(), NVVM::TMALoadMode::TILE),
        b.getBoolAttr(true), NVVM::CTAGroupKindAttr(), Value());
  };
  const Memory &memory = memories.find(op.getSource())->second;
  if (together) { // a chunk a box: its number, and all that it holds
    auto chunkOf = [&](Value block) {
      dims.back() = mul(block, index(together));
      SmallVector<Value> at = indicesAt(memory, op.getMap(), dims);
      Value chunk = add(mul(at[1], index(memory.type.getDimSize(2))), at[2]);
      copy({i32(0), i32(0), i32(0), toI32(chunk)},
           add(stage, mul(toI32(block), i32(halves * ring.halfBytes))));
    };
    if (1 < blocks && blocks <= lanes) {
      lanesBelow(blocks, [&] { chunkOf(lane); });
      return success();
    }
    auto loop = scf::ForOp::create(b, loc, index(0), index(blocks), index(1));
    OpBuilder::InsertionGuard inner(b);
    b.setInsertionPointToStart(loop.getBody());
    lanesBelow(1, [&] { chunkOf(loop.getInductionVar()); });
    return success();
  }
  SmallVector<Value> outer; // slowest first, without a tensor's batch
  for (Value v : ArrayRef(indicesAt(memory, op.getMap(), dims))
                     .take_back(op.getBox().size() - 1))
    outer.push_back(toI32(v));
  lanesBelow(1, [&] {
    for (int64_t half = 0; half < halves; ++half) {
      SmallVector<Value> coordinates = {i32(64 * half)};
      coordinates.append(outer.rbegin(), outer.rend());
      copy(coordinates, add(stage, i32(half * ring.halfBytes)));
    }
  });
  return success();
}

LogicalResult ThreadLowering::lowerAcquire(tile::AcquireOp op) {
  const Ring *known = swizzledRing(op.getRing());
  if (!known || op.getType() != known->tile)
    return op.emitOpError("expected a ring of swizzled tiles of the result's "
                          "type");
  const Ring &ring = *known;
  Value turn = mapping.lookupOrDefault(op.getTurn());
  awaitBarrier(ofTurn(ring.full, turn, ring, 8), parityOf(turn, ring.stages));
  registers[op.getResult()] = {ofTurn(ring.base, turn, ring, ring.stageBytes)};
  return success();
}

LogicalResult ThreadLowering::lowerRelease(tile::ReleaseOp op) {
  if (isProducer(op))
    return op.emitOpError("expected a consumer, whose warps give a stage back");
  auto exchange = exchanges.find(op.getRing());
  if (exchange != exchanges.end()) {
    releaseExchange(exchange->second, mapping.lookupOrDefault(op.getTurn()));
    return success();
  }
  const Ring *known = swizzledRing(op.getRing());
  if (!known)
    return op.emitOpError("expected a ring of swizzled tiles");
  const Ring &ring = *known;
  Value barrier =
      ofTurn(ring.empty, mapping.lookupOrDefault(op.getTurn()), ring, 8);
  // What threads have read, not products, the copy engine may write only after
  // a fence in each of them: without it a copy overtook loads that waited
  // behind other warps' products for the shared memory. PTX ISA, "Async proxy".
  if (isReadByThreads(ring.tile, warps)) {
    fenceProxy();
    arrive(barrier);
    return success();
  }
  Value isFirst =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, lane, index(0));
  auto branch = scf::IfOp::create(b, loc, isFirst, false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  arrive(barrier);
  return success();
}

/// What threads have written is visible to the copy engine.
void ThreadLowering::fenceProxy() {
  NVVM::FenceProxyOp::create(
      b, loc,
      NVVM::ProxyKindAttr::get(b.getContext(), NVVM::ProxyKind::async_shared),
      NVVM::SharedSpaceAttr::get(b.getContext(),
                                 NVVM::SharedSpace::shared_cta));
}

/// Rows as the lhs of products: the threads of a warpgroup, or of a warp alone,
/// fill shared memory of their own, when all have done with what was there.
LogicalResult ThreadLowering::loadSwizzled(tile::LoadOp op) {
  RankedTensorType type = tileOf(op.getResult());
  auto role = op->getParentOfType<tile::RoleOp>();
  bool aligned = areWarpgroups(warps) && role && role.getFirst() % 4 == 0;
  if (!role || (!aligned && warps != 1) ||
      type.getDimSize(0) % (32 * warps / 8) || type.getDimSize(1) % 64 ||
      type.getElementTypeBitWidth() != 16)
    return op.emitOpError("expected rows of 16-bit elements in a role, as many "
                          "as its threads copy together");
  Value base;
  if (op.getInto()) {
    base = all(op.getInto()).front();
  } else {
    sharedBytes = roundUp(sharedBytes, 1024);
    base = add(sharedBase, i32(sharedBytes));
    sharedBytes += type.getDimSize(0) * type.getDimSize(1) * 2;
  }
  meetInWarpgroups(role);
  // Addresses are made here, or they would wait in registers for the next slab.
  NumbersHere here(*this, scheduleOf(from).getRing() != 0);
  copyRows(op, base);
  registers[op.getResult()] = {base};
  if (op.getInto())
    return success();
  NVVM::CpAsyncWaitGroupOp::create(b, loc, 0);
  fenceProxy();
  meetInWarpgroups(role);
  return success();
}

ThreadLowering::DealtRows ThreadLowering::dealRows(tile::LoadOp op) {
  RankedTensorType type = tileOf(op.getResult());
  DealtRows d;
  d.rows = type.getDimSize(0);
  d.halves = type.getDimSize(1) / 64;
  int64_t together = std::min<int64_t>(warps, 4);
  d.step = 32 * together / 8; // 8 threads copy a row's half
  d.share = d.rows / (warps / together);
  bool alone = together == warps; // no other warpgroup
  Value inGroup =
      alone ? warp : arith::AndIOp::create(b, loc, warp, index(3)).getResult();
  Value number = add(mul(inGroup, index(32)), lane);
  d.row = arith::ShRUIOp::create(b, loc, number, index(3));
  if (!alone) {
    d.row = add(d.row, mul(warpgroup(), index(d.share)));
  }
  d.chunk = arith::AndIOp::create(b, loc, number, index(7));
  d.l7 = arith::AndIOp::create(b, loc, d.row, index(7));
  return d;
}

Value ThreadLowering::furtherRow(const DealtRows &d, Value to, int64_t at,
                                 int64_t half) {
  if (at % 8) // one warp's threads have 4 rows: the swizzle has a bit more
    to = arith::XOrIOp::create(b, loc, to, i32(at % 8 * 16));
  return add(to, i32(d.offset(at, half)));
}

/// Starts copies of rows. Of interleaved ones 8 of 32 channels lie together in
/// memory as four pairs, which go to the four 16-byte chunks, each to the same
/// word: chunk 4g + t becomes word t of chunks 4g .. 4g + 3.
void ThreadLowering::copyRows(tile::LoadOp op, Value base) {
  const Memory &memory = memories.find(op.getSource())->second;
  DealtRows d = dealRows(op);
  int64_t pieces = op.getInterleave() ? 4 : 1, bytes = 16 / pieces;
  Value start = mul(d.row, index(128)), chunk = d.chunk;
  if (op.getInterleave()) {
    Value word = arith::AndIOp::create(b, loc, chunk, index(3));
    start = add(start, mul(word, index(bytes)));
    chunk = arith::AndIOp::create(b, loc, chunk, index(4));
  }
  SmallVector<Value> to;
  for (int64_t c = 0; c < pieces; ++c) {
    Value at =
        arith::XOrIOp::create(b, loc, c ? add(chunk, index(c)) : chunk, d.l7);
    to.push_back(add(base, toI32(add(start, mul(at, index(16))))));
  }
  auto cache = NVVM::LoadCacheModifierKindAttr::get(
      b.getContext(), bytes == 16 ? NVVM::LoadCacheModifierKind::CG
                                  : NVVM::LoadCacheModifierKind::CA);
  Rows from = rowsAt(op, memory, d.row, toI64(mul(d.chunk, index(16))));
  for (int64_t at = 0; at < d.share; at += d.step) {
    Place place = placeOf(from, at, d.rows - d.share + at + d.step - 1);
    Value source = place.pointer, size;
    if (place.valid) {
      // An invalid row reads nothing, wherever its pointer stands.
      source =
          LLVM::SelectOp::create(b, loc, place.valid, source, memory.pointer);
      size = arith::SelectOp::create(b, loc, place.valid, i32(bytes), i32(0));
    }
    for (int64_t half = 0; half < d.halves; ++half)
      for (int64_t c = 0; c < pieces; ++c)
        NVVM::CpAsyncOp::create(b, loc,
                                sharedPointer(furtherRow(d, to[c], at, half)),
                                advance(source, half * 128 + c * bytes),
                                b.getI32IntegerAttr(bytes), cache, size);
  }
  NVVM::CpAsyncCommitGroupOp::create(b, loc);
}

//===----------------------------------------------------------------------===//
// Copies out
//===----------------------------------------------------------------------===//

/// The stage of a role's team; null with an error at `op` when `ring` has not
/// one for each.
Value ThreadLowering::ofTeam(Operation *op, const Ring &ring) {
  auto role = op->getParentOfType<tile::RoleOp>();
  int64_t teams = role ? role.getTeams() : 1;
  if (ring.stages != teams) {
    op->emitOpError(
        "expected a ring with a stage for each of the role's teams, ")
        << teams << ", got " << ring.stages;
    return Value();
  }
  if (teams == 1)
    return ring.base;
  return add(ring.base, toI32(mul(teamOf(role), index(ring.stageBytes))));
}

LogicalResult ThreadLowering::lowerStage(tile::StageOp op) {
  RankedTensorType type = tileOf(op.getValue());
  auto it = rings.find(op.getRing());
  if (it == rings.end() || kindOf(op.getValue()) != "acc" ||
      rowTiles(type) != 1)
    return op.emitOpError("expected 16 accumulator rows a warp and a ring");
  const Ring &ring = it->second;
  int64_t bytes = rowBytes(ring.tile), lines = bytes / 128;
  bool swizzled = tile::layoutOf(ring.tile).getKind() == "swizzled";
  Value stage = ofTeam(op, ring);
  if (!stage)
    return failure();
  Value row = firstRow(type), chunk = quad;
  if (swizzled) // of a line's number the part that is the row's
    chunk = arith::XOrIOp::create(
        b, loc, chunk,
        arith::AndIOp::create(b, loc, mul(row, index(lines)), index(7)));
  Value start =
      add(stage, toI32(add(mul(row, index(bytes)), mul(chunk, index(16)))));
  Type element = ring.tile.getElementType();
  for (int64_t h = 0; h < 2; ++h)
    for (int64_t at = 0; at < type.getDimSize(1); at += 32) {
      int64_t offset = (op.getColumnOffset() + at) * 2;
      Value to = start;
      if (swizzled) {
        int64_t line = offset / 128 % 8;
        to = arith::XOrIOp::create(b, loc, to, i32(offset % 128 ^ line * 16));
        offset -= offset % 128;
      }
      LLVM::StoreOp::create(
          b, loc, vectorOf(packRun(op.getValue(), h, at, element)),
          sharedPointer(add(to, i32(h * 8 * bytes + offset))), 16);
    }
  return success();
}

SmallVector<Value> ThreadLowering::packRun(Value tile, int64_t row,
                                           int64_t column, Type element) {
  SmallVector<Value> four;
  for (int64_t t = column / 8; t < column / 8 + 4; ++t) {
    Value low = at(tile, t * 4 + row * 2);
    Value high = at(tile, t * 4 + row * 2 + 1);
    four.push_back(pack(low, high, element));
  }
  return four;
}

/// Lanes that copy out: one for each run of a warp's 16 rows.
Value ThreadLowering::copiesOut() {
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, lane,
                               index(2));
}

LogicalResult ThreadLowering::lowerCopyOut(tile::CopyOutOp op) {
  auto it = rings.find(op.getRing());
  if (it == rings.end() || !memories.count(op.getDest()))
    return op.emitOpError("expected a ring and an argument of the kernel");
  const Ring &ring = it->second;
  const Memory &memory = memories.find(op.getDest())->second;
  if (memory.exchanged)
    return copyOutSettled(op, ring, memory);
  if (isProducer(op))
    return op.emitOpError("expected settled rows for a producer");
  Value stage = ofTeam(op, ring);
  if (!stage)
    return failure();
  // What the warp has written is visible to the copy engine.
  fenceProxy();
  NVVM::SyncWarpOp::create(b, loc, i32(-1));
  auto branch = scf::IfOp::create(b, loc, copiesOut(), false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  int64_t bytes = rowBytes(ring.tile);
  Value row = add(mul(warp, index(16)), mul(lane, index(8)));
  Value from = sharedPointer(add(stage, toI32(mul(row, index(bytes)))));
  Rows rows = rowsAt(op, memory, row);
  Place place = placeOf(rows, 0);
  guarded(place.valid, [&] {
    NVVM::CpAsyncBulkSharedCTAToGlobalOp::create(
        b, loc, place.pointer, from, i32(8 * bytes), evictPolicy(op.getEvict()),
        Value());
  });
  NVVM::CpAsyncBulkCommitGroupOp::create(b, loc);
  return success();
}

/// A team's share of rows, 16 by 16: boxes of every fourth chunk of 16, one row
/// of each. Those who staged them have fenced.
LogicalResult ThreadLowering::copyOutSettled(tile::CopyOutOp op,
                                             const Ring &ring,
                                             const Memory &memory) {
  auto role = op->getParentOfType<tile::RoleOp>();
  int64_t rows = ring.tile.getDimSize(0), bytes = rowBytes(ring.tile);
  int64_t teams = role ? role.getTeams() : 1;
  // Each has a stage, or they share one.
  bool own = ring.stages != 1;
  int64_t share = own ? rows : rows / teams;
  if (!isProducer(op) || lanesOf(op) > 1 || teams < 2 || share % 16 ||
      (!own && share * teams != rows))
    return op.emitOpError("expected a producer's teams for settled rows, with "
                          "16 each or a multiple");
  auto limit = op.getLimit() ? getConstantIntValue(op.getLimit())
                             : std::optional<int64_t>(rows);
  if (!limit || memory.type.getDimSize(2) < roundUp(std::min(*limit, rows), 16))
    return op.emitOpError("expected a constant limit, and room for its rows, "
                          "16 by 16, in ")
           << memory.type;
  Value from = own ? ofTeam(op, ring) : ring.base, most = index(share);
  if (!from)
    return failure();
  Value row = own ? index(0) : mul(teamOf(role), index(share));
  if (*limit <= rows - 16) // some teams have fewer
    most = arith::MinSIOp::create(
        b, loc, most, arith::SubIOp::create(b, loc, index(*limit), row));
  auto sixteens = scf::ForOp::create(b, loc, index(0), most, index(16));
  {
    OpBuilder::InsertionGuard inner(b);
    b.setInsertionPointToStart(sixteens.getBody());
    row = add(row, sixteens.getInductionVar());
    SmallVector<Value> dims;
    for (Value v : op.getIndices())
      dims.push_back(mapping.lookupOrDefault(v));
    dims.push_back(row);
    SmallVector<Value> at = indicesAt(memory, op.getMap(), dims);
    Value chunk = add(mul(at[1], index(memory.type.getDimSize(2))), at[2]);
    Value piece = arith::ShRUIOp::create(b, loc, chunk, index(4));
    Value first = arith::AndIOp::create(b, loc, chunk, index(3));
    Value line = toI32(mul(at[3], index(bytes / 128)));
    for (int64_t four = 0; four < 4; ++four) {
      // As settledPair places the row 4 * four after the first.
      Value ofFour = arith::XOrIOp::create(b, loc, first,
                                           index((four & 1) ^ (four >> 1) * 3));
      Value staged = mul(add(row, index(4 * four)), index(bytes));
      NVVM::CpAsyncBulkTensorSharedCTAToGlobalOp::create(
          b, loc, tensorMaps.lookup(op.getDest()),
          sharedPointer(add(from, toI32(staged))),
          ValueRange{i32(0), line, toI32(ofFour), i32(0), toI32(piece)},
          evictPolicy(op.getEvict()), NVVM::TMAStoreMode::TILE, Value());
    }
  }
  NVVM::CpAsyncBulkCommitGroupOp::create(b, loc);
  return success();
}

void ThreadLowering::lowerAwaitOut(tile::AwaitOutOp op) {
  bool one = isProducer(op);
  guarded(one ? Value() : copiesOut(), [&] {
    NVVM::CpAsyncBulkWaitGroupOp::create(
        b, loc, b.getI32IntegerAttr(op.getPending()),
        op.getComplete() ? UnitAttr() : b.getUnitAttr()); // read only
  });
  if (!one)
    NVVM::SyncWarpOp::create(b, loc, i32(-1));
}
