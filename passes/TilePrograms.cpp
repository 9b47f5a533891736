//===- TilePrograms.cpp - the programs of tiled kernels -------------------===//
//
// Writes the body of a kernel: one scf.forall over independent programs, loops
// over key tiles, and the running state of the softmax (maximum, sum, entropy)
// as loop-carried values.
//
// Scores are kept in units of log2: exp(x) = exp2(x * log2 e) costs one
// multiplication with the scale, and the entropy comes out as
// cL = E/Z - log2 Z with E = sum t exp2(t), t = x - m (A6).
//
//===----------------------------------------------------------------------===//

#include "TilePrograms.h"

#include "monarch/Dialect/TileDialect.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace monarch;

namespace {

constexpr double log2e = 1.4426950408889634;
/// Stands for minus infinity in scores: finite, so that a row without a valid
/// key gives no NaN, and under any score down to -5e29 in units of log2.
constexpr double maskedScore = -1.0e30;

/// The address of a tile's rows: operands of the map, and its results.
struct Address {
  SmallVector<Value> operands;
  AffineMap map;
  SmallVector<bool> inBounds;
  Value limit;
  int64_t period = 0; ///< rows of a run that `limit` counts from, 0: of all
};

/// One kernel under construction.
class Kernel {
public:
  Kernel(KernelOp op, func::FuncOp function, OpBuilder &b, int64_t slabPairs,
         const llvm::DenseMap<Value, Buffer> &buffers,
         const llvm::StringMap<Value> &args)
      : op(op), function(function), b(b), loc(op.getLoc()),
        slabPairs(slabPairs), buffers(buffers), args(args),
        schedule(*op.getSchedule()) {
    use(schedule);
  }

  LogicalResult build();

private:
  //--- small builders ---//
  Value index(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }
  RankedTensorType tileType(ArrayRef<int64_t> shape, Type e) {
    return RankedTensorType::get(shape, e);
  }
  RankedTensorType f32Tile(ArrayRef<int64_t> shape) {
    return tileType(shape, b.getF32Type());
  }
  Value splat(double v, ArrayRef<int64_t> shape) {
    auto type = f32Tile(shape);
    return arith::ConstantOp::create(
        b, loc, DenseElementsAttr::get(type, b.getF32FloatAttr(v).getValue()));
  }
  Value apply(AffineMap map, ValueRange operands) {
    return affine::makeComposedAffineApply(b, loc, map,
                                           getAsOpFoldResult(operands));
  }
  Value minOf(Value x, Value y) { return arith::MinSIOp::create(b, loc, x, y); }
  Value broadcast(Value v, int64_t axis, ArrayRef<int64_t> shape,
                  int64_t groups = 1) {
    Type e = getElementTypeOrSelf(v.getType());
    return tile::BroadcastOp::create(b, loc, tileType(shape, e), v, axis,
                                     groups);
  }
  Value rowMax(Value v) { return reduce(v, "max", 1); }
  Value rowSum(Value v) { return reduce(v, "sum", 1); }
  Value reduce(Value v, StringRef kind, int64_t axis) {
    auto type = cast<RankedTensorType>(v.getType());
    return tile::ReduceOp::create(b, loc, f32Tile({type.getDimSize(1 - axis)}),
                                  v, kind, axis);
  }
  Value dot(Value lhs, Value rhs, Value acc, int64_t columns,
            bool transposeRhs = false, int64_t offset = 0,
            bool transposeLhs = false, int64_t groups = 1) {
    int64_t rows =
        cast<RankedTensorType>(lhs.getType()).getDimSize(transposeLhs ? 1 : 0);
    return tile::DotOp::create(b, loc, f32Tile({rows, columns}), lhs, rhs, acc,
                               transposeLhs, transposeRhs, offset, groups);
  }
  /// Probabilities as an operand of a product.
  Value asOperand(Value p) {
    auto type = cast<RankedTensorType>(p.getType());
    if (type.getElementType() == element)
      return p;
    return arith::TruncFOp::create(b, loc, type.clone(element), p);
  }
  Value load(Value source, const Address &at, int64_t rows, Type e) {
    auto type = cast<MemRefType>(source.getType());
    SmallVector<int64_t> shape = {rows};
    if (static_cast<int64_t>(at.map.getNumResults()) < type.getRank())
      shape.push_back(type.getShape().back());
    return tile::LoadOp::create(b, loc, tileType(shape, e), source, at.operands,
                                at.limit, at.map, at.inBounds, false,
                                at.period);
  }
  void store(Value v, Value dest, const Address &at, int64_t offset = 0) {
    tile::StoreOp::create(b, loc, v, dest, at.operands, at.limit, at.map,
                          at.inBounds, offset, false, at.period);
  }
  Value inBounds(Value source, const Address &at, int64_t rows) {
    return tile::InBoundsOp::create(b, loc, tileType({rows}, b.getI1Type()),
                                    source, at.operands, at.limit, at.map,
                                    at.inBounds);
  }

