//===- TileSpecializeWarps.cpp - monarch-tile-specialize-warps ------------===//

#include "WarpSpecializer.h"

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

/// Keys and values, and the bias beside them. A limit on rows of factors, how
/// many keys the call has, is in no tensor map: all threads copy such rows
/// (monarch-tile-pipeline).
bool wantsBulkCopy(tile::LoadOp load) {
  StringRef kind = tile::layoutOf(load.getType()).getKind();
  if (!isTokens(load.getSource()) && load.getLimit())
    return false;
  return kind == "columns" ||
         (kind == "swizzled" &&
          llvm::any_of(load->getUsers(), [&](Operation *user) {
            auto dot = dyn_cast<tile::DotOp>(user);
            return dot && dot.getRhs() == load.getResult();
          }));
}

/// A kernel whose keys and values are not copied in bulk: its warps do all
/// alike.
bool isFilledByThreads(func::FuncOp kernel) {
  bool bulk = false, factors = false;
  kernel.walk([&](tile::LoadOp load) {
    bulk |= wantsBulkCopy(load);
    factors |= tile::layoutOf(load.getType()).getKind() == "swizzled" &&
               !isTokens(load.getSource());
  });
  return factors && !bulk;
}

/// Ops that both roles need and that cost nothing to share: index arithmetic.
bool isScalar(Operation *op) {
  return op->getNumRegions() == 0 && isMemoryEffectFree(op) &&
         op->getNumResults() > 0 &&
         llvm::none_of(op->getResultTypes(),
                       [](Type t) { return isa<RankedTensorType>(t); });
}

} // namespace

