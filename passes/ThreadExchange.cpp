//===- ThreadExchange.cpp - rows between the members of a cluster ---------===//
//
// PTX ISA: "mapa", "mbarrier", "st.async", "barrier.cluster".
//
//===----------------------------------------------------------------------===//

#include "ThreadLowering.h"

using namespace mlir;
using namespace monarch;

LogicalResult ThreadLowering::lowerAllocExchange(tile::AllocExchangeOp op) {
  Exchange x;
  x.type = cast<tile::ExchangeType>(op.getExchange().getType());
  int64_t stages = x.type.getStages(), readers = 0;
  for (Operation *user : op.getExchange().getUsers())
    if (isa<tile::ReceiveOp>(user))
      if (auto role = user->getParentOfType<tile::RoleOp>())
        readers = role.getWarps();
  if (!readers || !member || rolesBegun)
    return op.emitOpError("expected a kernel of a cluster and a role that "
                          "receives, after this");
  // Of each part all senders' rows together.
  for (RankedTensorType part : x.type.getParts()) {
    sharedBytes = roundUp(sharedBytes, part.getRank() == 2 ? 1024 : 16);
    x.inbox.push_back(add(sharedBase, i32(sharedBytes)));
    x.offsets.push_back(sharedBytes);
    x.bytes.push_back(part.getDimSize(0) * rowBytes(part));
    sharedBytes += stages * x.bytes.back();
  }
  x.full = allocBarriers(stages);
  x.empty = allocBarriers(stages);
  x.read = allocBarriers(stages);
  auto branch = scf::IfOp::create(b, loc, isFirstThread(), false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  for (int64_t s = 0; s < stages; ++s) {
    initBarrier(x.full, s, 1);
    initBarrier(x.empty, s, x.type.getMembers());
    initBarrier(x.read, s, readers);
  }
  exchanges[op.getExchange()] = x;
  return success();
}

/// What `exchange` is in shared memory, null with an error at `op` when this
/// kernel has not allocated it.
const Exchange *ThreadLowering::exchangeOf(Operation *op, Value exchange) {
  auto it = exchanges.find(exchange);
  if (it != exchanges.end())
    return &it->second;
  op->emitOpError("expected an exchange that this kernel has allocated");
  return nullptr;
}

/// All threads of all members meet; what they wrote is visible to each other.
void ThreadLowering::joinCluster() {
  NVVM::ClusterArriveOp::create(b, loc, UnitAttr());
  NVVM::ClusterWaitOp::create(b, loc, UnitAttr());
}

LogicalResult ThreadLowering::lowerReserve(tile::ReserveOp op) {
  const Exchange *known = exchangeOf(op, op.getExchange());
  if (!known)
    return failure();
  const Exchange &x = *known;
  awaitRelease(x.empty, mapping.lookupOrDefault(op.getTurn()),
               x.type.getStages());
  return success();
}

/// Rows go straight from registers to the members that own them. A member's
/// barrier counts their bytes.
LogicalResult ThreadLowering::lowerSend(tile::SendOp op) {
  const Exchange *known = exchangeOf(op, op.getExchange());
  if (!known)
    return failure();
  const Exchange &x = *known;
  RankedTensorType type = tileOf(op.getValue());
  RankedTensorType part = x.type.getParts()[op.getPart()];
  if (type.getDimSize(0) != 16 * warps ||
      kindOf(op.getValue()) != (type.getRank() == 1 ? "rows" : "acc"))
    return op.emitOpError("expected 16 rows a warp, in the layout rows or acc");
  Value turn = mapping.lookupOrDefault(op.getTurn());
  int64_t stages = x.type.getStages(), own = x.own(), bytes = rowBytes(part);
  // Parts of the size of the first have its addresses, but for a distance that
  // an instruction adds for nothing.
  int64_t number = op.getPart();
  bool shared = x.bytes[number] == x.bytes[0];
  int64_t distance = shared ? x.offsets[number] - x.offsets[0] : 0;
  Value inbox = x.inbox[shared ? 0 : number];
  // A statement of its own: the optimiser would make a multiple of the turn and
  // one of its quotient of it, and add both to every address.
  Value stage = opaque(arith::RemUIOp::create(b, loc, turn, index(stages)));
  Value stageOffset = mul(stage, i32(x.bytes[number]));
  // What this member sends lies behind what those before it send.
  Value block = add(inbox, mul(member, i32(own * bytes)));
  Value row = firstRow(type);
  // Chunk q of a row goes to q ^ (sender % 8) ^ (4 * (place % 2)): the rows of
  // one place from all senders, which a fragment reads, meet different banks.
  Value sender = arith::AndIOp::create(b, loc, member, i32(7));
  Value odd = arith::AndIOp::create(b, loc, toI32(row), i32(1));
  Value key = arith::XOrIOp::create(b, loc, sender, mul(odd, i32(4)));
  // A thread's chunks are 4 apart, at quad + 0 or 4 of 8.
  Value low = arith::XOrIOp::create(b, loc, toI32(quad), key);
  Value other = arith::XOrIOp::create(b, loc, low, i32(4));
  int64_t column = op.getColumnOffset();
  Value limit = op.getLimit() ? mapping.lookup(op.getLimit()) : Value();
  Value isFirst =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, quad, index(0));
  for (int64_t h = 0; h < 2; ++h) {
    // Row r is for member r / own, at place r % own.
    Value r = h ? add(row, index(8)) : row;
    Value receiver = toI32(arith::DivUIOp::create(b, loc, r, index(own)));
    Value place = toI32(arith::RemUIOp::create(b, loc, r, index(own)));
    Value to = add(atMember(add(block, mul(place, i32(bytes))), receiver),
                   stageOffset);
    Value full = add(atMember(x.full, receiver), mul(stage, i32(8)));
    SmallVector<SmallVector<Value>> runs; // before any branch
    for (int64_t from = 0; type.getRank() == 2 && from < type.getDimSize(1);
         from += 32)
      runs.push_back(packRun(op.getValue(), h, from, part.getElementType()));
    Value scalar = type.getRank() == 1 ? at(op.getValue(), h) : Value();
    Value mine = scalar ? isFirst : Value(); // null: all threads
    if (limit && !scalar)
      mine = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, r, limit);
    OpBuilder::InsertionGuard guard(b);
    if (mine) {
      auto branch = scf::IfOp::create(b, loc, mine, false);
      b.setInsertionPointToStart(branch.thenBlock());
    }
    if (scalar) {
      statement(
          "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.f32 "
          "[$0+" +
              std::to_string(distance) + "], $1, [$2];",
          "r,f,r,~{memory}", 0, {to, scalar, full});
      continue;
    }
    Value chunk[2] = {add(to, mul(low, i32(16))), add(to, mul(other, i32(16)))};
    for (auto [i, run] : llvm::enumerate(runs)) {
      int64_t group = i + column / 32;
      SmallVector<Value> operands = {chunk[group % 2]};
      llvm::append_range(operands, run);
      operands.push_back(full);
      statement("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4."
                "b32 [$0+" +
                    std::to_string(distance + group / 2 * 128) +
                    "], {$1, $2, $3, $4}, [$5];",
                "r,r,r,r,r,r,~{memory}", 0, operands);
    }
  }
  return success();
}

