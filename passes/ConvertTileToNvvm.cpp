//===- ConvertTileToNvvm.cpp - convert-monarch-tile-to-nvvm ---------------===//

#include "ThreadLowering.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_CONVERTMONARCHTILETONVVM
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

LogicalResult ThreadLowering::lowerFor(scf::ForOp op) {
  formForRegion(op.getRegion());
  SmallVector<Value> inits = flatten(op.getInitArgs());
  auto loop =
      scf::ForOp::create(b, loc, mapping.lookupOrDefault(op.getLowerBound()),
                         mapping.lookupOrDefault(op.getUpperBound()),
                         mapping.lookupOrDefault(op.getStep()), inits);
  mapping.map(op.getInductionVar(), loop.getInductionVar());
  bind(op.getRegionIterArgs(), loop.getRegionIterArgs());
  Value team, outside; // of a role's teams, and what it is around the loop
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    // Much is made of a persistent kernel's turn: a register for the turn, and
    // not one that steps along for each of them. What is made of a team's
    // number is made here, or it would wait in registers as well.
    if (scheduleOf(from).getRing()) {
      auto here = [&](Value v, bool sideEffects) -> Value {
        return arith::IndexCastOp::create(b, loc, b.getIndexType(),
                                          opaque(v, sideEffects));
      };
      mapping.map(op.getInductionVar(), here(loop.getInductionVar(), false));
      auto role = dyn_cast<tile::RoleOp>(op->getParentOp());
      if (role && role.getTeams() > 1) {
        team = role.getBody().getArgument(0);
        outside = mapping.lookup(team);
        mapping.map(team, here(outside, true));
      }
    }
    if (failed(lowerBlock(op.getBody())))
      return failure();
    SmallVector<Value> yielded =
        flatten(op.getBody()->getTerminator()->getOperands());
    if (!inits.empty())
      scf::YieldOp::create(b, loc, yielded);
  }
  if (team)
    mapping.map(team, outside);
  bind(op.getResults(), loop.getResults());
  return success();
}

/// The thread's numbers from a register that the optimiser knows nothing of.
void ThreadLowering::readThreadAnew() {
  setThread(arith::IndexCastOp::create(b, loc, b.getIndexType(),
                                       opaque(thread, /*sideEffects=*/true)));
}

void ThreadLowering::setThread(Value number) {
  lane = arith::AndIOp::create(b, loc, number, index(31));
  warp = arith::ShRUIOp::create(b, loc, number, index(5));
  group = arith::ShRUIOp::create(b, loc, lane, index(2));
  quad = arith::AndIOp::create(b, loc, lane, index(3));
}

LogicalResult ThreadLowering::lowerIf(scf::IfOp op) {
  SmallVector<Type> types;
  for (Type type : op.getResultTypes()) {
    auto tile = dyn_cast<RankedTensorType>(type);
    if (!tile) {
      if (!type.isIntOrIndexOrFloat())
        return op.emitOpError(
                   "expected results that are scalars or tiles, got ")
               << type;
      types.push_back(type);
      continue;
    }
    StringRef kind = tile::layoutOf(tile).getKind();
    bool words = kind == "lhs" || kind == "swizzled";
    if (!words && !tile.getElementType().isF32())
      return op.emitOpError("expected tiles of f32, of layout lhs or swizzled, "
                            "got ")
             << type;
    types.append(registerCount(tile),
                 words ? Type(b.getI32Type()) : b.getF32Type());
  }
  for (Region &region : op->getRegions())
    formForRegion(region);
  auto branch =
      scf::IfOp::create(b, loc, types, mapping.lookup(op.getCondition()),
                        !op.getElseRegion().empty());
  // Roles in the two branches are those of different programs, which use the
  // same shared memory.
  bool hasRoles = false;
  op.walk([&](tile::RoleOp) { hasRoles = true; });
  int64_t start = sharedBytes, most = sharedBytes;
  for (auto [from, to] : llvm::zip(op->getRegions(), branch->getRegions())) {
    if (from.empty())
      continue;
    if (hasRoles) {
      sharedBytes = start;
      nextBarrier = barrierEnd = 0;
      rolesBegun = false;
    }
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&to.front());
    // Addresses in a branch are made there: the thread's numbers are read anew,
    // in a statement that nothing moves, or they would wait in registers.
    NumbersHere here(*this, !types.empty() &&
                                !from.front().getOps<tile::LoadOp>().empty());
    if (failed(lowerBlock(&from.front())))
      return failure();
    SmallVector<Value> yielded =
        flatten(from.front().getTerminator()->getOperands());
    if (!types.empty())
      scf::YieldOp::create(b, loc, yielded);
    most = std::max(most, sharedBytes);
  }
  sharedBytes = most;
  bind(op.getResults(), branch.getResults());
  return success();
}

