//===- MonarchOps.cpp - verifiers and folds of the monarch dialect --------===//

#include "monarch/Dialect/MonarchDialect.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/TypeUtilities.h"

#include <cmath>

using namespace mlir;
using namespace monarch;

/// The geometry of an op, which may be an alias.
static ParseResult parseGeometry(OpAsmParser &parser, GeometryAttr &geometry) {
  return parser.parseAttribute(geometry);
}
static void printGeometry(OpAsmPrinter &printer, Operation *,
                          GeometryAttr geometry) {
  printer.printAttribute(geometry);
}

#define GET_OP_CLASSES
#include "monarch/Dialect/MonarchOps.cpp.inc"

//===----------------------------------------------------------------------===//
// Shape checks
//===----------------------------------------------------------------------===//

namespace {
/// The sizes that the ops of one problem share, read off the query operand.
struct Sizes {
  int64_t batch, heads, headDim;
};
} // namespace

static std::string shapeString(ArrayRef<int64_t> shape) {
  std::string s = "[";
  for (int64_t d : shape)
    s += (s.size() > 1 ? ", " : "") + std::to_string(d);
  return s + "]";
}

/// Checks that `value` has exactly `shape`; the message cites `label`.
static LogicalResult checkShape(Operation *op, StringRef label, StringRef name,
                                Value value, ArrayRef<int64_t> shape) {
  auto type = cast<RankedTensorType>(value.getType());
  if (type.getShape() == shape)
    return success();
  return op->emitOpError() << label << ": expected " << name << " of shape "
                           << shapeString(shape) << ", got "
                           << shapeString(type.getShape());
}

/// Reads the sizes off query `[B, Nq, heads, D]`.
static FailureOr<Sizes> readQuery(Operation *op, Value query,
                                  const Geometry &g) {
  auto type = cast<RankedTensorType>(query.getType());
  if (type.getRank() != 4 || !type.hasStaticShape())
    return op->emitOpError()
           << "expected query of static shape [B, Nq, heads, D], got " << type;
  if (type.getDimSize(1) != g.queryTokens())
    return op->emitOpError() << "G1: expected query with " << g.queryTokens()
                             << " tokens, got " << type.getDimSize(1);
  Type e = type.getElementType();
  if (!e.isF32() && !e.isBF16() && !e.isF16())
    return op->emitOpError()
           << "expected query elements f16, bf16 or f32, got " << e;
  for (int x : {0, 2, 3})
    if (type.getDimSize(x) < 1)
      return op->emitOpError()
             << "expected query without empty dimensions, got " << type;
  return Sizes{type.getDimSize(0), type.getDimSize(2), type.getDimSize(3)};
}

/// Checks key, value and mask against the query's sizes.
static LogicalResult checkKeys(Operation *op, const Geometry &g, Sizes s,
                               Type element, Value key, Value value,
                               Value mask) {
  if (failed(checkShape(op, "G1", "key", key,
                        {s.batch, g.keyTokens(), s.heads, s.headDim})))
    return failure();
  if (value) {
    auto type = cast<RankedTensorType>(value.getType());
    int64_t dv = type.getRank() == 4 ? type.getDimSize(3) : -1;
    if (failed(checkShape(op, "G1", "value", value,
                          {s.batch, g.keyTokens(), s.heads, dv})))
      return failure();
  }
  for (Value operand : {key, value})
    if (operand && getElementTypeOrSelf(operand.getType()) != element)
      return op->emitOpError()
             << "expected " << (operand == key ? "key" : "value")
             << " elements " << element << " as in query, got "
             << getElementTypeOrSelf(operand.getType());
  if (mask) {
    if (failed(
            checkShape(op, "G3", "key_mask", mask, {s.batch, g.keyTokens()})))
      return failure();
    if (!getElementTypeOrSelf(mask.getType()).isInteger(1))
      return op->emitOpError() << "expected key_mask elements i1, got "
                               << getElementTypeOrSelf(mask.getType());
  }
  return success();
}