LogicalResult ThreadLowering::lowerReceive(tile::ReceiveOp op) {
  const Exchange *known = exchangeOf(op, op.getExchange());
  if (!known)
    return failure();
  const Exchange &x = *known;
  Value turn = mapping.lookupOrDefault(op.getTurn());
  int64_t stages = x.type.getStages();
  for (Value part : op.getParts())
    if (kindOf(part) != "exchanged")
      return op.emitOpError("expected parts of layout exchanged, got ")
             << part.getType();
  Value full = stageOf(x.full, turn, stages, 8);
  // One thread says how much is to come; rows may have come before. Of this
  // member's places, limit - member * own have rows.
  Value expected = i32(x.turnBytes());
  if (op.getLimit()) {
    int64_t always = 0; // parts of one element a row
    for (auto [part, bytes] : llvm::zip(x.type.getParts(), x.bytes))
      always += part.getRank() == 1 ? bytes : 0;
    Value places =
        arith::SubIOp::create(b, loc, toI32(mapping.lookup(op.getLimit())),
                              mul(member, i32(x.own())));
    places = arith::MinSIOp::create(
        b, loc, arith::MaxSIOp::create(b, loc, places, i32(0)), i32(x.own()));
    expected =
        add(mul(places, i32((x.turnBytes() - always) / x.own())), i32(always));
  }
  {
    auto branch = scf::IfOp::create(b, loc, isFirstThread(), false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    expectBytes(full, expected);
  }
  awaitBarrier(full, parityOf(turn, stages));
  for (auto [inbox, bytes, result] : llvm::zip(x.inbox, x.bytes, op.getParts()))
    registers[result] = {stageOf(inbox, turn, stages, bytes)};
  return success();
}

/// One of the readers' warps tells all members that all of them have done, one
/// lane each: a message from every warp would crowd out rows. Warps take turns
/// at it, as it waits for the others. The default form of a remote arrive, as
/// CUTLASS has it (ClusterBarrier::arrive); `.release.cluster` takes 1,400
/// clocks (docs/performance.md).
void ThreadLowering::releaseExchange(const Exchange &x, Value turn) {
  int64_t stages = x.type.getStages();
  Value empty = stageOf(x.empty, turn, stages, 8);
  Value read = stageOf(x.read, turn, stages, 8);
  NVVM::SyncWarpOp::create(b, loc, i32(-1));
  guarded(
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, lane, index(0)),
      [&] { arrive(read); });
  Value number = arith::RemUIOp::create(b, loc, turn, index(warps));
  guarded(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, warp, number),
          [&] {
            awaitBarrier(read, parityOf(turn, stages));
            Value some =
                arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, lane,
                                      index(x.type.getMembers()));
            guarded(some, [&] {
              statement("mbarrier.arrive.shared::cluster.b64 _, [$0];",
                        "r,~{memory}", 0, {atMember(empty, toI32(lane))});
            });
          });
}
