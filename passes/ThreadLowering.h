//===- ThreadLowering.h - one thread's view of a kernel --------*- C++ -*-===//
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
//   swizzled           the same, of the first half; halves of 64 channels, a
//                      row 128 bytes, 16-byte chunk q of it at q ^ (r % 8);
//                      with rows = 1, r counts 128 bytes of the tile, not rows
//   staged             one base address; rows as they lie in memory
//   shared             one base address; row r at r * bytes, 16-byte chunk q of
//                      it at q ^ (r % 8)
//   exchanged          one base address; row s * n + p, from member s for place
//                      p of n, at (s * n + p) * bytes, 16-byte chunk q of it at
//                      q ^ (s % 8) ^ (4 * (p % 2))
//
// where the rows of warp w start at w * rows / warps.
//
//===----------------------------------------------------------------------===//
#ifndef MONARCH_PASSES_THREADLOWERING_H
#define MONARCH_PASSES_THREADLOWERING_H

#include "PassDetail.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/Support/SaveAndRestore.h"

#include <numeric>

namespace monarch {
using namespace mlir;

using Registers = SmallVector<Value>;

/// A kernel argument in global memory.
struct Memory {
  MemRefType type;
  Value pointer;
  SmallVector<Value> sizes;   ///< index; null where static
  SmallVector<Value> strides; ///< i64; null where static
  /// Of settled memory: i32 address of a bit for every two neighbouring chunks,
  /// 1 where they are exchanged.
  Value exchanged;
};

/// Stages of a tile in shared memory. Those of a swizzled tile that is copied
/// in bulk have two barriers each, for the copy's end and for the consumers'
/// release.
struct Ring {
  Value base; ///< i32 address
  RankedTensorType tile;
  int64_t stageBytes;
  int64_t stages = 1;
  int64_t halfBytes = 0; ///< of 64 channels, or of those of 8 rows
  Value full, empty;     ///< i32 addresses of the first barriers
};

/// An exchange between the members of a cluster: for every stage a place to
/// receive each part in, and two barriers, for the arrival of all rows and for
/// the members' release.
struct Exchange {
  tile::ExchangeType type;
  SmallVector<Value> inbox;     ///< i32 address of stage 0 of each part
  SmallVector<int64_t> offsets; ///< where that is in shared memory
  SmallVector<int64_t> bytes;   ///< of a stage of each part
  Value full, empty;            ///< i32 addresses of the first barriers
  Value read;                   ///< where the warps that have read arrive
  int64_t own() const {
    return type.getParts()[0].getDimSize(0) / type.getMembers();
  }
  int64_t turnBytes() const {
    return std::accumulate(bytes.begin(), bytes.end(), int64_t(0));
  }
};

/// Bytes of one row of a shared tile.
inline int64_t rowBytes(RankedTensorType tile) {
  int64_t bytes = tile.getElementTypeBitWidth() / 8;
  return tile.getRank() == 2 ? tile.getDimSize(1) * bytes : bytes;
}

/// In a producer's role, which has one thread, or a few lanes.
inline bool isProducer(Operation *op) {
  auto role = op->getParentOfType<tile::RoleOp>();
  return role && role.getKind() == "producer";
}

/// How many lanes of a warp do what `op` says at once, each a part of it.
inline int64_t lanesOf(Operation *op) {
  auto role = op->getParentOfType<tile::RoleOp>();
  return role ? role.getLanes() : 1;
}

/// Rows that a stage has room for: products of 16 rows read whole steps.
inline int64_t paddedRows(RankedTensorType tile) {
  return roundUp(tile.getDimSize(0), 16);
}

/// Rows of a tile whose halves lie together: all, or 8.
inline int64_t rowsTogether(RankedTensorType tile) {
  int64_t rows = tile::layoutOf(tile).getRows();
  return rows ? rows : paddedRows(tile);
}

/// Bytes from 8 rows of a swizzled tile to the next 8.
inline int64_t bytesOfEightRows(RankedTensorType tile) {
  return tile::layoutOf(tile).getRows() ? tile.getDimSize(1) * 16 : 1024;
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
  /// An asm statement of one result; one with side effects is neither moved nor
  /// removed.
  Value assembly(StringRef text, StringRef constraints, Type type,
                 ValueRange operands, bool sideEffects = false) {
    return LLVM::InlineAsmOp::create(
               b, loc, type, operands, b.getStringAttr(text),
               b.getStringAttr(constraints),
               sideEffects ? b.getUnitAttr() : UnitAttr(), UnitAttr(),
               LLVM::TailCallKindAttr::get(b.getContext(),
                                           LLVM::TailCallKind::None),
               LLVM::AsmDialectAttr(), ArrayAttr())
        ->getResult(0);
  }
  /// `v` as a number that the optimiser knows nothing of. With side effects it
  /// is made here, and not where it would wait in a register.
  Value opaque(Value v, bool sideEffects = false) {
    return assembly("mov.b32 $0, $1;", "=r,r", b.getI32Type(), {toI32(v)},
                    sideEffects);
  }
  Value exp2(Value x) {
    return assembly("ex2.approx.ftz.f32 $0, $1;", "=f,f", b.getF32Type(), {x});
  }

  //--- shapes ---//
  static RankedTensorType tileOf(Value v) {
    return cast<RankedTensorType>(v.getType());
  }
  StringRef kindOf(Value v) { return tile::layoutOf(v.getType()).getKind(); }
  int64_t rowTiles(RankedTensorType t) const {
    return t.getDimSize(0) / warps / 16;
  }
  /// Which of this thread's rows register i of a tile in layout acc is of:
  /// i = (m * nTiles + n) * 4 + e is column 2n + e%2 of row 2m + e/2.
  static size_t rowOfRegister(RankedTensorType t, size_t i) {
    return i / (t.getDimSize(1) / 2) * 2 + i % 4 / 2;
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
    int64_t period; ///< of the rows that `limit` counts, 0: none
    AffineMap map;
    ArrayRef<bool> inBounds;
    Value first;          ///< index
    Value offset;         ///< bytes into every row, i64, or null
    Value pointer;        ///< of the row `distance` after `first`, which is
    int64_t distance = 0; ///< the last one asked for
  };
  Rows makeRows(const Memory &memory, ValueRange indices, Value limit,
                int64_t period, AffineMap map, ArrayRef<bool> inBounds,
                Value first, Value offset);
  template <typename Op>
  Rows rowsAt(Op op, const Memory &memory, Value first,
              Value offset = Value()) {
    if constexpr (std::is_same_v<Op, tile::CopyBulkOp>) {
      return makeRows(memory, op.getIndices(), Value(), 0, op.getMap(), {},
                      first, offset);
    } else {
      int64_t period = 0;
      if constexpr (std::is_same_v<Op, tile::LoadOp> ||
                    std::is_same_v<Op, tile::StoreOp>)
        period = op.getPeriod();
      return makeRows(memory, op.getIndices(), op.getLimit(), period,
                      op.getMap(), op.getInBounds(), first, offset);
    }
  }
  Place placeOf(Rows &rows, int64_t distance, int64_t most = -1);
  Value pointerAt(const Memory &memory, AffineMap map, ArrayRef<Value> dims);
  SmallVector<Value> indicesAt(const Memory &memory, AffineMap map,
                               ArrayRef<Value> dims);
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
  /// Does `body` where `condition` holds, or always where it is null.
  void guarded(Value condition, llvm::function_ref<void()> body) {
    if (!condition)
      return body();
    auto branch = scf::IfOp::create(b, loc, condition, false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    body();
  }
  Value guardedLoad(const Place &place, Value base, Type type,
                    int64_t offset = 0);
  Value pack(Value low, Value high, Type element);
  Value vectorOf(ArrayRef<Value> elements);

  //--- registers (ThreadRegisters.cpp) ---//
  /// Register i of a tile, formed when first asked for: values are made row by
  /// row where they are used, which keeps few of them live.
  Value at(Value tile, size_t i);
  bool isKept(Value tile, size_t i) {
    Registers &known = registers[tile];
    return i < known.size() && known[i];
  }
  Value keep(Value tile, size_t i, Value v) {
    Registers &slots = registers[tile];
    if (slots.size() <= i)
      slots.resize(i + 1);
    return slots[i] = v;
  }
  /// All registers of a tile.
  Registers all(Value tile);
  Value reduceRow(tile::ReduceOp op, size_t row);
  void endBlock();
  /// What the four threads of a row have, combined.
  Value overRow(Value v, llvm::function_ref<Value(Value, Value)> combine);
  Value elementwise(Operation *op, size_t i);
  /// Forms what `region` uses from outside, so that it dominates later uses.
  void formForRegion(Region &region);

  //--- ops ---//
  LogicalResult lower(Operation *op);
  LogicalResult lowerBlock(Block *block);
  LogicalResult lowerForall(scf::ForallOp op);
  LogicalResult lowerFor(scf::ForOp op);
  LogicalResult lowerIf(scf::IfOp op);
  /// Values of a loop or branch with tiles as their registers, and back.
  SmallVector<Value> flatten(ValueRange values);
  void bind(ValueRange to, ValueRange flat);
  void readThreadAnew();
  void mapPrograms(scf::ForallOp op, Value blockX, Value blockY);
  void remakeScalars(Value v, llvm::DenseSet<Value> &made);
  void readProgramAnew(Operation *op);
  /// Inside its scope the thread's numbers are those read here, if `wanted`.
  struct NumbersHere {
    NumbersHere(ThreadLowering &of, bool wanted)
        : saved{{of.warp, of.warp},
                {of.lane, of.lane},
                {of.group, of.group},
                {of.quad, of.quad}} {
      if (wanted)
        of.readThreadAnew();
    }
    llvm::SaveAndRestore<Value> saved[4];
  };
  void setThread(Value number);
  Value isFirstThread() {
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, thread,
                                 index(0));
  }
  LogicalResult lowerLoad(tile::LoadOp op);
  LogicalResult loadAccumulators(tile::LoadOp op);
  LogicalResult lowerStore(tile::StoreOp op);
  void lowerInBounds(tile::InBoundsOp op);
  LogicalResult lowerDot(tile::DotOp op);
  LogicalResult lowerConvert(tile::ConvertLayoutOp op);
  LogicalResult lowerColumn(tile::ColumnOp op);
  LogicalResult lowerRaiseMaximum(tile::RaiseMaximumOp op);
  LogicalResult lowerReduceTeams(tile::ReduceTeamsOp op);
  LogicalResult lowerAlloc(tile::AllocRingOp op);
  void lowerCopy(tile::CopyAsyncOp op);
  int64_t registerCount(RankedTensorType type);

  //--- Hopper (ThreadBulk.cpp, ThreadWgmma.cpp) ---//
  LogicalResult lowerSwizzledAlloc(tile::AllocRingOp op);
  LogicalResult addBarriers(Ring &ring, tile::AllocRingOp op);
  void initBarrier(Value first, int64_t stage, int64_t arrivals);
  void arrive(Value barrier);
  LogicalResult lowerRole(tile::RoleOp op);
  LogicalResult lowerCopyBulk(tile::CopyBulkOp op);
  LogicalResult lowerAcquire(tile::AcquireOp op);
  LogicalResult lowerRelease(tile::ReleaseOp op);
  const Ring *swizzledRing(Value ring);

  //--- halves of the L2 cache (ThreadSettle.cpp) ---//
  LogicalResult lowerSettle(tile::SettleOp op);
  Value isFirstNearer(Value pointer);
  Value settledPair(const Memory &memory, Value block, Value pair);

  //--- programs of a persistent kernel (ThreadCounts.cpp) ---//
  void awaitAtLeast(Value counter, Value least);
  Value turnOfPart(Operation *op, Value turn, int64_t parts);
  LogicalResult lowerAwaitCount(tile::AwaitCountOp op);
  LogicalResult lowerAddCount(tile::AddCountOp op);
  Value counterAt(Value counters, Value number);
  LogicalResult lowerAllocSignal(tile::AllocSignalOp op);
  LogicalResult lowerRaise(tile::RaiseOp op);
  LogicalResult lowerAwaitSignal(tile::AwaitSignalOp op);
  Value signalOf(Operation *op, Value signal);

  //--- clusters (ThreadExchange.cpp) ---//
  LogicalResult lowerAllocExchange(tile::AllocExchangeOp op);
  const Exchange *exchangeOf(Operation *op, Value exchange);
  LogicalResult lowerReserve(tile::ReserveOp op);
  LogicalResult lowerSend(tile::SendOp op);
  LogicalResult lowerReceive(tile::ReceiveOp op);
  void releaseExchange(const Exchange &exchange, Value turn);
  void joinCluster();
  Value stageOf(Value first, Value turn, int64_t stages, int64_t bytes);
  /// The address in member `rank`'s shared memory of what is at `address` here.
  Value atMember(Value address, Value rank) {
    return assembly("mapa.shared::cluster.u32 $0, $1, $2;", "=r,r,r",
                    b.getI32Type(), {address, rank});
  }
  /// Of 32 columns of one of a thread's rows the 8 that it holds, packed.
  SmallVector<Value> packRun(Value tile, int64_t row, int64_t column,
                             Type element);
  void lowerAwait(tile::AwaitOp op);
  LogicalResult lowerWgmma(tile::DotOp op);
  Value ofTeam(Operation *op, const Ring &ring);
  LogicalResult lowerStage(tile::StageOp op);
  LogicalResult loadSwizzled(tile::LoadOp op);
  /// Halves of rows, dealt to threads for 16 bytes each: this one's row
  /// and chunk of every `step` rows of its warpgroup's `share`.
  struct DealtRows {
    int64_t rows, halves, step, share;
    Value row, chunk, l7; ///< l7: the row's low bits, for the swizzle
    /// Bytes to the half of the row `at` rows further in shared memory.
    int64_t offset(int64_t at, int64_t half) const {
      return at * 128 + half * rows * 128;
    }
  };
  DealtRows dealRows(tile::LoadOp op);
  /// Where a chunk at `to` is in the half of the row `at` rows further.
  Value furtherRow(const DealtRows &d, Value to, int64_t at, int64_t half);
  void copyRows(tile::LoadOp op, Value base);
  /// The number of a role's team, of more than one.
  Value teamOf(tile::RoleOp role) {
    return mapping.lookup(role.getBody().getArgument(0));
  }
  void meetAt(Value barrier, int64_t threads) {
    NVVM::BarrierOp::create(b, loc, TypeRange(), barrier, i32(threads),
                            NVVM::BarrierReductionAttr(), Value());
  }
  /// Barrier 0 is the program's, then each warpgroup has two of its number, so
  /// that 28 warps may be in roles: one where a team meets whose first it is
  /// (meet), and this one, where either all teams of a role meet, of a
  /// warpgroup or less each, or the warpgroup by itself.
  static int64_t furtherBarrierOf(tile::RoleOp role) {
    return 8 + role.getFirst() / 4;
  }
  /// The warps of a role meet, each team's at a barrier of its own.
  void meet(tile::RoleOp role) {
    if (role.getWarps() == 1) {
      NVVM::SyncWarpOp::create(b, loc, i32(-1));
      return;
    }
    Value number = i32(1 + role.getFirst() / 4);
    if (role.getTeams() > 1)
      number = add(number, toI32(teamOf(role)));
    meetAt(number, 32 * role.getWarps());
  }
  /// The number of a thread's warpgroup in its role, or team.
  Value warpgroup() { return arith::ShRUIOp::create(b, loc, warp, index(2)); }
  /// The warps of each of a role's warpgroups meet.
  void meetInWarpgroups(tile::RoleOp role) {
    if (role.getWarpgroups() < 2)
      return meet(role);
    Value number = warpgroup();
    if (role.getTeams() > 1)
      number = add(number, mul(teamOf(role), index(role.getWarpgroups())));
    meetAt(add(toI32(number), i32(furtherBarrierOf(role))), 128);
  }
  LogicalResult lowerCopyOut(tile::CopyOutOp op);
  LogicalResult copyOutSettled(tile::CopyOutOp op, const Ring &ring,
                               const Memory &memory);
  void lowerAwaitOut(tile::AwaitOutOp op);
  /// The L2 policy of a copy, null for the normal one.
  Value evictPolicy(StringRef evict);
  /// The lanes that copy a warp's two runs of 8 rows.
  Value copiesOut();
  /// Address of a barrier or stage of a turn, and the parity of its phase.
  Value ofTurn(Value first, Value turn, const Ring &ring, int64_t bytes) {
    return stageOf(first, turn, ring.stages, bytes);
  }
  Value parityOf(Value turn, int64_t stages);
  void awaitBarrier(Value address, Value parity);
  /// Waits until the turn that used the same stage before has been released.
  void awaitRelease(Value empty, Value turn, int64_t stages);
  /// Arrives at a barrier that then waits for so many bytes.
  void expectBytes(Value barrier, Value bytes);
  void fenceProxy();
  Registers statement(StringRef text, StringRef constraints, int64_t count,
                      ValueRange operands);
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
  llvm::DenseMap<Value, Exchange> exchanges;
  llvm::DenseMap<Value, Value> signals;  ///< i32 address of the first barrier
  Value thread, lane, warp, group, quad; ///< index: tid, lane, warp, g, c
  Value sharedBase;                      ///< i32
  /// Of a role's teams: where the first one's shared memory starts, and how
  /// many bytes each has, i32.
  Value teamsBase, teamBytes;
  llvm::DenseMap<Value, Value> tensorMaps; ///< of memories, as pointers
  int64_t allWarps;                        ///< of all roles
  /// Registers a thread has when a program starts.
  int64_t launchRegisters() const { return 65536 / (32 * allWarps) / 8 * 8; }
  Value member; ///< i32: number in the cluster, null without one
  bool rolesBegun = false;
  bool threadsFillSwizzled = false; ///< a ring of swizzled tiles, by cp.async
  /// Room for `count` barriers, together with all others.
  Value allocBarriers(int64_t count);
  int64_t nextBarrier = 0, barrierEnd = 0; ///< bytes in shared memory
  int64_t sharedBytes = 0;
};

} // namespace monarch

#endif // MONARCH_PASSES_THREADLOWERING_H