/// How many of the dimensions of programs are slabs: their number is known at
/// run time only.
static size_t slabDimensions(scf::ForallOp op) {
  return getConstantIntValue(op.getMixedUpperBound()[0]) ? 0 : 1;
}

/// Programs become blocks: x counts all dimensions but the slab, last fastest;
/// y is the slab. Programs of a persistent kernel are for all slabs.
LogicalResult ThreadLowering::lowerForall(scf::ForallOp op) {
  // A kernel has one: its programs are its blocks.
  if (op->getParentOp() != from ||
      !llvm::hasSingleElement(from.getOps<scf::ForallOp>()))
    return op.emitOpError("expected one scf.forall, directly in the kernel");
  SmallVector<OpFoldResult> bounds = op.getMixedUpperBound();
  if (bounds.empty() || !op.isNormalized() || op.getNumResults())
    return op.emitOpError("expected programs from 0 by 1, in one dimension or "
                          "more, without results");
  for (OpFoldResult bound : ArrayRef(bounds).drop_front(slabDimensions(op)))
    if (getConstantIntValue(bound).value_or(0) < 1)
      return op.emitOpError("expected constant positive numbers of programs "
                            "after the first");
  Type i32Type = b.getI32Type();
  mapPrograms(op, NVVM::BlockIdXOp::create(b, loc, i32Type),
              NVVM::BlockIdYOp::create(b, loc, i32Type));
  return lowerBlock(op.getBody());
}

void ThreadLowering::mapPrograms(scf::ForallOp op, Value blockX, Value blockY) {
  auto special = [&](Value v) -> Value {
    return arith::IndexCastOp::create(b, loc, b.getIndexType(), v);
  };
  Value rest = special(blockX), y = special(blockY);
  SmallVector<OpFoldResult> bounds = op.getMixedUpperBound();
  size_t first = slabDimensions(op);
  if (first)
    mapping.map(op.getInductionVar(0), y);
  for (size_t x = bounds.size(); x-- > first;) {
    Value extent = index(*getConstantIntValue(bounds[x]));
    if (x == first) {
      mapping.map(op.getInductionVar(x), rest);
      break;
    }
    mapping.map(op.getInductionVar(x),
                arith::RemUIOp::create(b, loc, rest, extent));
    rest = arith::DivUIOp::create(b, loc, rest, extent);
  }
}

/// Makes the scalars again that `v` is made of, from the program's numbers.
void ThreadLowering::remakeScalars(Value v, llvm::DenseSet<Value> &made) {
  Operation *op = v.getDefiningOp();
  if (!op || op->hasTrait<OpTrait::ConstantLike>() || !made.insert(v).second)
    return;
  for (Value operand : op->getOperands())
    remakeScalars(operand, made);
  [[maybe_unused]] LogicalResult lowered = lower(op);
  assert(succeeded(lowered) && "expected a scalar that was lowered before");
}

/// The program's numbers, in statements that nothing moves or merges, and what
/// `op` indexes with made of them.
void ThreadLowering::readProgramAnew(Operation *op) {
  auto read = [&](StringRef text) {
    return assembly(text, "=r", b.getI32Type(), {}, /*sideEffects=*/true);
  };
  mapPrograms(op->getParentOfType<scf::ForallOp>(),
              read("mov.u32 $0, %ctaid.x;"), read("mov.u32 $0, %ctaid.y;"));
  llvm::DenseSet<Value> made;
  for (Value v : op->getOperands())
    if (v.getType().isIndex())
      remakeScalars(v, made);
}

