//===- ProgramBuilder.cpp - what the programs of steps share --------------===//

#include "ProgramBuilder.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace monarch;

/// Powers of 2^8 at most: a maximum is raised where scores outgrow it by more.
static constexpr double maximumSlack = 8;

//===----------------------------------------------------------------------===//
// Addresses
//===----------------------------------------------------------------------===//

/// Coordinates on the view of block row i, column j of tile t (G1, G2), for i
/// and j inside the block; a load's limit keeps rows past it out.
SmallVector<AffineExpr> ProgramBuilder::coordinates(AffineExpr t, AffineExpr i,
                                                    AffineExpr j) {
  Extents count = g.tileCounts(g.keyFrames);
  SmallVector<AffineExpr> at(3);
  for (int x = 2; x >= 0; --x) {
    AffineExpr &block = g.blocks.isRow[x] ? i : j;
    AffineExpr tileDigit = x == 0 ? t : t % count[x];
    at[x] = tileDigit * g.tile[x];
    t = t.floorDiv(count[x]);
    if (g.tile[x] == 1)
      continue; // the only digit is 0
    bool slowest = true;
    for (int y = 0; y < x; ++y)
      slowest &= g.blocks.isRow[y] != g.blocks.isRow[x] || g.tile[y] == 1;
    at[x] = at[x] + (slowest ? block : block % g.tile[x]);
    block = block.floorDiv(g.tile[x]);
  }
  if (g.sequenceTokens)
    return {b.getAffineConstantExpr(0), b.getAffineConstantExpr(0),
            at[1] * g.width + at[2] - g.padBefore};
  return at;
}

/// Rows of query, key, value or mask. Operands are batch, head, then those that
/// t, i, j are made of (d2, d3, ...; the row is the last dimension).
Address ProgramBuilder::tokens(ArrayRef<Value> operands, AffineExpr t,
                               AffineExpr i, AffineExpr j, bool isQuery,
                               bool isMask) {
  SmallVector<AffineExpr> results = {d(0)};
  results.append(coordinates(t, i, j));
  bool exact = !g.sequenceTokens;
  SmallVector<bool> in = {
      true,
      exact ? g.tile[0] == 1 ||
                  (isQuery ? g.queryFrames % g.tile[0] == 0
                           : !keyFrames && g.keyFrames % g.tile[0] == 0)
            : true,
      exact ? g.height % g.tile[1] == 0 : true,
      exact ? g.width % g.tile[2] == 0
            : g.sequenceTokens == g.height * g.width &&
                  g.height % g.tile[1] == 0 && g.width % g.tile[2] == 0};
  if (!isMask) {
    results.push_back(d(1));
    in.push_back(true);
  }
  return {SmallVector<Value>(operands), map(operands.size() + 1, results), in,
          Value()};
}

/// Rows of consecutive tokens of frame `frame`, in token order; `token` counts
/// from the start of the frame and may run past it for keys.
Address ProgramBuilder::linearTokens(ArrayRef<Value> operands, AffineExpr frame,
                                     AffineExpr token, bool isMask) {
  SmallVector<AffineExpr> results = {d(0)};
  AffineExpr zero = b.getAffineConstantExpr(0);
  if (g.sequenceTokens)
    results.append({zero, zero, token});
  else
    results.append({frame + token.floorDiv(g.height * g.width),
                    token.floorDiv(g.width) % g.height, token % g.width});
  SmallVector<bool> in(4, true);
  if (!isMask) {
    results.push_back(d(1));
    in.push_back(true);
  }
  return {SmallVector<Value>(operands), map(operands.size() + 1, results), in,
          Value()};
}

/// Rows of an intermediate [slab, P/group, NK, group(, D)]; the first operand
/// is the slab, `pair` counts from its start.
Address ProgramBuilder::factorRows(ArrayRef<Value> operands, AffineExpr pair,
                                   AffineExpr key, Value limit) {
  int64_t group = pairGroup(schedule);
  return {
      SmallVector<Value>(operands),
      map(operands.size() + 1, {d(0), pair.floorDiv(group), key, pair % group}),
      SmallVector<bool>(4, true), limit};
}

