//===- TileAssignLayouts.cpp - monarch-tile-assign-layouts ----------------===//

#include "PassDetail.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_MONARCHTILEASSIGNLAYOUTS
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

/// The warps that share the rows of a tile: of one team, where teams take
/// turns.
static int64_t rowWarps(ScheduleAttr schedule) {
  return std::min(schedule.getWarps(),
                  std::max<int64_t>(1, schedule.getRows() / 16));
}

/// The layout kind that the uses of a tile ask for. Query rows are in shared
/// memory where there are no registers for them.
static StringRef kindFor(Value v, ScheduleAttr schedule, bool sharesQuery) {
  int64_t rank = cast<RankedTensorType>(v.getType()).getRank();
  bool isLoad = v.getDefiningOp<tile::LoadOp>() != nullptr;
  if (v.getDefiningOp<tile::ReceiveOp>())
    return "exchanged";
  if (rank == 1) {
    for (Operation *user : v.getUsers()) {
      auto broadcast = dyn_cast<tile::BroadcastOp>(user);
      if (broadcast && broadcast.getAxis() == 0)
        return "columns";
      if (isa<arith::SelectOp>(user))
        return kindFor(user->getResult(0), schedule, sharesQuery);
    }
    return "rows";
  }
  // Rows of queries may be carried through loops and branches.
  Operation *op = v.getDefiningOp();
  bool isCarried = !op || isa<scf::IfOp, scf::ForOp, arith::ConstantOp>(op);
  bool isF32 = cast<RankedTensorType>(v.getType()).getElementType().isF32();
  if (isCarried && !isF32)
    return sharesQuery ? "swizzled" : "lhs";
  if (!isLoad || isF32)
    return "acc";
  for (Operation *user : v.getUsers())
    if (auto dot = dyn_cast<tile::DotOp>(user))
      if (dot.getRhs() == v)
        return schedule.getKind() == "wgmma" ? "swizzled" : "shared";
  return sharesQuery ? "swizzled" : "lhs";
}

