//===- ThreadRegisters.cpp - tiles as registers of threads ----------------===//
//
// Elementwise ops, reductions and layouts: register i of a tile is formed when
// it is asked for.
//
//===----------------------------------------------------------------------===//

#include "ThreadLowering.h"

using namespace mlir;
using namespace monarch;

/// One row's value: two running values, so that few registers are live. A
/// product that only feeds a sum is never formed, but added by fma. Of a wide
/// row the sums of exponentials and of their products with the exponents are
/// formed together, so that both are dead once they are added, and rows one
/// after the other.
Value ThreadLowering::reduceRow(tile::ReduceOp op, size_t rowIndex) {
  struct Running {
    tile::ReduceOp op;
    arith::MulFOp product;
    Value values[2];
  };
  auto productOf = [](tile::ReduceOp sum) {
    return sum.getKind() == "sum" && sum.getSource().hasOneUse()
               ? sum.getSource().getDefiningOp<arith::MulFOp>()
               : arith::MulFOp();
  };
  int64_t columns = tileOf(op.getSource()).getDimSize(1);
  SmallVector<Running> sums = {{op, productOf(op), {}}};
  auto exponential = op.getSource().getDefiningOp<math::Exp2Op>();
  if (exponential && columns > 160 && op.getKind() == "sum")
    for (auto sum : op->getBlock()->getOps<tile::ReduceOp>()) {
      arith::MulFOp product = productOf(sum);
      auto isFactor = [&](Value v) {
        return llvm::is_contained(product->getOperands(), v);
      };
      if (product && isFactor(exponential) &&
          isFactor(exponential.getOperand()) && !sum->use_empty() &&
          !isKept(sum.getResult(), rowIndex))
        sums.push_back({sum, product, {}});
    }
  auto combine = [&](Value x, Value y) {
    return combined(b, loc, op.getKind(), x, y);
  };
  int64_t nTiles = columns / 8, m = rowIndex / 2, h = rowIndex % 2;
  for (int64_t n = 0; n < nTiles; ++n)
    for (int64_t e = 0; e < 2; ++e) {
      size_t i = (m * nTiles + n) * 4 + h * 2 + e;
      for (Running &sum : sums) {
        Value &running = sum.values[e];
        if (sum.product && running) {
          Value x = at(sum.product.getLhs(), i);
          Value y = at(sum.product.getRhs(), i);
          running = LLVM::FMAOp::create(b, loc, x, y, running);
        } else {
          Value x = at(sum.op.getSource(), i);
          running = running ? combine(running, x) : x;
        }
      }
    }
  auto ofRow = [&](Running &sum) {
    return overRow(combine(sum.values[0], sum.values[1]), combine);
  };
  for (Running &sum : llvm::drop_begin(sums))
    keep(sum.op.getResult(), rowIndex, ofRow(sum));
  Value result = ofRow(sums.front());
  if (sums.size() > 1)
    endBlock();
  return result;
}

/// A trap that no program meets, as there are programs. ptxas schedules basic
/// blocks one by one, and without an end to this one forms the next row's
/// values as early as it can, in registers that it has not.
void ThreadLowering::endBlock() {
  statement("{\n\t.reg .pred p;\n\t.reg .b32 n;\n\tmov.u32 n, %nctaid.x;\n\t"
            "setp.eq.u32 p, n, 0;\n\t@p trap;\n\t}",
            "", 0, {});
}

Value ThreadLowering::overRow(Value v,
                              llvm::function_ref<Value(Value, Value)> combine) {
  for (int64_t distance : {1, 2})
    v = combine(v, NVVM::ShflOp::create(b, loc, b.getF32Type(), i32(-1), v,
                                        i32(distance), i32(31),
                                        NVVM::ShflKind::bfly, UnitAttr()));
  return v;
}

