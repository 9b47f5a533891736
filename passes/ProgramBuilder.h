//===- ProgramBuilder.h - writes the programs of a kernel -------*- C++ -*-===//
//
// Writes the body of a kernel: one scf.forall over independent programs, loops
// over key tiles, and the running state of the softmax (maximum, sum, entropy)
// as loop-carried values. What steps share is here and in ProgramBuilder.cpp, a
// step's own program in Program*.cpp.
//
// Scores are kept in units of log2: exp(x) = exp2(x * log2 e) costs one
// multiplication with the scale, and the entropy comes out as
// cL = E/Z - log2 Z with E = sum t exp2(t), t = x - m (A6).
//
//===----------------------------------------------------------------------===//
#ifndef MONARCH_PASSES_PROGRAMBUILDER_H
#define MONARCH_PASSES_PROGRAMBUILDER_H

#include "TilePrograms.h"

#include "monarch/Dialect/TileDialect.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/TypeUtilities.h"

namespace monarch {
using namespace mlir;

inline constexpr double log2e = 1.4426950408889634;
/// Stands for minus infinity in scores: finite, so that a row without a valid
/// key gives no NaN, and under any score down to -6e29. A power of two: its
/// product with a scale is exact, so that of a row of such scores the largest
/// is exactly as large as the others (softmaxOneTile).
inline constexpr double maskedScore = -0x1p100;

/// The address of a tile's rows: operands of the map, and its results.
struct Address {
  SmallVector<Value> operands;
  AffineMap map;
  SmallVector<bool> inBounds;
  Value limit;
  int64_t period = 0; ///< rows of a run that `limit` counts from, 0: of all
};

/// One kernel under construction.
class ProgramBuilder {
public:
  ProgramBuilder(KernelOp op, func::FuncOp function, OpBuilder &b,
                 int64_t slabPairs,
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
  Value plus(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value minus(Value x, Value y) { return arith::SubIOp::create(b, loc, x, y); }
  Value times(Value x, Value y) { return arith::MulIOp::create(b, loc, x, y); }
  Value divide(Value x, Value y) {
    return arith::DivUIOp::create(b, loc, x, y);
  }
  Value compare(arith::CmpIPredicate how, Value x, Value y) {
    return arith::CmpIOp::create(b, loc, how, x, y);
  }
  Value both(Value x, Value y) { return arith::AndIOp::create(b, loc, x, y); }
  Value select(Value condition, Value x, Value y) {
    return arith::SelectOp::create(b, loc, condition, x, y);
  }
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
                                at.limit, at.map, at.inBounds, false, at.period,
                                /*into=*/Value());
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
  Address ringRows(ArrayRef<Value> operands, AffineExpr pair, AffineExpr key,
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
  /// A sum that is kept for every eighth column, and added up at the end.
  static bool isByColumn(Value sum) {
    return cast<RankedTensorType>(sum.getType()).getRank() == 2;
  }
  /// What L starts with: on a GPU with a sum by column, so that no thread waits
  /// for others in a turn.
  State initialOfL(int64_t channels) {
    State s = initial({channels}, /*entropy=*/false);
    if (schedule.getKind() != "host")
      s.sum = splat(0, {m, 8});
    return s;
  }
  /// One step of A6 with scores x: rescales `s` and returns the unnormalised
  /// probabilities.
  Value advance(State &s, Value x);
  /// The same for a sum by column and no entropy, with a maximum that is raised
  /// now and then.
  Value advanceByColumn(State &s, Value x);
  /// A state without entropy as it is with a larger maximum.
  State withMaximum(const State &s, Value max);
  SmallVector<Value> flatten(const State &s);
  State unflatten(ValueRange values, bool entropy);
  State initial(ArrayRef<int64_t> accColumns, bool entropy);
  Value safeReciprocal(Value z);
  Value entropyTerm(Value max, Value sum, Value entropy);

  /// Scores that are still to be multiplied with `scale`, in units of log2
  /// then; 1: they have been.
  struct Scores {
    Value tile;
    double scale;
  };
  /// A whole row of scores in one tile: what follows from it.
  struct OneTile {
    Value max; ///< of the scores, before their scale
    Value sum, entropy, probabilities;
  };
  OneTile softmaxOneTile(const Scores &x, bool entropy);
  Value rowsOfR(Value query, Value firstPair, Value k, Value limit);
  template <typename Op>
  Scores scoresOfR(Op step, Value q, Value rowScale, Value c, Value k, Value l0,
                   bool wholeRow, Value &keyTile, Value &valueTile);

  /// Rows of queries in a turn of many: `kept`, those of the turn before, or
  /// new ones.
  Value rowsOfTurn(Value isNew, Value kept, llvm::function_ref<Value()> load);
  /// The bias of a turn's rows, which are without weight where the turn has no
  /// key.
  Value biasOfTurn(const OneTile &scores, Value exists);
  /// All columns of `probabilities` times `rhs`, a chunk of the schedule at a
  /// time; `use` gets each chunk's first column.
  void eachProduct(Value probabilities, Value rhs,
                   llvm::function_ref<void(Value, int64_t)> use);

  template <typename Op> LogicalResult buildR(Op op);
  LogicalResult buildExchange(RStepOp r, LStepOp l);
  /// A cluster's part of a slab: `turns` of them from the `first` on.
  struct Part {
    Value slab, first, turns;
    Value number; ///< of the slab's parts
    Value some;   ///< i1: has turns
    Value isLast; ///< i1: has the slab's last turns
    Value ofCut;  ///< its number among all parts of slabs that are cut,
    Value cut;    ///< which are so many
  };
  Part partOf(Value cluster, Value turns);
  Address partRows(Value ofCut, Value member, int64_t which);
  Address partOutputs(Value ofCut, Value member);
  Value counterOfPart(Value ofCut, Value member);
  void storePart(const State &s, const Part &part, Value member);
  State withOtherParts(const State &s, const Part &part, Value member);
  LogicalResult buildRing(RStepOp r, LStepOp l);
  /// Key `number` of a launch: its slot, its group's counters, and how often
  /// the group has been used before.
  struct RingPlace {
    Value slot, full, empty, uses;
  };
  /// A turn of a writer of a ring: a key's number, and what it is of.
  struct RingTurn {
    Value number, m0, c, k;
    Value exists; ///< i1: not past the last key
    Value isNew;  ///< i1: query rows are not those of the turn before
  };
  Value inOtherSlab(llvm::function_ref<Value()> build);
  /// Goes to the slab of a turn as well.
  RingTurn ringTurn(Value turn, Value writer);
  RingPlace ringPlace(Value number);
  int64_t ringKeys();
  /// Teams of all programs that write, or read.
  int64_t ringWriters();
  int64_t ringReaders();
  void buildRingWriter(RStepOp r, Value writer);
  void buildRingReader(LStepOp l, Value reader, Value restTeam = {});
  State putTogether(State s);
  LogicalResult buildSteps();
  LogicalResult buildL(LStepOp op);
  LogicalResult buildRedistribute(RedistributeOp op);
  LogicalResult buildDense(DenseOp op);

  /// q . aL
  Value scoresOfL(Value q, Value keyTile, int64_t groups = 1) {
    return dot(q, keyTile, Value(), n, /*transposeRhs=*/true, 0, false, groups);
  }
  /// P of the L step: scale * q . aL - cL, -infinity for keys that are not
  /// `valid`.
  Value biased(Value scores, Value biasTile, double scale, int64_t groups = 1,
               Value valid = {}) {
    Value s = arith::MulFOp::create(b, loc, scores, splat(scale, {m, n}));
    if (valid)
      biasTile = arith::SelectOp::create(
          b, loc, valid, biasTile,
          splat(std::numeric_limits<float>::infinity(), {n}));
    return arith::SubFOp::create(b, loc, s,
                                 broadcast(biasTile, 0, {m, n}, groups));
  }
  /// Ends one turn of a loop that carries maximum, sum and one output, and what
  /// is `carried` on behind them. The values are columns `offset` onwards of
  /// `valueTile`.
  void accumulate(scf::ForOp loop, Value x, Value valueTile, int64_t groups = 1,
                  int64_t offset = 0, ValueRange carried = {}) {
    State s = unflatten(loop.getRegionIterArgs().drop_back(carried.size()),
                        /*entropy=*/false);
    Value p = isByColumn(s.sum) ? advanceByColumn(s, x) : advance(s, x);
    int64_t columns =
        cast<RankedTensorType>(valueTile.getType()).getDimSize(1) - offset;
    s.acc[0] = dot(asOperand(p), valueTile, s.acc[0], columns, false, offset,
                   false, groups);
    SmallVector<Value> yields = flatten(s);
    llvm::append_range(yields, carried);
    scf::YieldOp::create(b, loc, yields);
  }
  /// Normalises and stores the output of such a loop.
  void storeOutput(scf::ForOp loop, Value dest, const Address &rows) {
    storeOutput(unflatten(loop.getResults(), /*entropy=*/false), dest, rows);
  }
  void storeOutput(const State &s, Value dest, const Address &rows) {
    auto shape = cast<RankedTensorType>(s.acc[0].getType()).getShape();
    Value sum = isByColumn(s.sum) ? rowSum(s.sum) : s.sum;
    store(arith::MulFOp::create(b, loc, s.acc[0],
                                broadcast(safeReciprocal(sum), 1, shape)),
          dest, rows);
  }

  /// Opens the scf.forall over (slab, dims...) and returns its indices. With
  /// `slabsTogether` the last of them runs slowest, slabs fastest.
  SmallVector<Value> open(ArrayRef<int64_t> dims, bool slabsTogether = false);
  /// Goes to slab `number` of the launch.
  void setSlab(Value number);
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
  int64_t batches = 0, heads = 0, causal = 0, causalOffset = 0;
  Value keyFrames; ///< run-time count, or null
  /// Memory of a persistent kernel's rows, as they are read and written.
  Value ring, ringInto;
  Value slab, batch, head;
  Value firstPair; ///< of the slab, null where a head is one slab
};

} // namespace monarch

#endif // MONARCH_PASSES_PROGRAMBUILDER_H