/// Extents of the box that a load of rows reads, a tensor's batch left out: the
/// rows along the one index that moves with the row, all channels of a half.
LogicalResult WarpSpecializer::addBox(tile::LoadOp load,
                                      SmallVectorImpl<int64_t> &box) {
  if (failed(refuseRuns(load)))
    return failure();
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
  if (int64_t together = tile::layoutOf(type).getRows()) {
    // A box for each so many rows, which are a chunk of memory.
    box.assign(map.getNumResults() - 1, 1);
    box.append({together, 64});
    return success();
  }
  int moving = 0;
  for (AffineExpr e : map.getResults().drop_front(isTokens(load.getSource()))) {
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
  if (type.getRank() == 2)
    box.push_back(64);
  return success();
}

/// Tells the launch plan that the kernel takes a tensor map for what `load`
/// reads.
LogicalResult WarpSpecializer::nameBox(tile::LoadOp load,
                                       ArrayRef<int64_t> box) {
  auto settle = load.getSource().getDefiningOp<tile::SettleOp>();
  Value memory = settle ? settle.getMemory() : load.getSource();
  auto type = cast<MemRefType>(memory.getType());
  auto [strides, offset] = type.getStridesAndOffset();
  SmallVector<int64_t> extents(type.getShape().drop_front());
  if (!settle)
    return nameBox(load, memory, box, extents, strides);
  // Chunks, of which a box takes one: all its rows of 64 channels, then those
  // of the next 64.
  int64_t channels = extents[3], rows = extents[2];
  return nameBox(load, memory, {1, channels / 64, rows, 64},
                 {extents[0] * extents[1], channels / 64, rows, 64},
                 {strides[2], 64, channels, 1});
}

/// And for where rows of 4 pairs are copied to: every fourth chunk of 16. A row
/// is so many times 64 channels.
LogicalResult WarpSpecializer::nameBox(tile::StoreOp store) {
  auto settle = store.getDest().getDefiningOp<tile::SettleOp>();
  if (!settle)
    return store.emitOpError("expected rows that are settled");
  auto type = cast<MemRefType>(settle.getInto().getType());
  int64_t channels = type.getDimSize(4), chunk = 8 * channels;
  int64_t pieces = type.getDimSize(1) * type.getDimSize(2) / 16;
  return nameBox(store, settle.getInto(), {1, 4, 1, channels / 64, 64},
                 {pieces, 4, 4, chunk / 64, 64},
                 {16 * chunk, 4 * chunk, chunk, 64, 1});
}

/// A box of `memory`, of which extents and strides tell where it is no tokens.
LogicalResult WarpSpecializer::nameBox(Operation *op, Value memory,
                                       ArrayRef<int64_t> box,
                                       ArrayRef<int64_t> extents,
                                       ArrayRef<int64_t> strides) {
  auto argument = dyn_cast<BlockArgument>(memory);
  if (!argument || argument.getOwner() != &kernel.getBody().front())
    return op->emitOpError("expected a bulk copy of an argument of the kernel");
  auto module = kernel->getParentOfType<ModuleOp>();
  auto plan = module->getAttrOfType<DictionaryAttr>(planAttrName);
  auto before = plan ? plan.getAs<ArrayAttr>("launches") : ArrayAttr();
  if (!before)
    return success(); // a kernel on its own, in a test
  auto with = [&](DictionaryAttr d, StringRef key, Attribute value) {
    NamedAttrList list(d);
    list.set(key, value);
    return list.getDictionary(b.getContext());
  };
  unsigned number = argument.getArgNumber();
  SmallVector<Attribute> launches;
  for (Attribute entry : before) {
    auto launch = dyn_cast<DictionaryAttr>(entry);
    auto name = launch ? launch.getAs<StringAttr>("kernel") : StringAttr();
    auto arguments =
        launch ? launch.getAs<ArrayAttr>("arguments") : ArrayAttr();
    if (name && name.getValue() == kernel.getName()) {
      auto known = arguments && number < arguments.size()
                       ? dyn_cast<DictionaryAttr>(arguments[number])
                       : DictionaryAttr();
      if (!known)
        return kernel.emitError("expected argument ")
               << number << " in this kernel's launch in " << planAttrName;
      SmallVector<Attribute> list(arguments.getValue());
      known = with(known, "box", b.getDenseI64ArrayAttr(box));
      // A loader knows the extents of tokens, and how many slabs there are
      // where an extent is missing.
      if (!isTokens(argument)) {
        known = with(known, "extents", b.getDenseI64ArrayAttr(extents));
        known = with(known, "strides", b.getDenseI64ArrayAttr(strides));
      }
      list[number] = known;
      entry = with(launch, "arguments", b.getArrayAttr(list));
    }
    launches.push_back(entry);
  }
  module->setAttr(planAttrName,
                  with(plan, "launches", b.getArrayAttr(launches)));
  return success();
}

/// A ring for every load; those past the last of `stages` have as many as it.
LogicalResult WarpSpecializer::allocate(MutableArrayRef<tile::LoadOp> loads,
                                        ArrayRef<int64_t> stages) {
  rings.clear();
  boxes.clear();
  maps.clear();
  auto role = loads.front()->getParentOfType<tile::RoleOp>();
  b.setInsertionPointToStart(role ? role->getBlock() : programs.getBody());
  boxes.resize(loads.size());
  for (auto [load, box] : llvm::zip(loads, boxes)) {
    auto type = cast<RankedTensorType>(load.getType());
    tile::LayoutAttr layout = tile::layoutOf(type);
    if (failed(addBox(load, box)))
      return failure();
    AffineMap map = load.getMap();
    if (layout.getKind() == "columns") {
      // Read from rows as they lie in memory: of one value, or of as many as
      // lie together.
      auto memory = cast<MemRefType>(load.getSource().getType());
      auto [strides, offset] = memory.getStridesAndOffset();
      int64_t row = 1;
      for (auto [extent, stride] : llvm::zip(box, strides))
        if (extent == type.getDimSize(0))
          row = stride;
      SmallVector<int64_t> shape(type.getShape());
      StringRef kind = "shared";
      if (row != 1) {
        shape.push_back(row);
        kind = "staged";
        if (strides.back() != 1 || memory.getShape().back() != row)
          return load.emitOpError("expected rows that lie together, got ")
                 << memory;
        box.back() = row;
        map = AffineMap::get(map.getNumDims(), 0, map.getResults().drop_back(),
                             b.getContext());
      }
      type = RankedTensorType::get(
          shape, type.getElementType(),
          tile::LayoutAttr::get(b.getContext(), kind, layout.getWarps()));
    } else if (failed(nameBox(load, box))) {
      return failure();
    }
    maps.push_back(map);
    int64_t count = stages[std::min(rings.size(), stages.size() - 1)];
    rings.push_back(tile::AllocRingOp::create(
        b, load.getLoc(), tile::RingType::get(b.getContext(), count, type)));
  }
  return success();
}

/// Starts the copy of load i for a turn of a loop in `scope`, whose induction
/// variable `mapping` knows.
void WarpSpecializer::copy(size_t i, tile::LoadOp load, Value turn,
                           Value enable, Operation *scope, IRMapping &mapping) {
  SmallVector<Value> indices;
  for (Value v : load.getIndices())
    indices.push_back(remake(b, v, scope, mapping));
  // Other programs read tokens too, but the rows of a ring come before, which
  // are read once.
  StringRef evict = schedule.getRing()           ? "first"
                    : isTokens(load.getSource()) ? "last"
                                                 : "normal";
  tile::CopyBulkOp::create(b, load.getLoc(), load.getSource(), indices,
                           rings[i], turn, enable, maps[i], boxes[i], evict);
}

/// Registers of an SM are dealt to warpgroups: 3 consumers at 160 and a
/// producer at 32 are all 65536, 2 at 240 and one at 24 nearly.
int64_t WarpSpecializer::producerRegisters() const {
  int64_t consumers = schedule.getWarps() / 4;
  return consumers == 3 ? 32 : consumers == 2 ? 24 : 0;
}
int64_t WarpSpecializer::consumerRegisters() const {
  int64_t consumers = schedule.getWarps() / 4;
  return consumers == 3 ? 160 : consumers == 2 ? 240 : 0;
}

/// Makes the producer at the builder's place: it starts the copies of `loads`
/// in turns as `loop` has them, or once.
void WarpSpecializer::produce(MutableArrayRef<tile::LoadOp> loads,
                              scf::ForOp loop) {
  OpBuilder::InsertionGuard guard(b);
  Value zero;
  if (!loop)
    zero = arith::ConstantIndexOp::create(b, loc, 0);
  makeRole("producer", 4, schedule.getWarps(), producerRegisters());
  auto copies = [&](Value at, IRMapping &mapping) {
    Value turn = loop ? turnOf(loop, at) : at;
    for (auto [i, load] : llvm::enumerate(loads))
      copy(i, load, turn, Value(), loop, mapping);
  };
  IRMapping none;
  if (loop)
    eachTurn(loop, loop, copies);
  else
    copies(zero, none);
}

/// The turn of a loop from 0 in which its induction variable is `at`.
Value WarpSpecializer::turnOf(scf::ForOp loop, Value at) {
  int64_t step = *getConstantIntValue(loop.getStep());
  if (step == 1)
    return at;
  return arith::DivUIOp::create(b, loc, at,
                                arith::ConstantIndexOp::create(b, loc, step));
}

/// A loop over the turns of `loop`, for another role. What `body` needs of
/// `scope` is made anew, of what is `known` there.
void WarpSpecializer::eachTurn(
    scf::ForOp loop, Operation *scope,
    llvm::function_ref<void(Value, IRMapping &)> body, const IRMapping &known) {
  IRMapping outside = known, inside = known;
  auto bound = [&](Value v) { return remake(b, v, scope, outside); };
  auto turns =
      scf::ForOp::create(b, loc, bound(loop.getLowerBound()),
                         bound(loop.getUpperBound()), bound(loop.getStep()));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(turns.getBody());
  Value turn = turns.getInductionVar();
  inside.map(loop.getInductionVar(), turn);
  body(turn, inside);
}

/// The first and last op in `where` that use one of `values`.
static std::pair<Operation *, Operation *> usersIn(Block *where,
                                                   ValueRange values) {
  std::pair<Operation *, Operation *> span;
  for (Value v : values)
    for (Operation *user : v.getUsers()) {
      Operation *op = where->findAncestorOpInBlock(*user);
      if (!span.first || op->isBeforeInBlock(span.first))
        span.first = op;
      if (!span.second || span.second->isBeforeInBlock(op))
        span.second = op;
    }
  return span;
}

/// The load becomes what the ring holds; leaves the builder behind the release.
void WarpSpecializer::acquire(size_t i, tile::LoadOp load, Block *where,
                              Value turn) {
  auto [first, last] = usersIn(where, load.getResult());
  b.setInsertionPoint(first);
  RankedTensorType type = cast<tile::RingType>(rings[i].getType()).getTile();
  Value v = tile::AcquireOp::create(b, load.getLoc(), type, rings[i], turn);
  if (maps[i] != load.getMap()) {
    SmallVector<Value> operands(load.getIndices());
    AffineMap map = load.getMap();
    operands.push_back(arith::ConstantIndexOp::create(b, load.getLoc(), 0));
    Value column = affine::AffineApplyOp::create(
        b, load.getLoc(),
        AffineMap::get(map.getNumDims(), 0,
                       map.getResult(map.getNumResults() - 1)),
        operands);
    v = tile::ColumnOp::create(b, load.getLoc(), load.getType(), v, column);
    last = v.getDefiningOp();
  } else if (tile::layoutOf(type).getKind() !=
             tile::layoutOf(load.getType()).getKind()) {
    v = tile::ConvertLayoutOp::create(b, load.getLoc(), load.getType(), v);
    last = v.getDefiningOp();
  }
  load.replaceAllUsesWith(v);
  b.setInsertionPointAfter(last);
  // What threads read has surely arrived when the block is done: the fence that
  // giving it back takes costs nothing there.
  auto role = load->getParentOfType<tile::RoleOp>();
  if (isReadByThreads(type, role ? role.getWarps() : schedule.getWarps()))
    where->mightHaveTerminator() ? b.setInsertionPoint(&where->back())
                                 : b.setInsertionPointToEnd(where);
  tile::ReleaseOp::create(b, load.getLoc(), rings[i], turn);
}

/// Registers of a thread that starts the copies of a cluster's program.
constexpr int64_t clusterProducerRegisters = 32;

/// Registers of the teams in `role` and of the warps beside them.
void WarpSpecializer::dealRegisters(tile::RoleOp role) {
  // 65536 registers: 16 rows of outputs and queries of 128 channels a warp take
  // 152 a thread, a little less where R's rows are long or a producer takes
  // some, 32 take 232 (docs/performance.md).
  tile::RoleOp beside, producer;
  for (auto other : programs.getBody()->getOps<tile::RoleOp>()) {
    if (other.getBeside())
      beside = other;
    else if (other != role)
      producer = other;
  }
  if (!beside)
    return;
  int64_t ours = schedule.getWarps(), others = beside.getWarps();
  int64_t copying = schedule.getProducer();
  auto of = kernel->getAttrOfType<ScheduleAttr>(tile::besideAttrName);
  bool two = of && of.getRows() / of.getWarps() > 16;
  int64_t theirs = two                                     ? 232
                   : others / 4 == 1                       ? 168
                   : copying || schedule.getColumns() > 56 ? 144
                                                           : 152;
  int64_t own = shareOf(ours, ours + others + copying,
                        theirs * others + clusterProducerRegisters * copying);
  if (own < 24) // as many for each
    return;
  beside.setRegisters(theirs);
  role.setRegisters(std::min<int64_t>(own, 256));
  if (producer)
    producer.setRegisters(clusterProducerRegisters);
}

/// A turn of an exchange is given back after its last use.
void WarpSpecializer::releaseReceived() {
  SmallVector<tile::ReceiveOp> receives;
  programs.walk([&](tile::ReceiveOp op) { receives.push_back(op); });
  for (tile::ReceiveOp receive : receives) {
    SmallVector<Value> values(receive.getResults());
    for (Value v : receive.getResults())
      for (Operation *user : v.getUsers())
        if (isa<tile::ConvertLayoutOp>(user))
          values.push_back(user->getResult(0));
    auto [first, last] = usersIn(receive->getBlock(), values);
    b.setInsertionPointAfter(last ? last : receive.getOperation());
    tile::ReleaseOp::create(b, receive.getLoc(), receive.getExchange(),
                            receive.getTurn());
  }
}

/// A producer behind all other warps, one of whose warps starts the copies of
/// each team's turns.
void WarpSpecializer::produceForTeams(tile::RoleOp role, scf::ForOp loop,
                                      int64_t teams,
                                      MutableArrayRef<tile::LoadOp> loads) {
  int64_t first = 0;
  for (auto other : programs.getBody()->getOps<tile::RoleOp>())
    first = std::max<int64_t>(first, other.getFirst() + other.getWarps());
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(role);
  makeRole("producer", schedule.getProducer(), first, /*registers=*/0);
  Value team = loop.getLowerBound(); // teams start with their number
  messenger(0, teams, loop, role, team, [&](Value turn, IRMapping &mapping) {
    for (auto [i, load] : llvm::enumerate(loads))
      copy(i, load, turn, Value(), role, mapping);
  });
}

/// Beside warps that hold outputs one warpgroup is too slow: teams of warps
/// take turns. Without a producer, whose registers are dear, each team starts
/// its own copies for the turn that will use the stage it has just done with.
LogicalResult WarpSpecializer::runTeams(tile::RoleOp role,
                                        MutableArrayRef<tile::LoadOp> loads) {
  auto loop = dyn_cast<scf::ForOp>(loads.front()->getParentOp());
  int64_t warps = schedule.getRows() / 16, stages = schedule.getStages();
  int64_t teams = schedule.getWarps() / warps;
  if (!loop || loop->getParentOp() != role ||
      getConstantIntValue(loop.getLowerBound()) != 0 ||
      getConstantIntValue(loop.getStep()) != 1)
    return role.emitError("expected one loop over turns, from 0 by 1");
  if (failed(allocate(loads, stages)))
    return failure();
  // What differs between teams: the first turn.
  b.setInsertionPointToStart(&role.getBody().front());
  loc = role.getLoc();
  Value team = arith::ConstantIndexOp::create(b, loc, 0);
  auto inRange = [&](Value turn) -> Value {
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, turn,
                                 loop.getUpperBound());
  };
  auto after = [&](Value turn, int64_t distance) -> Value {
    return arith::AddIOp::create(
        b, loc, turn, arith::ConstantIndexOp::create(b, loc, distance));
  };
  b.setInsertionPoint(loop);
  loop.setLowerBound(team);
  loop.setStep(arith::ConstantIndexOp::create(b, loc, teams));
  bool teamsCopy = !schedule.getProducer();
  if (teamsCopy)
    for (int64_t ahead = 0; ahead < stages; ahead += teams) {
      Value turn = after(team, ahead);
      Value enable = inRange(turn);
      IRMapping mapping;
      mapping.map(loop.getInductionVar(), turn);
      for (auto [i, load] : llvm::enumerate(loads))
        copy(i, load, turn, enable, loop, mapping);
    }
  else
    produceForTeams(role, loop, teams, loads);
  // A turn is sent when all members have done with its place.
  for (auto send : loop.getBody()->getOps<tile::SendOp>()) {
    b.setInsertionPoint(send);
    tile::ReserveOp::create(b, send.getLoc(), send.getExchange(),
                            send.getTurn());
    break;
  }
  for (auto [i, load] : llvm::enumerate(loads)) {
    Value turn = loop.getInductionVar();
    acquire(i, load, loop.getBody(), turn);
    if (teamsCopy) {
      Value next = after(turn, stages);
      IRMapping mapping;
      mapping.map(turn, next);
      copy(i, load, next, inRange(next), loop, mapping);
    }
    load.erase();
  }
  dealRegisters(role);
  role.setWarps(warps);
  Operation *previous = role;
  for (int64_t i = 1; i < teams; ++i) {
    b.setInsertionPointAfter(previous);
    auto copyOfRole = cast<tile::RoleOp>(b.clone(*role));
    copyOfRole.setFirst(role.getFirst() + i * warps);
    auto constant =
        cast<arith::ConstantOp>(copyOfRole.getBody().front().front());
    constant.setValueAttr(b.getIndexAttr(i));
    previous = copyOfRole;
  }
  releaseReceived();
  return success();
}