/// [B, heads, P, NK] with P = A*b2 and NK = C*b1, plus a trailing size.
static SmallVector<int64_t> factorShape(const Geometry &g, Sizes s,
                                        int64_t last = 0) {
  SmallVector<int64_t> shape = {s.batch, s.heads, g.queryTiles() * g.b2(),
                                g.keyTiles() * g.b1()};
  if (last)
    shape.push_back(last);
  return shape;
}

static LogicalResult checkScale(Operation *op, const APFloat &scale) {
  if (scale.isFinite())
    return success();
  return op->emitOpError() << "expected a finite scale";
}

static LogicalResult checkCausal(Operation *op, const Geometry &g,
                                 int64_t frames, int64_t offset) {
  if (frames < 0 || (frames && frames % g.tile[0]))
    return op->emitOpError()
           << "A4: expected causal_frames to be 0 or a multiple of the tile's "
           << g.tile[0] << " frames, got " << frames;
  if (!frames && offset)
    return op->emitOpError()
           << "A4: expected causal_offset 0 without causal_frames, got "
           << offset;
  if (offset < 0 || offset % g.tile[0] || offset + g.queryFrames > g.keyFrames)
    return op->emitOpError()
           << "A4: expected causal_offset to be a multiple of the tile's "
           << g.tile[0] << " frames in 0.." << g.keyFrames - g.queryFrames
           << ", got " << offset;
  if (frames && g.sequenceTokens)
    return op->emitOpError() << "A4: expected no causal groups on a sequence";
  return success();
}

static LogicalResult checkFrames(Operation *op, StringRef label, StringRef name,
                                 const Geometry &g, int64_t frames,
                                 int64_t least) {
  if (frames >= least && frames <= g.queryFrames)
    return success();
  return op->emitOpError() << label << ": expected " << name << " in " << least
                           << ".." << g.queryFrames << ", got " << frames;
}

static LogicalResult checkFloor(Operation *op, const APFloat &floor) {
  double v = floor.convertToDouble();
  if (v > 0 && v <= 1)
    return success();
  return op->emitOpError()
         << "A2: expected temperature_floor above 0 and at most 1, got "
         << floor.convertToDouble();
}

/// KV length at run time is in frames; a sequence has none. (A5)
static LogicalResult checkKeyFrames(Operation *op, const Geometry &g,
                                    Value keyFrames) {
  if (keyFrames && g.sequenceTokens)
    return op->emitOpError() << "A5: expected no key_frames on a sequence";
  return success();
}

//===----------------------------------------------------------------------===//
// monarch.attention
//===----------------------------------------------------------------------===//

LogicalResult AttentionOp::verify() {
  const Geometry &g = getGeometry().getValue();
  FailureOr<Sizes> s = readQuery(*this, getQuery(), g);
  if (failed(s))
    return failure();
  Type element = getElementTypeOrSelf(getQuery().getType());
  if (failed(
          checkKeys(*this, g, *s, element, getKey(), getValue(), getKeyMask())))
    return failure();
  int64_t dv = cast<RankedTensorType>(getValue().getType()).getDimSize(3);
  if (failed(checkShape(*this, "G1", "result", getResult(),
                        {s->batch, g.queryTokens(), s->heads, dv})))
    return failure();
  if (getElementTypeOrSelf(getResult().getType()) != element)
    return emitOpError() << "expected result elements " << element
                         << " as in query, got "
                         << getElementTypeOrSelf(getResult().getType());
  if (static_cast<int64_t>(getIterations()) < 1 || getIterations() > 64)
    return emitOpError() << "expected iterations in 1..64, got "
                         << static_cast<int64_t>(getIterations());
  if (failed(checkScale(*this, getScale())) ||
      failed(checkFloor(*this, getTemperatureFloor())) ||
      failed(checkFrames(*this, "A3", "recompute_frames", g,
                         getRecomputeFrames(), 0)) ||
      failed(checkCausal(*this, g, getCausalFrames(), getCausalOffset())) ||
      failed(checkKeyFrames(*this, g, getKeyFrames())))
    return failure();
  if (g.sequenceTokens && getRecomputeFrames())
    return emitOpError() << "A3: expected no recompute_frames on a sequence";
  return success();
}