//===----------------------------------------------------------------------===//
// Counts that depend on the program: KV length, causal groups
//===----------------------------------------------------------------------===//

/// Key tiles that hold a valid frame (A5).
Value ProgramBuilder::keyTiles() {
  if (!keyFrames)
    return index(g.keyTiles());
  Extents count = g.tileCounts(g.keyFrames);
  return apply(map(1, {d(0).ceilDiv(g.tile[0]) * (count[1] * count[2])}),
               {keyFrames});
}

/// Frames that a query at frame `first` sees (A4).
Value ProgramBuilder::visibleFrames(Value first) {
  return apply(map(1, {((d(0) + causalOffset).floorDiv(causal) + 1) * causal}),
               {first});
}

/// Key tiles that the query tile of pair `pair` sees: a prefix (A4).
Value ProgramBuilder::visibleTiles(Value pair, bool lastOfRows) {
  Value all = keyTiles();
  if (!causal)
    return all;
  Extents count = g.tileCounts(g.keyFrames);
  int64_t perFrameTile = count[1] * count[2];
  if (lastOfRows) // the last row of the tile sees most
    pair = minOf(apply(map(1, {d(0) + (m - 1)}), {pair}),
                 index(g.queryTiles() * g.b2() - 1));
  Value first =
      apply(map(1, {d(0).floorDiv(g.b2() * perFrameTile) * g.tile[0]}), {pair});
  Value visible = apply(map(1, {d(0).floorDiv(g.tile[0]) * perFrameTile}),
                        {visibleFrames(first)});
  return minOf(all, visible);
}

//===----------------------------------------------------------------------===//
// The running state (A6)
//===----------------------------------------------------------------------===//

ProgramBuilder::State ProgramBuilder::initial(ArrayRef<int64_t> accColumns,
                                              bool entropy) {
  State s;
  s.max = splat(maskedScore, {m});
  s.sum = splat(0, {m});
  if (entropy)
    s.entropy = splat(0, {m});
  for (int64_t columns : accColumns)
    s.acc.push_back(splat(0, {m, columns}));
  return s;
}

SmallVector<Value> ProgramBuilder::flatten(const State &s) {
  SmallVector<Value> v = {s.max, s.sum};
  if (s.entropy)
    v.push_back(s.entropy);
  v.append(s.acc.begin(), s.acc.end());
  return v;
}

ProgramBuilder::State ProgramBuilder::unflatten(ValueRange values,
                                                bool entropy) {
  State s;
  s.max = values[0];
  s.sum = values[1];
  if (entropy)
    s.entropy = values[2];
  s.acc.assign(values.begin() + 2 + entropy, values.end());
  return s;
}

Value ProgramBuilder::advance(State &s, Value x) {
  auto shape = cast<RankedTensorType>(x.getType()).getShape();
  Value max = arith::MaximumFOp::create(b, loc, s.max, rowMax(x));
  Value grown = arith::SubFOp::create(b, loc, s.max, max);
  Value alpha = math::Exp2Op::create(b, loc, grown);
  Value t = arith::SubFOp::create(b, loc, x, broadcast(max, 1, shape));
  Value p = math::Exp2Op::create(b, loc, t);
  if (s.entropy) {
    // E' = alpha (E + (m - m') Z) + sum t exp2(t)
    Value shifted = arith::AddFOp::create(
        b, loc, s.entropy, arith::MulFOp::create(b, loc, grown, s.sum));
    Value pt = arith::MulFOp::create(b, loc, p, t);
    s.entropy = arith::AddFOp::create(
        b, loc, arith::MulFOp::create(b, loc, alpha, shifted), rowSum(pt));
  }
  s.sum = arith::AddFOp::create(
      b, loc, arith::MulFOp::create(b, loc, alpha, s.sum), rowSum(p));
  for (Value &acc : s.acc) {
    auto accShape = cast<RankedTensorType>(acc.getType()).getShape();
    acc = arith::MulFOp::create(b, loc, acc, broadcast(alpha, 1, accShape));
  }
  s.max = max;
  return p;
}