/// A warp has one role: the next is asked for where this one is not taken, or
/// what others need would wait in registers of those that take it.
LogicalResult ThreadLowering::lowerBlock(Block *block) {
  std::optional<OpBuilder::InsertPoint> afterRoles;
  for (Operation &op : *block) {
    if (op.hasTrait<OpTrait::IsTerminator>())
      continue;
    if (failed(lower(&op)))
      return failure();
    if (isa<tile::RoleOp>(op) &&
        isa_and_nonnull<tile::RoleOp>(op.getNextNode())) {
      auto branch = cast<scf::IfOp>(*std::prev(b.getInsertionPoint()));
      if (!afterRoles)
        afterRoles = b.saveInsertionPoint();
      b.setInsertionPointToStart(&branch.getElseRegion().emplaceBlock());
      b.setInsertionPoint(scf::YieldOp::create(b, loc));
    } else if (afterRoles) {
      b.restoreInsertionPoint(*std::exchange(afterRoles, std::nullopt));
    }
  }
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
      .Case<tile::ReduceOp, tile::FoldOp, tile::BroadcastOp>(
          [&](auto) { return success(); })
      .Case<tile::ConvertLayoutOp>([&](auto o) { return lowerConvert(o); })
      .Case<tile::ColumnOp>([&](auto o) { return lowerColumn(o); })
      .Case<tile::RaiseMaximumOp>([&](auto o) { return lowerRaiseMaximum(o); })
      .Case<tile::ReduceTeamsOp>([&](auto o) { return lowerReduceTeams(o); })
      .Case<tile::AllocRingOp>([&](auto o) { return lowerAlloc(o); })
      .Case<tile::CopyAsyncOp>([&](auto o) { return lowerCopy(o), success(); })
      .Case<tile::CommitOp>([&](auto) {
        NVVM::CpAsyncCommitGroupOp::create(b, loc);
        return success();
      })
      .Case<tile::WaitOp>([&](auto o) {
        auto role = o->template getParentOfType<tile::RoleOp>();
        NVVM::CpAsyncWaitGroupOp::create(b, loc, o.getPending());
        if (threadsFillSwizzled || role) // wgmma reads by the async proxy
          fenceProxy();
        if (!role)
          NVVM::Barrier0Op::create(b, loc);
        else if (o.getParts() > 1)
          meetInWarpgroups(role);
        else
          meet(role);
        return success();
      })
      .Case<tile::AwaitCountOp>([&](auto o) { return lowerAwaitCount(o); })
      .Case<tile::AllocSignalOp>([&](auto o) { return lowerAllocSignal(o); })
      .Case<tile::RaiseOp>([&](auto o) { return lowerRaise(o); })
      .Case<tile::AwaitSignalOp>([&](auto o) { return lowerAwaitSignal(o); })
      .Case<tile::AddCountOp>([&](auto o) { return lowerAddCount(o); })
      .Case<tile::ReadOp>([&](auto o) {
        const Ring &ring = rings.find(o.getRing())->second;
        registers[o.getResult()] = {
            add(ring.base, mul(toI32(mapping.lookup(o.getStage())),
                               i32(ring.stageBytes)))};
        return success();
      })
      .Case<tile::SettleOp>([&](auto o) { return lowerSettle(o); })
      .Case<tile::RoleOp>([&](auto o) { return lowerRole(o); })
      .Case<tile::CopyBulkOp>([&](auto o) { return lowerCopyBulk(o); })
      .Case<tile::AcquireOp>([&](auto o) { return lowerAcquire(o); })
      .Case<tile::ReleaseOp>([&](auto o) { return lowerRelease(o); })
      .Case<tile::AwaitOp>([&](auto o) { return lowerAwait(o), success(); })
      .Case<tile::StageOp>([&](auto o) { return lowerStage(o); })
      .Case<tile::CopyOutOp>([&](auto o) { return lowerCopyOut(o); })
      .Case<tile::AwaitOutOp>(
          [&](auto o) { return lowerAwaitOut(o), success(); })
      .Case<tile::AllocExchangeOp>(
          [&](auto o) { return lowerAllocExchange(o); })
      .Case<tile::ReserveOp>([&](auto o) { return lowerReserve(o); })
      .Case<tile::SendOp>([&](auto o) { return lowerSend(o); })
      .Case<tile::ReceiveOp>([&](auto o) { return lowerReceive(o); })
      .Case<scf::ForOp>([&](auto o) { return lowerFor(o); })
      .Case<scf::IfOp>([&](auto o) { return lowerIf(o); })
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
        } else if (isa<arith::ArithDialect>(o->getDialect()) &&
                   llvm::all_of(o->getResultTypes(), [](Type type) {
                     return type.isIntOrIndexOrFloat();
                   })) {
          b.clone(*o, mapping);
          return success();
        }
        return o->emitOpError("is not an op of the mapped level");
      });
}