LogicalResult WarpSpecializer::run() {
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
  auto role = loads.front()->getParentOfType<tile::RoleOp>();
  llvm::erase_if(loads, [&](tile::LoadOp load) {
    return role && !role->isAncestor(load);
  });
  for (tile::LoadOp load : loads)
    if (load->getBlock() != turns)
      return load.emitOpError("expected all swizzled tiles in one loop");
  if (role)
    return schedule.getRing() ? runRing(role, loads) : runTeams(role, loads);
  if (loop && (loop->getBlock() != body ||
               getConstantIntValue(loop.getLowerBound()) != 0 ||
               !getConstantIntValue(loop.getStep())))
    return loop.emitError("expected one loop over key tiles, from 0 by a "
                          "constant step");
  if (failed(allocate(loads, schedule.getStages())))
    return failure();
  loc = programs.getLoc();
  Value zero = arith::ConstantIndexOp::create(b, loc, 0);
  SmallVector<Operation *> work;
  for (Operation &op : body->without_terminator())
    if (!isa<tile::AllocRingOp>(op) && !isScalar(&op))
      work.push_back(&op);
  b.setInsertionPoint(body->getTerminator());
  produce(loads, loop);
  b.setInsertionPoint(body->getTerminator());
  tile::RoleOp consumer =
      makeRole("consumer", schedule.getWarps(), 0, consumerRegisters());
  for (Operation *op : work)
    op->moveBefore(&consumer.getBody().front(),
                   consumer.getBody().front().end());

  Block *where = loop ? loop.getBody() : &consumer.getBody().front();
  Value turn = zero;
  if (loop) {
    b.setInsertionPointToStart(where);
    turn = turnOf(loop, loop.getInductionVar());
  }
  for (auto [i, load] : llvm::enumerate(loads)) {
    acquire(i, load, where, turn);
    load.erase();
  }
  return success();
}

namespace {
struct TileSpecializeWarps
    : monarch::impl::MonarchTileSpecializeWarpsBase<TileSpecializeWarps> {
  void runOnOperation() override {
    for (auto kernel : getOperation().getOps<func::FuncOp>()) {
      ScheduleAttr schedule = scheduleOf(kernel);
      if (!schedule || schedule.getKind() != "wgmma" ||
          isFilledByThreads(kernel))
        continue;
      auto programs = kernel.getBody().front().getOps<scf::ForallOp>();
      if (programs.empty()) {
        kernel.emitError("expected a kernel with programs (scf.forall)");
        return signalPassFailure();
      }
      if (failed(WarpSpecializer(kernel, *programs.begin()).run()))
        return signalPassFailure();
      ++specialized;
    }
  }
};
} // namespace