Value ProgramBuilder::advanceByColumn(State &s, Value x) {
  SmallVector<Value> tiles = {s.sum};
  llvm::append_range(tiles, s.acc);
  auto raise = tile::RaiseMaximumOp::create(
      b, loc, s.max.getType(), TypeRange(ValueRange(tiles)), s.max, x,
      b.getF64FloatAttr(maximumSlack), tiles);
  s.max = raise.getRaised();
  auto shape = cast<RankedTensorType>(x.getType()).getShape();
  Value t = arith::SubFOp::create(b, loc, x, broadcast(s.max, 1, shape));
  Value p = math::Exp2Op::create(b, loc, t);
  Value sum = p;
  if (shape[1] > 8)
    sum = tile::FoldOp::create(b, loc, f32Tile({m, 8}), p);
  s.sum = arith::AddFOp::create(b, loc, raise.getRescaled()[0], sum);
  llvm::copy(raise.getRescaled().drop_front(), s.acc.begin());
  return p;
}

ProgramBuilder::State ProgramBuilder::withMaximum(const State &s, Value max) {
  Value weight =
      math::Exp2Op::create(b, loc, arith::SubFOp::create(b, loc, s.max, max));
  State scaled;
  scaled.max = max;
  scaled.sum = arith::MulFOp::create(b, loc, s.sum, weight);
  for (Value acc : s.acc) {
    auto shape = cast<RankedTensorType>(acc.getType()).getShape();
    scaled.acc.push_back(
        arith::MulFOp::create(b, loc, acc, broadcast(weight, 1, shape)));
  }
  return scaled;
}

/// 1/Z, finite when no key took part.
Value ProgramBuilder::safeReciprocal(Value z) {
  auto shape = cast<RankedTensorType>(z.getType()).getShape();
  Value safe = arith::MaximumFOp::create(b, loc, z, splat(1.0e-30, shape));
  return arith::DivFOp::create(b, loc, splat(1.0, shape), safe);
}

/// cL = E/Z - log2 Z, plus infinity for a row without a valid key (G3).
Value ProgramBuilder::entropyTerm(Value max, Value sum, Value entropy) {
  auto shape = cast<RankedTensorType>(sum.getType()).getShape();
  Value mean = arith::MulFOp::create(b, loc, entropy, safeReciprocal(sum));
  Value logZ = math::Log2Op::create(b, loc, sum);
  Value cL = arith::SubFOp::create(b, loc, mean, logZ);
  Value empty = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLE, max,
                                      splat(maskedScore / 2, shape));
  return arith::SelectOp::create(
      b, loc, empty, splat(std::numeric_limits<float>::infinity(), shape), cL);
}

//===----------------------------------------------------------------------===//
// Programs
//===----------------------------------------------------------------------===//

SmallVector<Value> ProgramBuilder::open(ArrayRef<int64_t> dims,
                                        bool slabsTogether) {
  Value slabCount = args.lookup("slab_count");
  SmallVector<OpFoldResult> bounds = {slabCount};
  for (int64_t x : dims)
    bounds.push_back(b.getIndexAttr(x));
  auto forall =
      scf::ForallOp::create(b, loc, bounds, ValueRange(), std::nullopt);
  b.setInsertionPointToStart(forall.getBody());
  auto indices = llvm::to_vector_of<Value>(forall.getInductionVars());
  if (slabsTogether) {
    Value &last = indices.back();
    Value number =
        apply(map(2, {d(0) * dims.back() + d(1)}), {indices[0], last});
    indices[0] = arith::RemUIOp::create(b, loc, number, slabCount);
    last = arith::DivUIOp::create(b, loc, number, slabCount);
  }
  setSlab(indices[0]);
  return SmallVector<Value>(ArrayRef<Value>(indices).drop_front());
}

