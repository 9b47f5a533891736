//===- ThreadTeams.cpp - what the teams of a role have, put together ------===//

#include "ThreadLowering.h"

using namespace mlir;
using namespace monarch;

/// Through shared memory: each team writes its registers to a place of its own,
/// and reads those of all.
LogicalResult ThreadLowering::lowerReduceTeams(tile::ReduceTeamsOp op) {
  auto role = op->getParentOfType<tile::RoleOp>();
  StringRef layout = kindOf(op.getValue());
  if (layout != "rows" && layout != "acc")
    return op.emitOpError("expected a tile in registers (rows or acc), got ")
           << layout;
  if (role.getWarps() > 4)
    return op.emitOpError("expected teams of up to 4 warps, got ")
           << role.getWarps();
  Registers mine = all(op.getValue());
  // As many registers of a thread as one instruction takes lie together.
  int64_t count = mine.size(), together = count % 4 ? count % 2 ? 1 : 2 : 4;
  int64_t threads = 32 * role.getWarps(), first = roundUp(sharedBytes, 16);
  sharedBytes = first + 4 * count * threads;
  Type type = VectorType::get({together}, b.getF32Type());
  // Addresses are made here, or they would wait in registers.
  NumbersHere here(*this, true);
  Value number = add(mul(warp, index(32)), lane);
  Value own = add(toI32(mul(number, index(4 * together))), i32(first));
  auto pointer = [&](Value base, int64_t i) {
    return sharedPointer(add(add(base, own), i32(4 * i * threads)));
  };
  auto meetAll = [&] {
    meetAt(i32(furtherBarrierOf(role)), threads * role.getTeams());
  };
  for (int64_t i = 0; i < count; i += together)
    LLVM::StoreOp::create(b, loc, vectorOf(ArrayRef(mine).slice(i, together)),
                          pointer(sharedBase, i), 4 * together);
  meetAll();
  Registers all(count);
  for (int64_t i = 0; i < count; i += together)
    for (int64_t team = 0; team < int64_t(role.getTeams()); ++team) {
      Value base = add(teamsBase, mul(i32(team), teamBytes));
      Value v =
          LLVM::LoadOp::create(b, loc, type, pointer(base, i), 4 * together);
      for (int64_t j = 0; j < together; ++j) {
        Value x = LLVM::ExtractElementOp::create(b, loc, v, i32(j));
        Value &known = all[i + j];
        known = known ? combined(b, loc, op.getKind(), known, x) : x;
      }
    }
  meetAll(); // before what comes next is written there
  registers[op.getResult()] = all;
  return success();
}