/// Threads compare what they hold of a row; only a warp that has to raise a
/// maximum finds out what it is.
LogicalResult ThreadLowering::lowerRaiseMaximum(tile::RaiseMaximumOp op) {
  auto isAcc = [&](Value v) { return kindOf(v) == "acc"; };
  if (kindOf(op.getMaximum()) != "rows" || !isAcc(op.getScores()) ||
      !llvm::all_of(op.getTiles(), isAcc))
    return op.emitOpError("expected a maximum in layout rows and tiles in "
                          "layout acc");
  if (tileOf(op.getMaximum()).getDimSize(0) % (16 * warps))
    return op.emitOpError("expected multiples of 16 rows for each of ")
           << warps << " warps, got " << op.getMaximum().getType();
  auto rowOf = [](Value tile, size_t i) {
    return rowOfRegister(tileOf(tile), i);
  };
  auto larger = [&](Value x, Value y) -> Value {
    return arith::MaximumFOp::create(b, loc, x, y);
  };
  auto exceeds = [&](Value x, Value y) -> Value {
    return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, x, y);
  };
  Registers maximum = all(op.getMaximum()), found(maximum.size()), bounds;
  for (auto [i, score] : llvm::enumerate(all(op.getScores()))) {
    Value &row = found[rowOf(op.getScores(), i)];
    row = row ? larger(row, score) : score;
  }
  Value slack = arith::ConstantOp::create(
      b, loc, b.getF32FloatAttr(op.getSlack().convertToDouble()));
  Value mine;
  for (auto [old, row] : llvm::zip(maximum, found)) {
    bounds.push_back(arith::AddFOp::create(b, loc, old, slack));
    Value more = exceeds(row, bounds.back());
    mine = mine ? arith::OrIOp::create(b, loc, mine, more) : more;
  }
  Registers held = maximum;
  for (Value tile : op.getTiles())
    llvm::append_range(held, all(tile));
  Value any = NVVM::VoteSyncOp::create(b, loc, b.getI1Type(), i32(-1), mine,
                                       NVVM::VoteSyncKind::any);
  auto branch = scf::IfOp::create(
      b, loc, SmallVector<Type>(held.size(), b.getF32Type()), any, true);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.elseBlock());
    scf::YieldOp::create(b, loc, held);
    b.setInsertionPointToStart(branch.thenBlock());
    Registers raised, factors;
    for (auto [old, row, bound] : llvm::zip(maximum, found, bounds)) {
      Value most = overRow(row, larger);
      raised.push_back(
          arith::SelectOp::create(b, loc, exceeds(most, bound), most, old));
      factors.push_back(
          exp2(arith::SubFOp::create(b, loc, old, raised.back())));
    }
    for (Value tile : op.getTiles())
      for (auto [i, v] : llvm::enumerate(all(tile)))
        raised.push_back(
            arith::MulFOp::create(b, loc, v, factors[rowOf(tile, i)]));
    scf::YieldOp::create(b, loc, raised);
  }
  bind(op.getResults(), branch.getResults());
  return success();
}

Value ThreadLowering::elementwise(Operation *op, size_t i) {
  Type f32 = b.getF32Type();
  Type element = tileOf(op->getResult(0)).getElementType();
  if (auto truncate = dyn_cast<arith::TruncFOp>(op)) {
    // Kept as packed pairs [m][n][h], the form that fragments need.
    Value low = at(truncate.getIn(), 2 * i);
    Value high = at(truncate.getIn(), 2 * i + 1);
    return pack(low, high, element);
  }
  SmallVector<Value> operands;
  for (Value v : op->getOperands()) // a condition may be one for all
    operands.push_back(isa<RankedTensorType>(v.getType())
                           ? at(v, i)
                           : mapping.lookupOrDefault(v));
  if (isa<math::Exp2Op>(op))
    return exp2(operands[0]);
  if (isa<math::Log2Op>(op))
    return assembly("lg2.approx.ftz.f32 $0, $1;", "=f,f", f32, operands);
  if (isa<math::FmaOp>(op))
    return LLVM::FMAOp::create(b, loc, operands[0], operands[1], operands[2]);
  if (isa<arith::DivFOp>(op)) {
    Value inverse =
        assembly("rcp.approx.ftz.f32 $0, $1;", "=f,f", f32, {operands[1]});
    return arith::MulFOp::create(b, loc, operands[0], inverse);
  }
  OperationState state(loc, op->getName(), operands, {element}, op->getAttrs());
  state.propertiesAttr = op->getPropertiesAsAttribute();
  return b.create(state)->getResult(0);
}

