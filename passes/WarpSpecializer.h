//===- WarpSpecializer.h - the program of one kernel, in roles --*- C++ -*-===//
#ifndef MONARCH_PASSES_WARPSPECIALIZER_H
#define MONARCH_PASSES_WARPSPECIALIZER_H

#include "PassDetail.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace monarch {
using namespace mlir;

/// What is left for a thread of `consumers` of a program's `warps` where a lane
/// of all others has `others`: they start with equal shares of 65536.
inline int64_t shareOf(int64_t consumers, int64_t warps, int64_t others) {
  int64_t atLaunch = 65536 / (32 * warps) / 8 * 8;
  return (atLaunch * warps - others) / consumers / 8 * 8;
}

/// Splits the program of one kernel into a producer, which starts the copies of
/// swizzled tiles, and consumers, which do all else.
class WarpSpecializer {
public:
  WarpSpecializer(func::FuncOp kernel, scf::ForallOp programs)
      : kernel(kernel), programs(programs), schedule(scheduleOf(kernel)),
        b(kernel), loc(kernel.getLoc()) {}

  LogicalResult run();

private:
  LogicalResult addBox(tile::LoadOp load, SmallVectorImpl<int64_t> &box);
  LogicalResult nameBox(tile::LoadOp load, ArrayRef<int64_t> box);
  LogicalResult nameBox(tile::StoreOp store);
  LogicalResult nameBox(Operation *op, Value memory, ArrayRef<int64_t> box,
                        ArrayRef<int64_t> extents, ArrayRef<int64_t> strides);
  LogicalResult runTeams(tile::RoleOp role,
                         MutableArrayRef<tile::LoadOp> loads);
  LogicalResult runRing(tile::RoleOp consumer,
                        MutableArrayRef<tile::LoadOp> loads);
  LogicalResult runReaders(tile::RoleOp role, ArrayRef<tile::RoleOp> rest);
  void produce(MutableArrayRef<tile::LoadOp> loads, scf::ForOp loop);
  Value turnOf(scf::ForOp loop, Value at);
  void eachTurn(scf::ForOp loop, Operation *scope,
                llvm::function_ref<void(Value, IRMapping &)> body,
                const IRMapping &known = IRMapping());
  LogicalResult loadAhead(scf::ForOp &loop);
  void messenger(int64_t warp, int64_t teams, scf::ForOp loop,
                 tile::RoleOp consumer, Value team,
                 llvm::function_ref<void(Value, IRMapping &)> body);
  int64_t producerRegisters() const;
  int64_t consumerRegisters() const;
  void dealRegisters(tile::RoleOp role);
  void produceForTeams(tile::RoleOp role, scf::ForOp loop, int64_t teams,
                       MutableArrayRef<tile::LoadOp> loads);
  void releaseReceived();
  LogicalResult allocate(MutableArrayRef<tile::LoadOp> loads,
                         ArrayRef<int64_t> stages);
  void copy(size_t i, tile::LoadOp load, Value turn, Value enable,
            Operation *scope, IRMapping &mapping);
  void acquire(size_t i, tile::LoadOp load, Block *where, Value turn);
  tile::RoleOp makeRole(StringRef kind, int64_t warps, int64_t first,
                        int64_t registers, int64_t teams = 1,
                        int64_t lanes = 1) {
    auto role = tile::RoleOp::create(b, loc, kind, warps, first, registers,
                                     /*beside=*/false, teams, lanes);
    b.createBlock(&role.getBody());
    return role;
  }
  func::FuncOp kernel;
  scf::ForallOp programs;
  ScheduleAttr schedule;
  OpBuilder b;
  Location loc;
  SmallVector<Value> rings;    ///< one a load
  SmallVector<AffineMap> maps; ///< of the copies
  SmallVector<SmallVector<int64_t>> boxes;
};

} // namespace monarch

#endif // MONARCH_PASSES_WARPSPECIALIZER_H