  //--- addresses ---//
  AffineExpr d(unsigned i) { return b.getAffineDimExpr(i); }
  AffineMap map(unsigned dims, ArrayRef<AffineExpr> results) {
    return AffineMap::get(dims, 0, results, b.getContext());
  }
  SmallVector<AffineExpr> coordinates(AffineExpr t, AffineExpr i, AffineExpr j);
  Address tokens(ArrayRef<Value> operands, AffineExpr t, AffineExpr i,
                 AffineExpr j, bool isQuery, bool isMask = false);
  Address linearTokens(ArrayRef<Value> operands, AffineExpr frame,
                       AffineExpr token, bool isMask = false);
  Address factorRows(ArrayRef<Value> operands, AffineExpr pair, AffineExpr key,
                     Value limit);

  //--- pieces of a program ---//
  Value keyTiles();
  Value visibleFrames(Value firstFrame);
  Value visibleTiles(Value pair, bool lastOfRows);
  Value masked(Value scores, Value valid) {
    auto type = cast<RankedTensorType>(scores.getType());
    return arith::SelectOp::create(b, loc, broadcast(valid, 0, type.getShape()),
                                   scores, splat(maskedScore, type.getShape()));
  }
  /// A tile with its invalid rows zero: 0 * NaN would poison a product.
  Value withoutRows(Value tile, Value valid) {
    auto type = cast<RankedTensorType>(tile.getType());
    Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(type));
    return arith::SelectOp::create(b, loc, broadcast(valid, 1, type.getShape()),
                                   tile, zero);
  }
  /// The bits of a key mask as i1.
  Value maskBits(Value mask, const Address &at) {
    Value bits = load(mask, at, n, b.getI8Type());
    auto type = tileType({n}, b.getI8Type());
    Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(type));
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, bits, zero);
  }
  /// State of an online softmax: maximum, sum, entropy sum, accumulators.
  struct State {
    Value max, sum, entropy;
    SmallVector<Value> acc;
  };
  /// One step of A6 with scores x: rescales `s` and returns the unnormalised
  /// probabilities.
  Value advance(State &s, Value x);
  SmallVector<Value> flatten(const State &s);
  State unflatten(ValueRange values, bool entropy);
  State initial(ArrayRef<int64_t> accColumns, bool entropy);
  Value safeReciprocal(Value z);
  Value entropyTerm(Value max, Value sum, Value entropy);

  /// A whole row of scores in one tile: what follows from it.
  struct OneTile {
    Value max, sum, entropy, probabilities;
  };
  OneTile softmaxOneTile(Value x, bool entropy);
  Value rowsOfR(Value query, Value firstPair, Value k, Value limit);
  template <typename Op>
  Value scoresOfR(Op step, Value q, Value rowScale, Value c, Value k, Value l0,
                  Value &keyTile, Value &valueTile);

  template <typename Op> LogicalResult buildR(Op op);
  LogicalResult buildExchange(RStepOp r, LStepOp l);
  LogicalResult buildL(LStepOp op);
  LogicalResult buildRedistribute(RedistributeOp op);
  LogicalResult buildDense(DenseOp op);

  /// P of the L step: scale * q . aL - cL.
  Value biasedScores(Value q, Value keyTile, Value biasTile, double scale,
                     int64_t groups = 1) {
    Value s =
        dot(q, keyTile, Value(), n, /*transposeRhs=*/true, 0, false, groups);
    return arith::SubFOp::create(
        b, loc, arith::MulFOp::create(b, loc, s, splat(scale, {m, n})),
        broadcast(biasTile, 0, {m, n}, groups));
  }
  /// Ends one turn of a loop that carries maximum, sum and one output.
  void accumulate(scf::ForOp loop, Value x, Value valueTile) {
    State s = unflatten(loop.getRegionIterArgs(), /*entropy=*/false);
    Value p = advance(s, x);
    int64_t columns = cast<RankedTensorType>(valueTile.getType()).getDimSize(1);
    s.acc[0] = dot(asOperand(p), valueTile, s.acc[0], columns);
    scf::YieldOp::create(b, loc, flatten(s));
  }
  /// Normalises and stores the output of such a loop.
  void storeOutput(scf::ForOp loop, Value dest, const Address &rows) {
    State s = unflatten(loop.getResults(), /*entropy=*/false);
    auto shape = cast<RankedTensorType>(s.acc[0].getType()).getShape();
    store(arith::MulFOp::create(b, loc, s.acc[0],
                                broadcast(safeReciprocal(s.sum), 1, shape)),
          dest, rows);
  }

  /// Opens the scf.forall over (slab, dims...) and returns its indices. With
  /// `slabsTogether` the last of them runs slowest, slabs fastest.
  SmallVector<Value> open(ArrayRef<int64_t> dims, bool slabsTogether = false);
  int64_t pairCount() const { return g.queryTiles() * g.b2(); }
  /// Pair of the whole head that pair `local` of the slab is.
  Value inHead(Value local) {
    return firstPair ? apply(map(2, {d(0) + d(1)}), {firstPair, local}) : local;
  }
  void use(ScheduleAttr of) {
    schedule = of;
    m = schedule.getRows();
    n = schedule.getColumns();
    element = schedule.getElement();
  }
  Value arg(Value v) { return args.lookup(buffers.find(v)->second.name); }
  void setProblem(Operation *step);

  KernelOp op;
  func::FuncOp function;
  OpBuilder &b;
  Location loc;
  int64_t slabPairs;
  const llvm::DenseMap<Value, Buffer> &buffers;
  const llvm::StringMap<Value> &args;
  ScheduleAttr schedule;
  int64_t m, n;
  Type element;

  Geometry g;
  int64_t heads = 0, causal = 0, causalOffset = 0;
  Value keyFrames; ///< run-time count, or null
  Value slab, batch, head;
  Value firstPair; ///< of the slab, null where a head is one slab
};