LogicalResult ThreadLowering::run() {
  MLIRContext *context = b.getContext();
  auto placed = from.walk([](Operation *op) {
    for (Value v : op->getResults())
      if (auto tile = dyn_cast<RankedTensorType>(v.getType()))
        if (!isa_and_nonnull<tile::LayoutAttr>(tile.getEncoding()) &&
            !op->use_empty()) {
          op->emitOpError("expected tiles with a layout, got ") << tile;
          return WalkResult::interrupt();
        }
    return WalkResult::advance();
  });
  if (placed.wasInterrupted())
    return failure();
  auto global = LLVM::LLVMPointerType::get(context, 1);
  // Arguments: for each memref its pointer, dynamic sizes and dynamic strides,
  // and its tensor map where it is copied in bulk.
  std::function<bool(Value)> isCopiedInBulk = [&](Value memory) {
    return llvm::any_of(memory.getUsers(), [&](Operation *user) {
      if (auto settle = dyn_cast<tile::SettleOp>(user))
        return settle.getMemory() == memory ? isCopiedInBulk(settle.getNear())
               : settle.getInto() == memory
                   ? isCopiedInBulk(settle.getNearInto())
                   : false;
      if (isa<tile::CopyOutOp>(user) && isSettled(memory))
        return true;
      auto copy = dyn_cast<tile::CopyBulkOp>(user);
      return copy &&
             tile::layoutOf(
                 cast<tile::RingType>(copy.getRing().getType()).getTile())
                     .getKind() == "swizzled";
    });
  };
  SmallVector<Type> types;
  SmallVector<unsigned> maps;
  for (BlockArgument argument : from.getArguments()) {
    auto memref = dyn_cast<MemRefType>(argument.getType());
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
    if (isCopiedInBulk(argument)) {
      maps.push_back(types.size());
      types.push_back(LLVM::LLVMPointerType::get(context));
    }
  }
  auto kernel = LLVM::LLVMFuncOp::create(
      b, loc, from.getName(),
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), types));
  kernel->setAttr("nvvm.kernel", b.getUnitAttr());
  allWarps = warps;
  int64_t members = 1;
  bool hasRoles = false;
  from.walk([&](Operation *op) {
    auto role = dyn_cast<tile::RoleOp>(op);
    hasRoles |= bool(role);
    if (role && !role->getParentOfType<tile::RoleOp>())
      allWarps = std::max<int64_t>(
          allWarps, role.getFirst() + role.getTeams() * role.getWarps());
    if (auto alloc = dyn_cast<tile::AllocExchangeOp>(op))
      members =
          cast<tile::ExchangeType>(alloc.getExchange().getType()).getMembers();
  });
  // Each warpgroup has two of 16 barriers, of which one is the program's.
  if (hasRoles && allWarps > 28)
    return from.emitError("expected roles of up to 28 warps, got ") << allWarps;
  int64_t threads = 32 * allWarps;
  if (members > 1) // programs that differ in the last index only
    kernel->setAttr("nvvm.cluster_dim",
                    b.getDenseI32ArrayAttr({int32_t(members), 1, 1}));
  kernel->setAttr("nvvm.reqntid",
                  b.getDenseI32ArrayAttr({int32_t(threads), 1, 1}));
  for (unsigned map : maps) {
    kernel.setArgAttr(
        map, "llvm.byval",
        TypeAttr::get(LLVM::LLVMArrayType::get(b.getI8Type(), 128)));
    kernel.setArgAttr(map, "llvm.align", b.getI64IntegerAttr(64));
    kernel.setArgAttr(map, "nvvm.grid_constant", b.getUnitAttr());
  }
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
    if (isCopiedInBulk(argument))
      tensorMaps[argument] = *next++;
  }
  auto shared = LLVM::LLVMPointerType::get(context, 3);
  Value base = LLVM::AddressOfOp::create(b, loc, shared, "monarch_shared");
  sharedBase = LLVM::PtrToIntOp::create(b, loc, b.getI32Type(), base);
  thread = asIndex(NVVM::ThreadIdXOp::create(b, loc, b.getI32Type()));
  setThread(thread);
  if (members > 1)
    member = NVVM::BlockInClusterIdXOp::create(b, loc, b.getI32Type());
  if (failed(lowerBlock(&from.getBody().front())))
    return failure();
  if (member) // others may still copy to here, or say that they have read
    joinCluster();
  LLVM::ReturnOp::create(b, loc, ValueRange());
  kernel->setAttr("monarch.shared_bytes", b.getI64IntegerAttr(sharedBytes));
  int64_t programs = 1;
  from.walk([&](scf::ForallOp forall) {
    for (OpFoldResult bound : ArrayRef(forall.getMixedUpperBound())
                                  .drop_front(slabDimensions(forall)))
      programs *= getConstantIntValue(bound).value_or(1);
  });
  kernel->setAttr("monarch.programs", b.getI64IntegerAttr(programs));
  return success();
}

namespace {
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
      StringRef kind = scheduleOf(kernel).getKind();
      if (kind != "mma_sync" && kind != "wgmma") {
        kernel.emitError("expected a schedule of kind mma_sync or wgmma, got ")
            << kind;
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
