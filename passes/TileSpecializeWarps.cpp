//===- TileSpecializeWarps.cpp - monarch-tile-specialize-warps ------------===//

#include "PassDetail.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace monarch;

namespace monarch {
#define GEN_PASS_DEF_MONARCHTILESPECIALIZEWARPS
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch

namespace {

bool wantsBulkCopy(tile::LoadOp load) {
  return tile::layoutOf(load.getType()).getKind() == "swizzled";
}

/// Ops that both roles need and that cost nothing to share: index arithmetic.
bool isScalar(Operation *op) {
  return op->getNumRegions() == 0 && isMemoryEffectFree(op) &&
         op->getNumResults() > 0 &&
         llvm::none_of(op->getResultTypes(),
                       [](Type t) { return isa<RankedTensorType>(t); });
}

/// Splits the program of one kernel into a producer, which starts the copies of
/// swizzled tiles, and consumers, which do all else.
class Specializer {
public:
  Specializer(func::FuncOp kernel, scf::ForallOp programs)
      : kernel(kernel), programs(programs), schedule(scheduleOf(kernel)),
        b(kernel), loc(kernel.getLoc()) {}

  LogicalResult run();

private:
  LogicalResult addBox(tile::LoadOp load, SmallVectorImpl<int64_t> &box);
  void nameBox(Value memory, ArrayRef<int64_t> box);
  tile::RoleOp makeRole(StringRef kind, int64_t registers) {
    auto role = tile::RoleOp::create(b, loc, kind, registers);
    b.createBlock(&role.getBody());
    return role;
  }
  func::FuncOp kernel;
  scf::ForallOp programs;
  ScheduleAttr schedule;
  OpBuilder b;
  Location loc;
};

/// Extents of the box that a load of rows reads, batch left out: the rows along
/// the one index that moves with the row, all channels of a half.
LogicalResult Specializer::addBox(tile::LoadOp load,
                                  SmallVectorImpl<int64_t> &box) {
  auto type = cast<RankedTensorType>(load.getType());
  int64_t rows = type.getDimSize(0);
  if (load.getLimit()) {
    auto limit = getConstantIntValue(load.getLimit());
    if (!limit)
      return load.emitOpError("expected a constant limit for a bulk copy");
    rows = std::min(rows, *limit);
  }
  AffineMap map = load.getMap();
  unsigned row = map.getNumDims() - 1;
  int moving = 0;
  for (AffineExpr e : map.getResults().drop_front()) {
    bool moves = e.isFunctionOfDim(row);
    if (moves) {
      AffineExpr rest = e - b.getAffineDimExpr(row);
      rest = simplifyAffineExpr(rest, map.getNumDims(), 0);
      moving += rest.isFunctionOfDim(row) ? 2 : 1;
    }
    box.push_back(moves ? rows : 1);
  }
  if (moving != 1 || map.getResult(0).isFunctionOfDim(row))
    return load.emitOpError(
               "expected rows along one axis for a bulk copy, got ")
           << load.getMapAttr();
  // One 128-byte swizzle atom is 64 channels wide.
  box.push_back(64);
  return success();
}

/// Tells the launch plan that the kernel takes a tensor map for `memory`.
void Specializer::nameBox(Value memory, ArrayRef<int64_t> box) {
  auto module = kernel->getParentOfType<ModuleOp>();
  auto plan = module->getAttrOfType<DictionaryAttr>(planAttrName);
  if (!plan || !plan.getAs<ArrayAttr>("launches"))
    return; // a kernel on its own, in a test
  unsigned number = cast<BlockArgument>(memory).getArgNumber();
  auto with = [&](DictionaryAttr d, StringRef key, Attribute value) {
    NamedAttrList list(d);
    list.set(key, value);
    return list.getDictionary(b.getContext());
  };
  SmallVector<Attribute> launches;
  for (auto launch :
       plan.getAs<ArrayAttr>("launches").getAsRange<DictionaryAttr>()) {
    auto arguments = launch.getAs<ArrayAttr>("arguments");
    if (launch.getAs<StringAttr>("kernel").getValue() == kernel.getName()) {
      SmallVector<Attribute> list(arguments.getValue());
      list[number] = with(cast<DictionaryAttr>(list[number]), "box",
                          b.getDenseI64ArrayAttr(box));
      launch = with(launch, "arguments", b.getArrayAttr(list));
    }
    launches.push_back(launch);
  }
  module->setAttr(planAttrName,
                  with(plan, "launches", b.getArrayAttr(launches)));
}

LogicalResult Specializer::run() {
  Block *body = programs.getBody();
  SmallVector<tile::LoadOp> loads;
  programs.walk([&](tile::LoadOp load) {
    if (wantsBulkCopy(load))
      loads.push_back(load);
  });
  if (loads.empty())
    return kernel.emitError("expected loads of swizzled tiles");
  Block *turns = loads.front()->getBlock();
  auto loop = dyn_cast<scf::ForOp>(turns->getParentOp());
  for (tile::LoadOp load : loads)
    if (load->getBlock() != turns)
      return load.emitOpError("expected all swizzled tiles in one loop");
  if (loop && (loop->getBlock() != body ||
               getConstantIntValue(loop.getLowerBound()) != 0 ||
               getConstantIntValue(loop.getStep()) != 1))
    return loop.emitError("expected one loop over key tiles, from 0 by 1");

  b.setInsertionPointToStart(body);
  loc = programs.getLoc();
  Value zero = arith::ConstantIndexOp::create(b, loc, 0);
  SmallVector<Value> rings;
  SmallVector<SmallVector<int64_t>> boxes(loads.size());
  for (auto [load, box] : llvm::zip(loads, boxes)) {
    rings.push_back(tile::AllocRingOp::create(
        b, load.getLoc(),
        tile::RingType::get(b.getContext(), schedule.getStages(),
                            cast<RankedTensorType>(load.getType()))));
    if (failed(addBox(load, box)))
      return failure();
    nameBox(load.getSource(), box);
  }

  // Registers of an SM are dealt to warpgroups: 3 consumers at 160 and a
  // producer at 32 are all 65536, 2 at 240 and one at 24 nearly.
  int64_t consumers = schedule.getWarps() / 4;
  int64_t producerRegisters = consumers == 3 ? 32 : consumers == 2 ? 24 : 0;
  int64_t consumerRegisters = consumers == 3 ? 160 : consumers == 2 ? 240 : 0;

  SmallVector<Operation *> work;
  for (Operation &op : body->without_terminator())
    if (!isa<tile::AllocRingOp>(op) && !isScalar(&op))
      work.push_back(&op);
  b.setInsertionPoint(body->getTerminator());
  makeRole("producer", producerRegisters);
  {
    IRMapping mapping;
    Value turn = zero;
    if (loop) {
      auto copies = scf::ForOp::create(b, loc, loop.getLowerBound(),
                                       loop.getUpperBound(), loop.getStep());
      b.setInsertionPointToStart(copies.getBody());
      turn = copies.getInductionVar();
      mapping.map(loop.getInductionVar(), turn);
    }
    for (auto [load, ring, box] : llvm::zip(loads, rings, boxes)) {
      SmallVector<Value> indices;
      for (Value v : load.getIndices())
        indices.push_back(
            remake(b, v, loop ? loop.getBody() : nullptr, mapping));
      tile::CopyBulkOp::create(b, load.getLoc(), load.getSource(), indices,
                               ring, turn, load.getMap(), box,
                               /*evict=*/"last"); // other programs read it too
    }
  }
  b.setInsertionPoint(body->getTerminator());
  tile::RoleOp consumer = makeRole("consumer", consumerRegisters);
  for (Operation *op : work)
    op->moveBefore(&consumer.getBody().front(),
                   consumer.getBody().front().end());

  Block *where = loop ? loop.getBody() : &consumer.getBody().front();
  Value turn = loop ? loop.getInductionVar() : zero;
  for (auto [load, ring] : llvm::zip(loads, rings)) {
    Operation *first = nullptr, *last = nullptr;
    for (Operation *user : load->getUsers()) {
      Operation *inBlock = where->findAncestorOpInBlock(*user);
      if (!first || inBlock->isBeforeInBlock(first))
        first = inBlock;
      if (!last || last->isBeforeInBlock(inBlock))
        last = inBlock;
    }
    b.setInsertionPoint(first);
    load.replaceAllUsesWith(
        tile::AcquireOp::create(b, load.getLoc(), load.getType(), ring, turn)
            .getResult());
    b.setInsertionPointAfter(last);
    tile::ReleaseOp::create(b, load.getLoc(), ring, turn);
    load.erase();
  }
  return success();
}

struct TileSpecializeWarps
    : monarch::impl::MonarchTileSpecializeWarpsBase<TileSpecializeWarps> {
  void runOnOperation() override {
    for (auto kernel : getOperation().getOps<func::FuncOp>()) {
      ScheduleAttr schedule = scheduleOf(kernel);
      if (!schedule || schedule.getKind() != "wgmma")
        continue;
      auto programs = kernel.getBody().front().getOps<scf::ForallOp>();
      if (programs.empty()) {
        kernel.emitError("expected a kernel with programs (scf.forall)");
        return signalPassFailure();
      }
      if (failed(Specializer(kernel, *programs.begin()).run()))
        return signalPassFailure();
      ++specialized;
    }
  }
};
} // namespace