namespace {
struct TileAssignLayouts
    : monarch::impl::MonarchTileAssignLayoutsBase<TileAssignLayouts> {
  void assign(Value v, ScheduleAttr schedule, int64_t warps, bool sharesQuery) {
    auto type = dyn_cast<RankedTensorType>(v.getType());
    if (!type || type.getEncoding())
      return;
    StringRef kind = kindFor(v, schedule, sharesQuery);
    auto load = v.getDefiningOp<tile::LoadOp>();
    int64_t rows = kind == "swizzled" && load && isSettled(load.getSource())
                       ? 8 // which come together
                       : 0;
    auto layout = tile::LayoutAttr::get(&getContext(), kind, warps, rows);
    auto placed =
        RankedTensorType::get(type.getShape(), type.getElementType(), layout);
    v.setType(placed);
    if (auto constant = v.getDefiningOp<arith::ConstantOp>())
      constant.setValueAttr(DenseElementsAttr::get(
          placed, cast<DenseElementsAttr>(constant.getValue())
                      .getSplatValue<Attribute>()));
  }

  /// Constants from outside, as the role's own: roles lay them out differently.
  static void takeConstants(tile::RoleOp role) {
    llvm::DenseMap<Operation *, Operation *> copies;
    OpBuilder b = OpBuilder::atBlockBegin(&role.getBody().front());
    role.walk([&](Operation *op) {
      for (OpOperand &operand : op->getOpOperands()) {
        auto constant = operand.get().getDefiningOp<arith::ConstantOp>();
        if (!constant || !isa<RankedTensorType>(constant.getType()) ||
            role->isAncestor(constant))
          continue;
        Operation *&copy = copies[constant];
        if (!copy)
          copy = b.clone(*constant);
        operand.set(copy->getResult(0));
      }
    });
  }

  /// `kernel`: a function, or a role of one whose steps have schedules of their
  /// own, of which `warps` share the rows of a tile.
  void runOnKernel(Operation *kernel, ScheduleAttr schedule, int64_t warps) {
    bool readsFactors = false;
    kernel->walk([&](Operation *op) {
      if (auto load = dyn_cast<tile::LoadOp>(op))
        readsFactors |= isFactor(load.getSource()) &&
                        cast<RankedTensorType>(load.getType()).getRank() == 2;
      readsFactors |= isa<tile::ReceiveOp>(op);
    });
    // Teams that take turns have no registers for query rows, nor have the
    // warps of a ring or of L.
    bool readsInBulk = false;
    kernel->walk([&](tile::LoadOp load) {
      readsInBulk |= isFactor(load.getSource()) && !load.getLimit();
    });
    bool sharesQuery =
        schedule.getKind() == "wgmma" &&
        (schedule.getCluster() > 1 || schedule.getRing() || readsInBulk);
    kernel->walk([&](Operation *op) {
      for (Value v : op->getResults())
        assign(v, schedule, warps, sharesQuery);
      for (Region &region : op->getRegions())
        for (Block &block : region)
          for (Value v : block.getArguments())
            assign(v, schedule, warps, sharesQuery);
    });
    kernel->walk([&](tile::ReceiveOp receive) {
      OpBuilder b(receive->getBlock(), std::next(receive->getIterator()));
      for (Value v : receive.getResults()) {
        auto type = cast<RankedTensorType>(v.getType());
        if (type.getRank() != 1)
          continue;
        auto columns = RankedTensorType::get(
            type.getShape(), type.getElementType(),
            tile::LayoutAttr::get(&getContext(), "columns", warps));
        auto conversion =
            tile::ConvertLayoutOp::create(b, receive.getLoc(), columns, v);
        v.replaceAllUsesExcept(conversion, conversion);
        ++conversions;
      }
    });
    kernel->walk([&](tile::DotOp dot) {
      tile::LayoutAttr layout = tile::layoutOf(dot.getLhs().getType());
      if (layout.getKind() == "lhs" || layout.getKind() == "swizzled")
        return;
      auto type = cast<RankedTensorType>(dot.getLhs().getType());
      auto wanted = RankedTensorType::get(
          type.getShape(), type.getElementType(),
          tile::LayoutAttr::get(&getContext(), "lhs", warps));
      OpBuilder b(dot);
      // A product in several chunks shares one conversion.
      tile::ConvertLayoutOp conversion;
      for (Operation *user : dot.getLhs().getUsers())
        if (auto existing = dyn_cast<tile::ConvertLayoutOp>(user))
          if (existing.getType() == wanted)
            conversion = existing;
      if (!conversion) {
        b.setInsertionPointAfterValue(dot.getLhs());
        conversion = tile::ConvertLayoutOp::create(b, dot.getLoc(), wanted,
                                                   dot.getLhs());
        ++conversions;
      }
      dot.getLhsMutable().assign(conversion);
    });
    // Intermediates hold interleaved channels. A kernel that reads them
    // interleaves its queries and its outputs; the one that writes them, those.
    kernel->walk([&](Operation *op) {
      if (auto load = dyn_cast<tile::LoadOp>(op)) {
        StringRef kind = tile::layoutOf(load.getType()).getKind();
        bool isSharedQuery =
            kind == "swizzled" && sharesQuery && !isFactor(load.getSource());
        if (readsFactors && (kind == "lhs" || isSharedQuery))
          load.setInterleave(true);
      } else if (auto store = dyn_cast<tile::StoreOp>(op)) {
        auto type = cast<RankedTensorType>(store.getValue().getType());
        bool ofAnother = cast<MemRefType>(store.getDest().getType())
                             .getElementType()
                             .isF32(); // another program's to go on with
        if (type.getRank() == 2 && !ofAnother &&
            readsFactors != isFactor(store.getDest()))
          store.setInterleave(true);
      }
    });
  }

  void runOnOperation() override {
    for (auto kernel : getOperation().getOps<func::FuncOp>())
      if (ScheduleAttr schedule = scheduleOf(kernel)) {
        auto beside = kernel->getAttrOfType<ScheduleAttr>(tile::besideAttrName);
        bool hasRoles = false;
        kernel.walk([&](tile::RoleOp role) {
          hasRoles = true;
          takeConstants(role);
          ScheduleAttr of = role.getBeside() && beside ? beside : schedule;
          // Of the rest of the rows, single warps have 16.
          int64_t warps = rowWarps(of);
          runOnKernel(role, of, std::min<int64_t>(warps, role.getWarps()));
        });
        if (!hasRoles)
          runOnKernel(kernel, schedule, rowWarps(schedule));
      }
  }
};
} // namespace