void ProgramBuilder::setSlab(Value number) {
  slab = number;
  Value global = plus(slab, args.lookup("slab_begin"));
  int64_t slabs = ceilDiv(pairCount(), slabPairs);
  batch = index(0);
  AffineExpr ofAll = d(0).floorDiv(slabs);
  if (batches > 1)
    batch = apply(map(1, {ofAll.floorDiv(heads)}), {global});
  head = apply(map(1, {batches > 1 ? ofAll % heads : ofAll}), {global});
  if (slabs > 1)
    firstPair = apply(map(1, {d(0) % slabs * slabPairs}), {global});
}

void ProgramBuilder::setProblem(Operation *step) {
  g = step->getAttrOfType<GeometryAttr>("geometry").getValue();
  auto integer = [&](StringRef name) {
    auto attr = step->getAttrOfType<IntegerAttr>(name);
    return attr ? attr.getInt() : 0;
  };
  causal = integer("causal_frames");
  causalOffset = integer("causal_offset");
  auto query = cast<RankedTensorType>(step->getOperand(0).getType());
  batches = query.getDimSize(0);
  heads = query.getDimSize(2);
  keyFrames = args.lookup("key_frames");
}

LogicalResult ProgramBuilder::build() {
  if (failed(buildSteps()))
    return failure();
  b.setInsertionPointToEnd(&function.getBody().front());
  func::ReturnOp::create(b, loc);
  return success();
}

LogicalResult ProgramBuilder::buildSteps() {
  if (!op.getBeside() && (schedule.getCluster() != 1 || schedule.getRing()))
    return op.emitOpError("expected a second step beside this one for a "
                          "cluster or a ring");
  if (op.getBeside()) {
    RStepOp r;
    LStepOp l;
    for (Operation &step : op.getBody().front().without_terminator()) {
      r = r ? r : dyn_cast<RStepOp>(step);
      l = l ? l : dyn_cast<LStepOp>(step);
    }
    if (!r || !l || !r.getY() || !r.getCL() || l.getAL() != r.getAL() ||
        l.getY() != r.getY() || l.getCL() != r.getCL())
      return op.emitOpError("expected an r_step and an l_step that reads it");
    setProblem(r);
    return schedule.getRing() ? buildRing(r, l) : buildExchange(r, l);
  }
  for (Operation &step : op.getBody().front().without_terminator()) {
    if (isa<ReplaceFramesOp>(step))
      continue; // in place: the dense kernel writes into the other output
    setProblem(&step);
    LogicalResult result =
        llvm::TypeSwitch<Operation *, LogicalResult>(&step)
            .Case<RStepOp, EntropyOp>([&](auto s) { return buildR(s); })
            .Case<LStepOp>([&](auto s) { return buildL(s); })
            .Case<RedistributeOp>([&](auto s) { return buildRedistribute(s); })
            .Case<DenseOp>([&](auto s) { return buildDense(s); })
            .Default([](Operation *s) {
              return s->emitOpError("expected a step of attention");
            });
    if (failed(result))
      return failure();
  }
  return success();
}

Extents monarch::viewExtents(const Geometry &g, int64_t frames) {
  if (g.sequenceTokens)
    return {1, 1, g.sequenceTokens};
  return {frames, g.height, g.width};
}

LogicalResult
monarch::buildPrograms(KernelOp kernel, func::FuncOp function, OpBuilder &b,
                       int64_t slabPairs,
                       const llvm::DenseMap<Value, Buffer> &buffers,
                       const llvm::StringMap<Value> &args) {
  return ProgramBuilder(kernel, function, b, slabPairs, buffers, args).build();
}