namespace {
/// A7: with T = 1, one column per block, or one block row and one key tile,
/// the result is dense attention over all keys.
struct FoldToDense : OpRewritePattern<AttentionOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AttentionOp op,
                                PatternRewriter &rewriter) const override {
    const Geometry &g = op.getGeometry().getValue();
    bool dense = g.b2() == 1 || (g.b1() == 1 && g.keyTiles() == 1);
    if (op.getIterations() != 1 || !dense)
      return failure();
    rewriter.replaceOpWithNewOp<DenseOp>(
        op, op.getResult().getType(), op.getQuery(), op.getKey(), op.getValue(),
        op.getKeyFrames(), op.getKeyMask(), op.getGeometry(), g.queryFrames,
        op.getScale(), op.getCausalFrames(), op.getCausalOffset());
    return success();
  }
};

/// A3: recomputing every frame leaves nothing of the Monarch result.
struct FoldFullRecompute : OpRewritePattern<AttentionOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AttentionOp op,
                                PatternRewriter &rewriter) const override {
    const Geometry &g = op.getGeometry().getValue();
    if (static_cast<int64_t>(op.getRecomputeFrames()) != g.queryFrames)
      return failure();
    rewriter.replaceOpWithNewOp<DenseOp>(
        op, op.getResult().getType(), op.getQuery(), op.getKey(), op.getValue(),
        op.getKeyFrames(), op.getKeyMask(), op.getGeometry(), g.queryFrames,
        op.getScale(), op.getCausalFrames(), op.getCausalOffset());
    return success();
  }
};
} // namespace

void AttentionOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                              MLIRContext *context) {
  patterns.add<FoldToDense, FoldFullRecompute>(context);
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

/// What r_step and entropy have in common.
template <typename Op> static LogicalResult verifyScores(Op op, Sizes &sizes) {
  const Geometry &g = op.getGeometry().getValue();
  FailureOr<Sizes> s = readQuery(op, op.getQuery(), g);
  if (failed(s))
    return failure();
  sizes = *s;
  if (op.getState() &&
      (failed(checkShape(op, "G1", "state aR", op.getState(),
                         factorShape(g, *s, s->headDim))) ||
       failed(checkShape(op, "G1", "state cR", op.getStateWeight(),
                         factorShape(g, *s)))))
    return failure();
  if (failed(checkScale(op, op.getScale())) ||
      failed(checkFloor(op, op.getTemperatureFloor())) ||
      failed(checkCausal(op, g, op.getCausalFrames(), op.getCausalOffset())))
    return failure();
  return checkKeyFrames(op, g, op.getKeyFrames());
}

LogicalResult RStepOp::verify() {
  const Geometry &g = getGeometry().getValue();
  Sizes s;
  if (failed(verifyScores(*this, s)) ||
      failed(checkKeys(*this, g, s, getElementTypeOrSelf(getQuery().getType()),
                       getKey(), getValue(), getKeyMask())) ||
      failed(checkShape(*this, "G1", "result aL", getAL(),
                        factorShape(g, s, s.headDim))))
    return failure();
  if (!getY() != !getValue())
    return emitOpError() << "expected result y exactly when value is given";
  if (getY()) {
    int64_t dv = cast<RankedTensorType>(getValue().getType()).getDimSize(3);
    if (failed(
            checkShape(*this, "G1", "result y", getY(), factorShape(g, s, dv))))
      return failure();
  }
  if (getCL() &&
      failed(checkShape(*this, "G1", "result cL", getCL(), factorShape(g, s))))
    return failure();
  if (!llvm::is_contained({"two_pass", "one_tile", "online"}, getSoftmax()))
    return emitOpError()
           << "A6: expected softmax two_pass, one_tile or online, got '"
           << getSoftmax() << "'";
  if ((getSoftmax() == "two_pass") != !getCL())
    return emitOpError()
           << "A6: expected result cL exactly when the entropy is "
              "fused (softmax one_tile or online), got softmax '"
           << getSoftmax() << "'";
  return success();
}

LogicalResult EntropyOp::verify() {
  const Geometry &g = getGeometry().getValue();
  Sizes s;
  if (failed(verifyScores(*this, s)) ||
      failed(checkKeys(*this, g, s, getElementTypeOrSelf(getQuery().getType()),
                       getKey(), Value(), getKeyMask())))
    return failure();
  return checkShape(*this, "G1", "result cL", getCL(), factorShape(g, s));
}

/// What l_step and redistribute have in common.
template <typename Op> static LogicalResult verifyRows(Op op, Sizes &sizes) {
  const Geometry &g = op.getGeometry().getValue();
  FailureOr<Sizes> s = readQuery(op, op.getQuery(), g);
  if (failed(s))
    return failure();
  sizes = *s;
  if (failed(checkShape(op, "A1", "keys aL", op.getAL(),
                        factorShape(g, *s, s->headDim))) ||
      failed(checkShape(op, "A1", "bias cL", op.getCL(), factorShape(g, *s))) ||
      failed(checkScale(op, op.getScale())) ||
      failed(checkCausal(op, g, op.getCausalFrames(), op.getCausalOffset())))
    return failure();
  return checkKeyFrames(op, g, op.getKeyFrames());
}

LogicalResult LStepOp::verify() {
  const Geometry &g = getGeometry().getValue();
  Sizes s;
  if (failed(verifyRows(*this, s)))
    return failure();
  auto y = cast<RankedTensorType>(getY().getType());
  int64_t dv = y.getRank() == 5 ? y.getDimSize(4) : -1;
  if (failed(
          checkShape(*this, "A1", "values y", getY(), factorShape(g, s, dv))))
    return failure();
  return checkShape(*this, "G1", "result", getResult(),
                    {s.batch, g.queryTokens(), s.heads, dv});
}

LogicalResult RedistributeOp::verify() {
  const Geometry &g = getGeometry().getValue();
  Sizes s;
  if (failed(verifyRows(*this, s)) ||
      failed(checkShape(*this, "A1", "result aR", getAR(),
                        factorShape(g, s, s.headDim))))
    return failure();
  return checkShape(*this, "A1", "result cR", getCR(), factorShape(g, s));
}

LogicalResult DenseOp::verify() {
  const Geometry &g = getGeometry().getValue();
  FailureOr<Sizes> s = readQuery(*this, getQuery(), g);
  if (failed(s))
    return failure();
  Type element = getElementTypeOrSelf(getQuery().getType());
  if (failed(checkKeys(*this, g, *s, element, getKey(), getValue(),
                       getKeyMask())) ||
      failed(checkScale(*this, getScale())) ||
      failed(checkFrames(*this, "A3", "frames", g, getFrames(), 1)) ||
      failed(checkCausal(*this, g, getCausalFrames(), getCausalOffset())) ||
      failed(checkKeyFrames(*this, g, getKeyFrames())))
    return failure();
  int64_t dv = cast<RankedTensorType>(getValue().getType()).getDimSize(3);
  return checkShape(*this, "G1", "result", getResult(),
                    {s->batch, g.queryTokens(), s->heads, dv});
}

LogicalResult ReplaceFramesOp::verify() {
  if (getInto().getType() != getResult().getType() ||
      getWith().getType() != getResult().getType())
    return emitOpError() << "expected both operands of type "
                         << getResult().getType() << ", got "
                         << getInto().getType() << " and "
                         << getWith().getType();
  return checkFrames(*this, "A3", "frames", getGeometry().getValue(),
                     getFrames(), 1);
}

LogicalResult KernelOp::verify() {
  auto yield = cast<YieldOp>(getBody().front().getTerminator());
  if (yield.getOperandTypes() != getResultTypes())
    return emitOpError()
           << "expected results with the types of monarch.yield's operands";
  return success();
}