//===----------------------------------------------------------------------===//
// Addresses
//===----------------------------------------------------------------------===//

/// Coordinates on the view of block row i, column j of tile t (G1, G2), for i
/// and j inside the block; a load's limit keeps rows past it out.
SmallVector<AffineExpr> Kernel::coordinates(AffineExpr t, AffineExpr i,
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
Address Kernel::tokens(ArrayRef<Value> operands, AffineExpr t, AffineExpr i,
                       AffineExpr j, bool isQuery, bool isMask) {
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
Address Kernel::linearTokens(ArrayRef<Value> operands, AffineExpr frame,
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
Address Kernel::factorRows(ArrayRef<Value> operands, AffineExpr pair,
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
Value Kernel::keyTiles() {
  if (!keyFrames)
    return index(g.keyTiles());
  Extents count = g.tileCounts(g.keyFrames);
  return apply(map(1, {d(0).ceilDiv(g.tile[0]) * (count[1] * count[2])}),
               {keyFrames});
}

/// Frames that a query at frame `first` sees (A4).
Value Kernel::visibleFrames(Value first) {
  return apply(map(1, {((d(0) + causalOffset).floorDiv(causal) + 1) * causal}),
               {first});
}

/// Key tiles that the query tile of pair `pair` sees: a prefix (A4).
Value Kernel::visibleTiles(Value pair, bool lastOfRows) {
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

Kernel::State Kernel::initial(ArrayRef<int64_t> accColumns, bool entropy) {
  State s;
  s.max = splat(maskedScore, {m});
  s.sum = splat(0, {m});
  if (entropy)
    s.entropy = splat(0, {m});
  for (int64_t columns : accColumns)
    s.acc.push_back(splat(0, {m, columns}));
  return s;
}

SmallVector<Value> Kernel::flatten(const State &s) {
  SmallVector<Value> v = {s.max, s.sum};
  if (s.entropy)
    v.push_back(s.entropy);
  v.append(s.acc.begin(), s.acc.end());
  return v;
}

Kernel::State Kernel::unflatten(ValueRange values, bool entropy) {
  State s;
  s.max = values[0];
  s.sum = values[1];
  if (entropy)
    s.entropy = values[2];
  s.acc.assign(values.begin() + 2 + entropy, values.end());
  return s;
}

Value Kernel::advance(State &s, Value x) {
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

/// 1/Z, finite when no key took part.
Value Kernel::safeReciprocal(Value z) {
  auto shape = cast<RankedTensorType>(z.getType()).getShape();
  Value safe = arith::MaximumFOp::create(b, loc, z, splat(1.0e-30, shape));
  return arith::DivFOp::create(b, loc, splat(1.0, shape), safe);
}

/// cL = E/Z - log2 Z, plus infinity for a row without a valid key (G3).
Value Kernel::entropyTerm(Value max, Value sum, Value entropy) {
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

SmallVector<Value> Kernel::open(ArrayRef<int64_t> dims, bool slabsTogether) {
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
  slab = indices[0];
  Value global = arith::AddIOp::create(b, loc, slab, args.lookup("slab_begin"));
  int64_t slabs = ceilDiv(pairCount(), slabPairs);
  batch = apply(map(1, {d(0).floorDiv(heads * slabs)}), {global});
  head = apply(map(1, {d(0).floorDiv(slabs) % heads}), {global});
  if (slabs > 1)
    firstPair = apply(map(1, {d(0) % slabs * slabPairs}), {global});
  return SmallVector<Value>(ArrayRef<Value>(indices).drop_front());
}

/// Rows of queries: row d4 is (a, j) = (firstPair + d4) div and mod b2, at k.
Value Kernel::rowsOfR(Value query, Value firstPair, Value k, Value limit) {
  int64_t b2 = g.b2();
  Address at = tokens({batch, head, firstPair, k}, (d(2) + d(4)).floorDiv(b2),
                      d(3), (d(2) + d(4)) % b2, /*isQuery=*/true);
  at.limit = limit;
  return load(query, at, m, element);
}

/// Scores of rows `q`, times `rowScale` or the step's scale, with columns
/// l0 .. l0 + n of block row k of key tile c.
template <typename Op>
Value Kernel::scoresOfR(Op step, Value q, Value rowScale, Value c, Value k,
                        Value l0, Value &keyTile, Value &valueTile) {
  auto r = dyn_cast<RStepOp>(step.getOperation());
  Value key = arg(step.getKey());
  Value values = r && r.getValue() ? arg(r.getValue()) : Value();
  Value mask = step.getKeyMask() ? arg(step.getKeyMask()) : Value();
  int64_t b2 = g.b2();
  bool ragged = b2 % n != 0;
  Value limit;
  if (ragged)
    limit = apply(map(1, {b2 - d(0)}), {l0});
  auto address = [&](bool isMask) {
    Address at = tokens({batch, head, c, k, l0}, d(2), d(3), d(4) + d(5),
                        /*isQuery=*/false, isMask);
    at.limit = limit;
    return at;
  };
  Address at = address(false);
  keyTile = load(key, at, n, element);
  if (values)
    valueTile = load(values, at, n, element);
  Value valid;
  if (mask) {
    valid = maskBits(mask, address(true));
    keyTile = withoutRows(keyTile, valid);
    if (values)
      valueTile = withoutRows(valueTile, valid);
  } else if (ragged || llvm::is_contained(at.inBounds, false)) {
    valid = inBounds(key, at, n);
  }
  double scale = step.getScale().convertToDouble() * log2e;
  Value s = dot(q, keyTile, Value(), n, /*transposeRhs=*/true);
  Value x = arith::MulFOp::create(b, loc, s,
                                  rowScale ? broadcast(rowScale, 1, {m, n})
                                           : splat(scale, {m, n}));
  return valid ? masked(x, valid) : x;
}

Kernel::OneTile Kernel::softmaxOneTile(Value x, bool entropy) {
  OneTile row;
  row.max = rowMax(x);
  Value t = arith::SubFOp::create(b, loc, x, broadcast(row.max, 1, {m, n}));
  Value p = math::Exp2Op::create(b, loc, t);
  row.sum = rowSum(p);
  if (entropy)
    row.entropy = rowSum(arith::MulFOp::create(b, loc, p, t));
  // Normalise the b2 probabilities, not the wider outputs.
  Value inverse = broadcast(safeReciprocal(row.sum), 1, {m, n});
  row.probabilities = asOperand(arith::MulFOp::create(b, loc, p, inverse));
  return row;
}

template <typename Op> LogicalResult Kernel::buildR(Op step) {
  auto r = dyn_cast<RStepOp>(step.getOperation());
  Value value = r ? r.getValue() : Value();
  bool wantAL = static_cast<bool>(r);
  bool oneTile = r ? r.getSoftmax() != "online" && g.b2() <= n : g.b2() <= n;
  Value cLDest =
      r ? (r.getCL() ? arg(r.getCL()) : Value()) : arg(step->getResult(0));
  int64_t pairs = pairCount(), b2 = g.b2(), b1 = g.b1();
  double scale = step.getScale().convertToDouble() * log2e;

  // Row k is the fastest index: programs side by side write neighbouring rows
  // of the intermediate. On wgmma R moves as fast as the memory lets it: there
  // slabs are, whose programs read the same keys at the same time, so that the
  // memory is read once.
  SmallVector<Value> program =
      open({ceilDiv(slabPairs, m), b1}, schedule.getKind() == "wgmma");
  Value local = apply(map(1, {d(0) * m}), {program[0]}), k = program[1];
  Value m0 = inHead(local);
  Value rowLimit;
  if (pairs % m)
    rowLimit = apply(map(1, {pairs - d(0)}), {m0});
  Value state = step.getState() ? arg(step.getState()) : Value();
  Value query = arg(step.getQuery());
  Value values = value ? arg(value) : Value();
  int64_t dim = cast<MemRefType>(query.getType()).getShape().back();

  Value q;
  if (!state)
    q = rowsOfR(query, m0, k, rowLimit);

  auto loop = scf::ForOp::create(
      b, loc, index(0), visibleTiles(m0, /*lastOfRows=*/true), index(1));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value c = loop.getInductionVar();
  Value kk = apply(map(2, {d(0) * b1 + d(1)}), {c, k});

  Value rowScale;
  if (state) {
    Address at = factorRows({slab, local, kk}, d(1) + d(3), d(2), rowLimit);
    q = load(state, at, m, element);
    Value weight = load(arg(step.getStateWeight()), at, m, b.getF32Type());
    double floor = step.getTemperatureFloor().convertToDouble();
    rowScale = arith::DivFOp::create(
        b, loc, splat(scale, {m}),
        arith::MaximumFOp::create(b, loc, weight, splat(floor, {m})));
  }

  Address aLRows = factorRows({slab, local, kk}, d(1) + d(3), d(2), rowLimit);
  if (oneTile) {
    Value keyTile, valueTile;
    Value x = scoresOfR(step, q, rowScale, c, k, index(0), keyTile, valueTile);
    OneTile row = softmaxOneTile(x, static_cast<bool>(cLDest));
    if (cLDest)
      store(entropyTerm(row.max, row.sum, row.entropy), cLDest, aLRows);
    if (wantAL) {
      Value probs = row.probabilities;
      auto product = [&](Value rhs, Value dest, int64_t columns) {
        int64_t chunk = std::min(schedule.getChunk(), columns);
        for (int64_t at = 0; at < columns; at += chunk)
          store(dot(probs, rhs, Value(), chunk, false, at), dest, aLRows, at);
      };
      product(keyTile, arg(r.getAL()), dim);
      if (values)
        product(valueTile, arg(r.getY()),
                cast<MemRefType>(values.getType()).getShape().back());
    }
    return success();
  }

  SmallVector<int64_t> widths;
  if (wantAL)
    widths.push_back(dim);
  if (values)
    widths.push_back(cast<MemRefType>(values.getType()).getShape().back());
  State first = initial(widths, /*entropy=*/true);
  auto inner = scf::ForOp::create(b, loc, index(0), index(ceilDiv(b2, n)),
                                  index(1), flatten(first));
  {
    OpBuilder::InsertionGuard innerGuard(b);
    b.setInsertionPointToStart(inner.getBody());
    Value l0 = apply(map(1, {d(0) * n}), {inner.getInductionVar()});
    Value keyTile, valueTile;
    Value x = scoresOfR(step, q, rowScale, c, k, l0, keyTile, valueTile);
    State s = unflatten(inner.getRegionIterArgs(), true);
    Value p = advance(s, x);
    if (wantAL) {
      Value probs = asOperand(p);
      s.acc[0] = dot(probs, keyTile, s.acc[0], widths[0]);
      if (values)
        s.acc[1] = dot(probs, valueTile, s.acc[1], widths[1]);
    }
    scf::YieldOp::create(b, loc, flatten(s));
  }
  State s = unflatten(inner.getResults(), true);
  if (cLDest)
    store(entropyTerm(s.max, s.sum, s.entropy), cLDest, aLRows);
  Value inverse = safeReciprocal(s.sum);
  auto finish = [&](Value acc, Value dest) {
    auto shape = cast<RankedTensorType>(acc.getType()).getShape();
    store(arith::MulFOp::create(b, loc, acc, broadcast(inverse, 1, shape)),
          dest, aLRows);
  };
  if (wantAL)
    finish(s.acc[0], arg(r.getAL()));
  if (values)
    finish(s.acc[1], arg(r.getY()));
  return success();
}

LogicalResult Kernel::buildL(LStepOp step) {
  int64_t pairs = pairCount(), b1 = g.b1(), b2 = g.b2();
  double scale = step.getScale().convertToDouble() * log2e;
  SmallVector<Value> program = open({slabPairs, ceilDiv(b1, m)});
  Value local = program[0], pair = inHead(local);
  Value i0 = apply(map(1, {d(0) * m}), {program[1]});
  Value keys = arg(step.getAL()), bias = arg(step.getCL()),
        values = arg(step.getY());
  int64_t dv = cast<MemRefType>(values.getType()).getShape().back();

  Address rows = tokens({batch, head, pair, i0}, d(2).floorDiv(b2), d(3) + d(4),
                        d(2) % b2, /*isQuery=*/true);
  if (b1 % m)
    rows.limit = apply(map(1, {b1 - d(0)}), {i0});
  Value count =
      apply(map(1, {d(0) * b1}), {visibleTiles(pair, /*lastOfRows=*/false)});
  if (pairs % slabPairs) {
    // The last slab of a head has places for more pairs than there are: their
    // programs read no key and store nothing.
    Value exists = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                         pair, index(pairs));
    auto ifExists = [&](Value v) {
      return arith::SelectOp::create(b, loc, exists, v, index(0));
    };
    rows.limit = ifExists(rows.limit ? rows.limit : index(m));
    count = ifExists(count);
  }
  Value q = load(arg(step.getQuery()), rows, m, element);
  bool fixed = !keyFrames && !causal;
  bool ragged = !fixed || (g.keyTiles() * b1) % n != 0;
  auto loop = scf::ForOp::create(b, loc, index(0), count, index(n),
                                 flatten(initial({dv}, false)));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value kk = loop.getInductionVar();
    Value limit;
    if (ragged)
      limit = arith::SubIOp::create(b, loc, count, kk);
    Address at = factorRows({slab, local, kk}, d(1), d(2) + d(3), limit);
    Value keyTile = load(keys, at, n, element);
    Value valueTile = load(values, at, n, element);
    Value biasTile = load(bias, at, n, b.getF32Type());
    Value x = biasedScores(q, keyTile, biasTile, scale);
    if (ragged)
      x = masked(x, inBounds(bias, at, n));
    accumulate(loop, x, valueTile);
  }
  storeOutput(loop, arg(step.getResult()), rows);
  return success();
}

/// R and L side by side in the programs of a cluster. A slab's rows are R's
/// rows of every member, each for its own (k, c); after every turn a member
/// holds, for its share of the pairs, the rows of all members. Member r takes
/// the (k, c) numbered r*turns .. r*turns + turns with c fastest, so that its
/// query rows stay the same while c runs. Numbers past the last (k, c) give
/// rows without weight.
LogicalResult Kernel::buildExchange(RStepOp r, LStepOp l) {
  ScheduleAttr ofR = *op.getSchedule(), ofL = *op.getBeside();
  int64_t members = ofR.getCluster(), own = ofR.getRows() / members;
  int64_t pairs = pairCount(), b1 = g.b1(), b2 = g.b2();
  if (g.b2() > ofR.getColumns() || r.getState() || r.getKeyMask() || causal ||
      g.sequenceTokens || slabPairs > ofR.getRows() ||
      ofR.getRows() % members || ofL.getColumns() != members ||
      ofL.getRows() % own || ofL.getRows() / own < b1 ||
      ofL.getRows() / own % 16)
    return op.emitOpError("expected schedules of R with whole rows, a slab a "
                          "program, and of L with the rows of ")
           << own << " pairs against " << members << " keys";
  Value member = open({members})[0];
  Value tiles = keyTiles(), one = index(1), zero = index(0);
  auto divide = [&](Value x, Value by) -> Value {
    return arith::DivUIOp::create(b, loc, x, by);
  };
  auto plus = [&](Value x, Value y) -> Value {
    return arith::AddIOp::create(b, loc, x, y);
  };
  auto times = [&](Value x, Value y) -> Value {
    return arith::MulIOp::create(b, loc, x, y);
  };
  Value turns =
      divide(plus(times(tiles, index(b1)), index(members - 1)), index(members));
  Value first = times(member, turns);
  Value m0 = inHead(zero);
  // The pairs of the slab: fewer than rows, and fewer still in a head's last.
  Value rowLimit;
  if (slabPairs < ofR.getRows())
    rowLimit = index(slabPairs);
  if (pairs % slabPairs)
    rowLimit = minOf(index(slabPairs), apply(map(1, {pairs - d(0)}), {m0}));
  int64_t dim = cast<MemRefType>(arg(r.getKey()).getType()).getShape().back();
  int64_t dv = cast<MemRefType>(arg(r.getValue()).getType()).getShape().back();
  auto type = tile::ExchangeType::get(b.getContext(), members, ofL.getStages(),
                                      {tileType({ofR.getRows(), dim}, element),
                                       tileType({ofR.getRows(), dv}, element),
                                       f32Tile({ofR.getRows()})});
  Value exchange = tile::AllocExchangeOp::create(b, loc, type);
  OpBuilder::InsertionGuard guard(b);
  auto role = [&](ScheduleAttr of, int64_t firstWarp) {
    auto role = tile::RoleOp::create(b, loc, "consumer", of.getWarps(),
                                     firstWarp, /*registers=*/0);
    use(of);
    b.createBlock(&role.getBody());
  };

  OpBuilder::InsertPoint after = b.saveInsertionPoint();
  role(ofR, 0);
  {
    // Teams of R's warps take turns; a team's rows change with k.
    int64_t teams = 16 * ofR.getWarps() / m;
    auto at = [&](Value turn, Value &k, Value &c) {
      Value number = plus(first, turn);
      k = divide(number, tiles);
      c = arith::RemUIOp::create(b, loc, number, tiles);
    };
    auto rowsType = tileType({m, dim}, element);
    Value none = arith::ConstantOp::create(b, loc, b.getZeroAttr(rowsType));
    auto loop = scf::ForOp::create(b, loc, zero, turns, one, none);
    b.setInsertionPointToStart(loop.getBody());
    Value turn = loop.getInductionVar(), number, c;
    at(turn, number, c);
    Value exists = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                         number, index(b1));
    Value k = minOf(number, index(b1 - 1));
    Value isNew = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                        minOf(c, turn), index(teams));
    auto branch = scf::IfOp::create(b, loc, rowsType, isNew, true);
    b.setInsertionPointToStart(branch.thenBlock());
    scf::YieldOp::create(b, loc, rowsOfR(arg(r.getQuery()), m0, k, rowLimit));
    b.setInsertionPointToStart(branch.elseBlock());
    scf::YieldOp::create(b, loc, loop.getRegionIterArg(0));
    b.setInsertionPointAfter(branch);
    Value q = branch.getResult(0);
    Value keyTile, valueTile;
    Value x = scoresOfR(r, q, Value(), c, k, zero, keyTile, valueTile);
    OneTile row = softmaxOneTile(x, /*entropy=*/true);
    Value bias = entropyTerm(row.max, row.sum, row.entropy);
    bias = arith::SelectOp::create(
        b, loc, exists, bias,
        splat(std::numeric_limits<float>::infinity(), {m}));
    // First, so that the scores need not be kept for the entropy.
    tile::SendOp::create(b, loc, bias, exchange, turn, rowLimit, 2, 0);
    auto product = [&](Value rhs, int64_t part, int64_t columns) {
      int64_t chunk = std::min(schedule.getChunk(), columns);
      for (int64_t at = 0; at < columns; at += chunk)
        tile::SendOp::create(
            b, loc, dot(row.probabilities, rhs, Value(), chunk, false, at),
            exchange, turn, rowLimit, part, at);
    };
    product(keyTile, 0, dim);
    product(valueTile, 1, dv);
    scf::YieldOp::create(b, loc, q);
  }

  b.restoreInsertionPoint(after);
  b.setInsertionPoint(b.getInsertionBlock()->getTerminator());
  role(ofL, ofR.getWarps());
  setProblem(l);
  int64_t run = m / own; // rows of one pair
  // Pairs past the slab's, or past the head's last, are in no frame.
  AffineExpr local = d(3) * own + d(4).floorDiv(run);
  AffineExpr pair = d(2) + d(3) * own + d(4).floorDiv(run) +
                    local.floorDiv(slabPairs) * pairs;
  Address rows = tokens({batch, head, m0, member}, pair.floorDiv(b2),
                        d(4) % run, pair % b2, /*isQuery=*/true);
  if (rowLimit)
    rows.inBounds[1] = false;
  if (b1 % run) {
    rows.limit = index(b1);
    rows.period = run;
  }
  Value q = load(arg(l.getQuery()), rows, m, element);
  // The sum is kept by column and added up at the end: no thread waits for
  // others in a turn but for the maximum.
  State start = initial({dv}, false);
  start.sum = splat(0, {m, n});
  auto loop = scf::ForOp::create(b, loc, zero, turns, one, flatten(start));
  {
    OpBuilder::InsertionGuard inner(b);
    b.setInsertionPointToStart(loop.getBody());
    SmallVector<Type> partTypes(type.getParts());
    auto parts = tile::ReceiveOp::create(b, loc, partTypes, exchange,
                                         loop.getInductionVar(), rowLimit);
    double scale = l.getScale().convertToDouble() * log2e;
    Value x = biasedScores(q, parts.getResult(0), parts.getResult(2), scale,
                           /*groups=*/own);
    State s = unflatten(loop.getRegionIterArgs(), false);
    Value max = arith::MaximumFOp::create(b, loc, s.max, rowMax(x));
    Value alpha =
        math::Exp2Op::create(b, loc, arith::SubFOp::create(b, loc, s.max, max));
    Value p = math::Exp2Op::create(
        b, loc, arith::SubFOp::create(b, loc, x, broadcast(max, 1, {m, n})));
    s.sum = arith::AddFOp::create(
        b, loc,
        arith::MulFOp::create(b, loc, s.sum, broadcast(alpha, 1, {m, n})), p);
    Value scaled =
        arith::MulFOp::create(b, loc, s.acc[0], broadcast(alpha, 1, {m, dv}));
    s.acc[0] = dot(asOperand(p), parts.getResult(1), scaled, dv, false, 0,
                   false, /*groups=*/own);
    s.max = max;
    scf::YieldOp::create(b, loc, flatten(s));
  }
  State s = unflatten(loop.getResults(), false);
  Value inverse = safeReciprocal(rowSum(s.sum));
  store(arith::MulFOp::create(b, loc, s.acc[0], broadcast(inverse, 1, {m, dv})),
        arg(l.getResult()), rows);
  return success();
}

LogicalResult Kernel::buildRedistribute(RedistributeOp step) {
  int64_t pairs = pairCount(), b1 = g.b1(), b2 = g.b2();
  if (b1 > m)
    return step.emitOpError() << "expected a schedule with all " << b1
                              << " block rows in one tile, got " << m;
  double scale = step.getScale().convertToDouble() * log2e;
  Value pair = open({pairs})[0];
  Value keys = arg(step.getAL()), bias = arg(step.getCL());
  int64_t dim = cast<MemRefType>(keys.getType()).getShape().back();
  Address rows = tokens({batch, head, pair}, d(2).floorDiv(b2), d(3), d(2) % b2,
                        /*isQuery=*/true);
  if (b1 % m)
    rows.limit = index(b1);
  Value query = arg(step.getQuery());
  Value q = load(query, rows, m, element);
  Value count =
      apply(map(1, {d(0) * b1}), {visibleTiles(pair, /*lastOfRows=*/false)});

  auto scores = [&](Value kk, Address &at) {
    Value limit = arith::SubIOp::create(b, loc, count, kk);
    at = factorRows({slab, pair, kk}, d(1), d(2) + d(3), limit);
    Value keyTile = load(keys, at, n, element);
    Value biasTile = load(bias, at, n, b.getF32Type());
    Value x = biasedScores(q, keyTile, biasTile, scale);
    return masked(x, inBounds(bias, at, n));
  };
  // L is normalised over all keys (A1), so the sums over queries need a second
  // pass over them.
  auto first = scf::ForOp::create(b, loc, index(0), count, index(n),
                                  flatten(initial({}, false)));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(first.getBody());
    Address at;
    Value x = scores(first.getInductionVar(), at);
    State s = unflatten(first.getRegionIterArgs(), false);
    advance(s, x);
    scf::YieldOp::create(b, loc, flatten(s));
  }
  State s = unflatten(first.getResults(), false);
  Value inverse = broadcast(safeReciprocal(s.sum), 1, {m, n});
  Value valid = broadcast(inBounds(query, rows, m), 1, {m, n});
  auto second = scf::ForOp::create(b, loc, index(0), count, index(n));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(second.getBody());
  Address at;
  Value x = scores(second.getInductionVar(), at);
  Value p = math::Exp2Op::create(
      b, loc, arith::SubFOp::create(b, loc, x, broadcast(s.max, 1, {m, n})));
  Value l = arith::MulFOp::create(b, loc, p, inverse);
  l = arith::SelectOp::create(b, loc, valid, l, splat(0, {m, n})); // G3
  store(dot(l, q, Value(), dim, false, 0, /*transposeLhs=*/true),
        arg(step.getAR()), at);
  store(reduce(l, "sum", 0), arg(step.getCR()), at);
  return success();
}

LogicalResult Kernel::buildDense(DenseOp step) {
  Extents view = viewExtents(g, g.queryFrames);
  int64_t perFrame = view[1] * view[2];
  double scale = step.getScale().convertToDouble() * log2e;
  // One program stays inside a frame, so that its rows see the same keys (A4).
  SmallVector<Value> program =
      open({static_cast<int64_t>(step.getFrames()), ceilDiv(perFrame, m)});
  Value frame = program[0], m0 = apply(map(1, {d(0) * m}), {program[1]});
  Address rows = linearTokens({batch, head, frame, m0}, d(2), d(3) + d(4));
  if (perFrame % m)
    rows.limit = apply(map(1, {perFrame - d(0)}), {m0});
  Value q = load(arg(step.getQuery()), rows, m, element);
  Value key = arg(step.getKey()), value = arg(step.getValue());
  Value mask = step.getKeyMask() ? arg(step.getKeyMask()) : Value();
  int64_t dv = cast<MemRefType>(value.getType()).getShape().back();

  Value frames = keyFrames ? keyFrames : index(viewExtents(g, g.keyFrames)[0]);
  if (causal)
    frames = minOf(frames, visibleFrames(frame));
  Value count = apply(map(1, {d(0) * perFrame}), {frames});
  bool fixed = !keyFrames && !causal;
  bool ragged = !fixed || g.keyTokens() % n != 0;
  auto loop = scf::ForOp::create(b, loc, index(0), count, index(n),
                                 flatten(initial({dv}, false)));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value t0 = loop.getInductionVar();
    Value limit;
    if (ragged)
      limit = arith::SubIOp::create(b, loc, count, t0);
    auto address = [&](bool isMask) {
      Address at = linearTokens({batch, head, t0}, b.getAffineConstantExpr(0),
                                d(2) + d(3), isMask);
      at.limit = limit;
      return at;
    };
    Address at = address(false);
    Value keyTile = load(key, at, n, element);
    Value valueTile = load(value, at, n, element);
    Value valid;
    if (mask) {
      valid = maskBits(mask, address(true));
      keyTile = withoutRows(keyTile, valid);
      valueTile = withoutRows(valueTile, valid);
    } else if (ragged) {
      valid = inBounds(key, at, n);
    }
    Value s = dot(q, keyTile, Value(), n, /*transposeRhs=*/true);
    Value x = arith::MulFOp::create(b, loc, s, splat(scale, {m, n}));
    if (valid)
      x = masked(x, valid);
    accumulate(loop, x, valueTile);
  }
  storeOutput(loop, arg(step.getResult()), rows);
  return success();
}

void Kernel::setProblem(Operation *step) {
  g = step->getAttrOfType<GeometryAttr>("geometry").getValue();
  auto integer = [&](StringRef name) {
    auto attr = step->getAttrOfType<IntegerAttr>(name);
    return attr ? attr.getInt() : 0;
  };
  causal = integer("causal_frames");
  causalOffset = integer("causal_offset");
  heads = cast<RankedTensorType>(step->getOperand(0).getType()).getDimSize(2);
  keyFrames = args.lookup("key_frames");
}

LogicalResult Kernel::build() {
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
    if (failed(buildExchange(r, l)))
      return failure();
    b.setInsertionPointToEnd(&function.getBody().front());
    func::ReturnOp::create(b, loc);
    return success();
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
  b.setInsertionPointToEnd(&function.getBody().front());
  func::ReturnOp::create(b, loc);
  return success();
}

} // namespace

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
  return Kernel(kernel, function, b, slabPairs, buffers, args).build();
}