Value ThreadLowering::at(Value tile, size_t i) {
  if (isKept(tile, i))
    return registers[tile][i];
  Operation *op = tile.getDefiningOp();
  Value v;
  if (auto broadcast = dyn_cast<tile::BroadcastOp>(op)) {
    size_t column = i / 4 % (tileOf(tile).getDimSize(1) / 8) * 2 + i % 2;
    v = at(broadcast.getSource(),
           broadcast.getAxis() == 1 ? rowOfRegister(tileOf(tile), i) : column);
  } else if (auto reduce = dyn_cast<tile::ReduceOp>(op)) {
    v = reduceRow(reduce, i);
  } else if (auto fold = dyn_cast<tile::FoldOp>(op)) {
    // Register 4m + e is the sum of registers (m * nTiles + n) * 4 + e.
    int64_t nTiles = tileOf(fold.getSource()).getDimSize(1) / 8;
    for (int64_t n = 0; n < nTiles; ++n) {
      Value x = at(fold.getSource(), (i / 4 * nTiles + n) * 4 + i % 4);
      v = v ? arith::AddFOp::create(b, loc, v, x) : x;
    }
  } else if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    // Not kept: it may be wanted first inside a branch, and costs nothing.
    return arith::ConstantOp::create(
        b, loc,
        cast<TypedAttr>(cast<DenseElementsAttr>(constant.getValue())
                            .getSplatValue<Attribute>()));
  } else {
    v = elementwise(op, i);
  }
  return keep(tile, i, v);
}

Registers ThreadLowering::all(Value tile) {
  StringRef kind = kindOf(tile);
  bool constant = tile.getDefiningOp<arith::ConstantOp>() != nullptr;
  // Fragments may have empty slots, behind a last step of 8 columns.
  if (kind == "lhs" && !constant)
    return registers[tile];
  // A constant of words: pairs of zeros, or no address, that a loop starts
  // with.
  bool words = constant && (kind == "lhs" || kind == "swizzled");
  size_t n = registerCount(tileOf(tile));
  Registers regs;
  for (size_t i = 0; i < n; ++i)
    regs.push_back(words ? i32(0) : at(tile, i));
  return regs;
}

void ThreadLowering::formForRegion(Region &region) {
  region.walk([&](Operation *op) {
    for (Value v : op->getOperands())
      if (isa<RankedTensorType>(v.getType()) &&
          !region.isAncestor(v.getParentRegion()) &&
          !v.getDefiningOp<arith::ConstantOp>())
        (void)all(v);
  });
}

