//===- ThreadCounts.cpp - counts between programs, signals between roles --===//
//
// PTX ISA: "Memory Consistency Model", release and acquire patterns; "ld",
// "red".
//
//===----------------------------------------------------------------------===//

#include "ThreadLowering.h"

using namespace mlir;
using namespace monarch;

/// Tries of a wait before it gives up: one takes half a microsecond or more,
/// all of them some seconds.
static constexpr int64_t mostTries = 1 << 23;

Value ThreadLowering::counterAt(Value counters, Value number) {
  const Memory &memory = memories.find(counters)->second;
  return pointerAt(memory, AffineMap::getMultiDimIdentityMap(1, b.getContext()),
                   {mapping.lookupOrDefault(number)});
}

/// A producer waits by itself; the copies that follow are the async proxy's. Of
/// a consumer one thread waits for all, who meet.
LogicalResult ThreadLowering::lowerAwaitCount(tile::AwaitCountOp op) {
  auto role = op->getParentOfType<tile::RoleOp>();
  if (!role)
    return op.emitOpError("expected a role around it");
  auto await = [&] {
    awaitAtLeast(counterAt(op.getCounters(), op.getIndex()),
                 toI32(mapping.lookupOrDefault(op.getLeast())));
  };
  if (isProducer(op)) {
    if (op.getReset())
      return op.emitOpError("expected a consumer's for reset");
    await();
    statement("fence.proxy.async.global;", "~{memory}", 0, {});
    return success();
  }
  guarded(isFirstThread(), [&] {
    await();
    if (op.getReset())
      statement("st.relaxed.gpu.global.u32 [$0], 0;", "l,~{memory}", 0,
                {counterAt(op.getCounters(), op.getIndex())});
  });
  meet(role);
  return success();
}

/// Waits for a counter as one thread.
void ThreadLowering::awaitAtLeast(Value counter, Value least) {
  statement("{\n.reg .pred done;\n.reg .b32 count, tries;\n"
            "mov.b32 tries, 0;\n"
            "again${:uid}:\n"
            "ld.acquire.gpu.global.u32 count, [$0];\n"
            "setp.ge.u32 done, count, $1;\n"
            "@done bra end${:uid};\n"
            "add.u32 tries, tries, 1;\n"
            "setp.lt.u32 done, tries, " +
                std::to_string(mostTries) +
                ";\n@done bra again${:uid};\n"
                "trap;\n"
                "end${:uid}:\n}",
            "l,r,~{memory}", 0, {counter, least});
}

/// What each thread of a producer's would do anew is for one, whose role says
/// how many others there are.
static LogicalResult refuseLanes(Operation *op) {
  if (op->getParentOfType<tile::RoleOp>() && lanesOf(op) == 1)
    return success();
  return op->emitOpError("expected a role around it, and one thread of a "
                         "producer's");
}

LogicalResult ThreadLowering::lowerAddCount(tile::AddCountOp op) {
  if (op.getReads()) {
    if (isProducer(op))
      return op.emitOpError("expected a consumer's count of what it has read");
    // Nothing to release: what has come to shared memory stays as it is,
    // whatever others write later to where it came from.
    guarded(isFirstThread(), [&] {
      statement("red.relaxed.gpu.global.add.u32 [$0], 1;", "l,~{memory}", 0,
                {counterAt(op.getCounters(), op.getIndex())});
    });
    return success();
  }
  if (failed(refuseLanes(op)))
    return failure();
  auto count = [&] {
    statement("red.release.gpu.global.add.u32 [$0], 1;", "l,~{memory}", 0,
              {counterAt(op.getCounters(), op.getIndex())});
  };
  if (isProducer(op)) {
    count();
    return success();
  }
  // What the role's threads have written before they meet is released as well.
  meet(op->getParentOfType<tile::RoleOp>());
  guarded(isFirstThread(), count);
  return success();
}

//===----------------------------------------------------------------------===//
// Signals
//===----------------------------------------------------------------------===//

LogicalResult ThreadLowering::lowerAllocSignal(tile::AllocSignalOp op) {
  int64_t stages = cast<tile::SignalType>(op.getSignal().getType()).getStages();
  int64_t raisers = 0;
  for (Operation *user : op.getSignal().getUsers()) {
    auto raise = dyn_cast<tile::RaiseOp>(user);
    auto role = user->getParentOfType<tile::RoleOp>();
    if (!raise || !role)
      continue;
    int64_t before = raisers;
    raisers = role.getTeams() * (isProducer(user) ? 1 : role.getWarps()) /
              raise.getParts();
    if (before && before != raisers)
      return raise.emitOpError("expected as many threads a turn as elsewhere, ")
             << before << ", got " << raisers;
  }
  if (!raisers || rolesBegun)
    return op.emitOpError("expected a role that raises the signal, after this");
  Value first = allocBarriers(stages);
  signals[op.getSignal()] = first;
  auto branch = scf::IfOp::create(b, loc, isFirstThread(), false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  for (int64_t s = 0; s < stages; ++s)
    initBarrier(first, s, raisers);
  return success();
}

/// The address of the first barrier of `signal`, null with an error at `op`
/// when this kernel has not allocated it.
Value ThreadLowering::signalOf(Operation *op, Value signal) {
  Value first = signals.lookup(signal);
  if (!first)
    op->emitOpError("expected a signal that this kernel has allocated");
  return first;
}

/// The turn of a thread's part.
Value ThreadLowering::turnOfPart(Operation *op, Value turn, int64_t parts) {
  turn = mapping.lookupOrDefault(turn);
  if (parts == 1)
    return turn;
  auto role = op->getParentOfType<tile::RoleOp>();
  Value part =
      role.getTeams() > 1
          ? teamOf(role)
          : arith::DivUIOp::create(b, loc, warp, index(role.getWarps() / parts))
                .getResult();
  return add(mul(turn, index(parts)), part);
}

LogicalResult ThreadLowering::lowerRaise(tile::RaiseOp op) {
  Value first = signalOf(op, op.getSignal());
  if (!first)
    return failure();
  int64_t stages = cast<tile::SignalType>(op.getSignal().getType()).getStages();
  if (failed(refuseLanes(op)))
    return failure();
  Value barrier =
      stageOf(first, turnOfPart(op, op.getTurn(), op.getParts()), stages, 8);
  OpBuilder::InsertionGuard guard(b);
  if (!isProducer(op)) {
    fenceProxy(); // the copy engine sees what the warp has staged
    NVVM::SyncWarpOp::create(b, loc, i32(-1));
    Value isFirst =
        arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, lane, index(0));
    auto branch = scf::IfOp::create(b, loc, isFirst, false);
    b.setInsertionPointToStart(branch.thenBlock());
  }
  arrive(barrier);
  return success();
}

LogicalResult ThreadLowering::lowerAwaitSignal(tile::AwaitSignalOp op) {
  Value first = signalOf(op, op.getSignal());
  if (!first)
    return failure();
  int64_t stages = cast<tile::SignalType>(op.getSignal().getType()).getStages();
  Value turn = turnOfPart(op, op.getTurn(), op.getParts());
  awaitBarrier(stageOf(first, turn, stages, 8), parityOf(turn, stages));
  return success();
}