LogicalResult ThreadLowering::lowerConvert(tile::ConvertLayoutOp op) {
  RankedTensorType type = tileOf(op.getResult());
  StringRef have = kindOf(op.getSource()), want = kindOf(op.getResult());
  Registers regs;
  if (have == "acc" && want == "lhs") {
    // Packed pairs [m][n][h] become fragments [m][step][r], r = 2 (n % 2) + h;
    // a last step of 8 columns has r < 2 only.
    int64_t nTiles = type.getDimSize(1) / 8;
    for (int64_t m = 0; m < rowTiles(type); ++m)
      for (int64_t n = 0; n < roundUp(nTiles, 2); ++n)
        for (int64_t h = 0; h < 2; ++h)
          regs.push_back(n < nTiles
                             ? at(op.getSource(), (m * nTiles + n) * 2 + h)
                             : Value());
  } else if (have == "exchanged" && want == "columns") {
    // Those of this warp's group: column j at element place + groups * j.
    int64_t groups = 0;
    for (Operation *user : op.getResult().getUsers()) {
      auto broadcast = dyn_cast<tile::BroadcastOp>(user);
      int64_t found = broadcast && user->getBlock() == op->getBlock()
                          ? broadcast.getGroups()
                          : -1;
      groups = !groups || groups == found ? found : -1;
    }
    if (groups < 1 || warps % groups)
      return op.emitOpError("expected broadcasts to the same groups of whole "
                            "warps, beside it");
    Value place = arith::DivUIOp::create(b, loc, warp, index(warps / groups));
    int64_t block = groups * 4;
    Value address =
        add(at(op.getSource(), 0),
            toI32(add(mul(quad, index(2 * block)), mul(place, index(4)))));
    for (int64_t n = 0; n < type.getDimSize(0) / groups / 8; ++n)
      for (int64_t e = 0; e < 2; ++e)
        regs.push_back(LLVM::LoadOp::create(
            b, loc, b.getF32Type(),
            sharedPointer(add(address, i32((8 * n + e) * block))), 4));
  } else if (have == "shared" && want == "columns") {
    Type pair = VectorType::get({2}, b.getF32Type());
    for (int64_t n = 0; n < type.getDimSize(0) / 8; ++n) {
      Value address = add(at(op.getSource(), 0),
                          toI32(add(mul(quad, index(8)), index(n * 32))));
      Value v = LLVM::LoadOp::create(b, loc, pair, sharedPointer(address), 8);
      for (int64_t e = 0; e < 2; ++e)
        regs.push_back(LLVM::ExtractElementOp::create(b, loc, v, i32(e)));
    }
  } else {
    return op.emitOpError("has no lowering from ") << have << " to " << want;
  }
  registers[op.getResult()] = regs;
  return success();
}

LogicalResult ThreadLowering::lowerColumn(tile::ColumnOp op) {
  if (kindOf(op.getTile()) != "staged" || kindOf(op.getResult()) != "columns")
    return op.emitOpError("expected a tile in layout staged and a result in "
                          "layout columns");
  int64_t row = rowBytes(tileOf(op.getTile()));
  Value column = mapping.lookupOrDefault(op.getColumn());
  Value first =
      add(at(op.getTile(), 0),
          toI32(add(mul(quad, index(2 * row)), mul(column, index(4)))));
  Registers regs;
  for (int64_t n = 0; n < tileOf(op.getResult()).getDimSize(0) / 8; ++n)
    for (int64_t e = 0; e < 2; ++e)
      regs.push_back(LLVM::LoadOp::create(
          b, loc, b.getF32Type(),
          sharedPointer(add(first, i32((8 * n + e) * row))), 4));
  registers[op.getResult()] = regs;
  return success();
}

int64_t ThreadLowering::registerCount(RankedTensorType type) {
  StringRef kind = tile::layoutOf(type).getKind();
  if (kind == "shared" || kind == "swizzled" || kind == "exchanged" ||
      kind == "staged")
    return 1;
  if (kind == "rows")
    return type.getDimSize(0) / warps / 8;
  if (kind == "columns")
    return type.getDimSize(0) / 4;
  int64_t columns = type.getDimSize(1);
  if (kind == "lhs")
    return rowTiles(type) * ceilDiv(columns, 16) * 4;
  bool packed = type.getElementType().isBF16() || type.getElementType().isF16();
  return rowTiles(type) * columns / 8 * (packed ? 2 : 4);
}

SmallVector<Value> ThreadLowering::flatten(ValueRange values) {
  SmallVector<Value> flat;
  for (Value v : values) {
    if (isa<RankedTensorType>(v.getType()))
      llvm::append_range(flat, all(v));
    else
      flat.push_back(mapping.lookupOrDefault(v));
  }
  return flat;
}

void ThreadLowering::bind(ValueRange to, ValueRange flat) {
  size_t at = 0;
  for (Value v : to) {
    if (auto type = dyn_cast<RankedTensorType>(v.getType())) {
      auto part = flat.slice(at, registerCount(type));
      registers[v] = Registers(part.begin(), part.end());
      at += part.size();
    } else {
      mapping.map(v, flat[at++]);
    }
  }
}
