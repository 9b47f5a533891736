//===- TileDialect.cpp - the monarch_tile dialect -------------------------===//

#include "monarch/Dialect/TileDialect.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace monarch::tile;

#include "monarch/Dialect/TileDialect.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "monarch/Dialect/TileAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "monarch/Dialect/TileTypes.cpp.inc"
#define GET_OP_CLASSES
#include "monarch/Dialect/TileOps.cpp.inc"

namespace {
/// Layouts are printed as #acc, #lhs, ...
struct Aliases : OpAsmDialectInterface {
  using OpAsmDialectInterface::OpAsmDialectInterface;
  AliasResult getAlias(Attribute attr, raw_ostream &os) const override {
    auto layout = dyn_cast<LayoutAttr>(attr);
    if (!layout)
      return AliasResult::NoAlias;
    os << layout.getKind();
    return AliasResult::FinalAlias;
  }
};
} // namespace

void TileDialect::initialize() {
  addInterfaces<Aliases>();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "monarch/Dialect/TileAttrs.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "monarch/Dialect/TileTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "monarch/Dialect/TileOps.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// #monarch_tile.layout
//===----------------------------------------------------------------------===//

Attribute LayoutAttr::parse(AsmParser &parser, Type) {
  StringRef kind;
  int64_t warps = 0, rows = 0;
  auto loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseKeyword(&kind) || parser.parseComma() ||
      parser.parseKeyword("warps") || parser.parseEqual() ||
      parser.parseInteger(warps))
    return {};
  if (succeeded(parser.parseOptionalComma()) &&
      (parser.parseKeyword("rows") || parser.parseEqual() ||
       parser.parseInteger(rows)))
    return {};
  if (parser.parseGreater())
    return {};
  return parser.getChecked<LayoutAttr>(loc, parser.getContext(), kind, warps,
                                       rows);
}

void LayoutAttr::print(AsmPrinter &printer) const {
  printer << "<" << getKind() << ", warps = " << getWarps();
  if (getRows())
    printer << ", rows = " << getRows();
  printer << ">";
}

LogicalResult
LayoutAttr::verify(llvm::function_ref<InFlightDiagnostic()> emitError,
                   StringRef kind, int64_t warps, int64_t rows) {
  if (!llvm::is_contained({"shared", "swizzled", "staged", "exchanged", "lhs",
                           "acc", "rows", "columns"},
                          kind))
    return emitError() << "expected layout shared, swizzled, staged, "
                          "exchanged, lhs, acc, rows or columns, got '"
                       << kind << "'";
  if (warps < 1 || warps > 32)
    return emitError() << "expected warps in 1..32, got " << warps;
  if (rows && ((rows != 1 && rows != 8) || kind != "swizzled"))
    return emitError() << "expected 1 or 8 rows, of a swizzled tile, got "
                       << rows;
  return success();
}

//===----------------------------------------------------------------------===//
// !monarch_tile.exchange
//===----------------------------------------------------------------------===//

LogicalResult
ExchangeType::verify(llvm::function_ref<InFlightDiagnostic()> emitError,
                     int64_t members, int64_t stages,
                     ArrayRef<RankedTensorType> parts) {
  if (members < 2 || members > 16 || !llvm::isPowerOf2_64(members))
    return emitError() << "expected 2, 4, 8 or 16 members, got " << members;
  if (stages < 1 || stages > 16)
    return emitError() << "expected stages in 1..16, got " << stages;
  if (parts.empty())
    return emitError() << "expected at least one part";
  for (RankedTensorType part : parts) {
    // A warp's 16 rows go to whole members, a piece to each is at least 16
    // bytes.
    bool rows = part.getRank() >= 1 && part.getRank() <= 2 &&
                part.hasStaticShape() && part.getDimSize(0) > 0 &&
                part.getDimSize(0) == parts[0].getDimSize(0) &&
                part.getDimSize(0) % (4 * members) == 0 &&
                16 % (part.getDimSize(0) / members) == 0;
    bool cells =
        rows && (part.getRank() == 1 ? part.getElementType().isF32()
                                     : (part.getElementType().isBF16() ||
                                        part.getElementType().isF16()) &&
                                           part.getDimSize(1) > 0 &&
                                           part.getDimSize(1) % 64 == 0);
    if (!cells)
      return emitError() << "expected parts of equally many rows, 4, 8 or 16 "
                            "for each of "
                         << members
                         << " members, of one f32 or a multiple of 64 bf16 "
                            "or f16, got "
                         << part;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Addresses: load, store, in_bounds, copy_async
//===----------------------------------------------------------------------===//

/// Quotients and remainders in `map` are by positive constants.
static LogicalResult verifyDivisors(Operation *op, AffineMap map) {
  bool fine = true;
  map.walkExprs([&](AffineExpr e) {
    if (e.getKind() != AffineExprKind::Mod &&
        e.getKind() != AffineExprKind::FloorDiv &&
        e.getKind() != AffineExprKind::CeilDiv)
      return;
    auto by =
        dyn_cast<AffineConstantExpr>(cast<AffineBinaryOpExpr>(e).getRHS());
    fine &= by && by.getValue() > 0;
  });
  if (fine)
    return success();
  return op->emitOpError()
         << "expected quotients and remainders by positive constants, got "
         << AffineMapAttr::get(map);
}

/// Checks a row address: `rowIndices` is how many of the memory's indices the
/// map must give.
static LogicalResult verifyAddress(Operation *op, MemRefType memory,
                                   AffineMap map, size_t operands,
                                   ArrayRef<bool> inBounds,
                                   int64_t rowIndices) {
  if (map.getNumSymbols() || map.getNumDims() != operands + 1)
    return op->emitOpError()
           << "expected map with " << operands + 1
           << " dimensions (the indices, then the row) and "
              "no symbols, got "
           << map.getNumDims() << " and " << map.getNumSymbols();
  if (map.getNumResults() != rowIndices)
    return op->emitOpError()
           << "expected map with " << rowIndices << " results for " << memory
           << ", got " << map.getNumResults();
  if (static_cast<int64_t>(inBounds.size()) != rowIndices)
    return op->emitOpError() << "expected in_bounds with " << rowIndices
                             << " entries, got " << inBounds.size();
  return verifyDivisors(op, map);
}

template <typename Op>
static LogicalResult verifyMove(Op op, MemRefType memory, RankedTensorType tile,
                                int64_t offset) {
  if (tile.getRank() < 1 || tile.getRank() > 2 || !tile.hasStaticShape())
    return op.emitOpError()
           << "expected a static tile of rank 1 or 2, got " << tile;
  int64_t rank = memory.getRank();
  int64_t period = op.getPeriod();
  if (period < 0 || (period && !op.getLimit()))
    return op.emitOpError() << "expected a period of at least 0, and a limit "
                               "with it, got "
                            << period;
  if (tile.getRank() == 2) {
    int64_t columns = memory.getShape().back();
    if (offset + tile.getDimSize(1) > columns)
      return op.emitOpError()
             << "expected a tile of at most " << columns - offset
             << " columns, got " << tile.getDimSize(1);
  }
  return verifyAddress(op, memory, op.getMap(), op.getIndices().size(),
                       op.getInBounds(), tile.getRank() == 2 ? rank - 1 : rank);
}

LogicalResult LoadOp::verify() {
  if (getInto() && getInto().getType() != getType())
    return emitOpError() << "expected into " << getType() << ", got "
                         << getInto().getType();
  return verifyMove(*this, cast<MemRefType>(getSource().getType()),
                    cast<RankedTensorType>(getResult().getType()), 0);
}
LogicalResult StoreOp::verify() {
  return verifyMove(*this, cast<MemRefType>(getDest().getType()),
                    cast<RankedTensorType>(getValue().getType()),
                    getColumnOffset());
}
LogicalResult InBoundsOp::verify() {
  auto memory = cast<MemRefType>(getSource().getType());
  if (cast<RankedTensorType>(getResult().getType()).getRank() != 1)
    return emitOpError() << "expected a result of rank 1, got "
                         << getResult().getType();
  return verifyAddress(*this, memory, getMap(), getIndices().size(),
                       getInBounds(), getMap().getNumResults());
}

void LoadOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  effects.emplace_back(MemoryEffects::Read::get(), &getSourceMutable());
  if (getInto()) // the place of a tile
    effects.emplace_back(MemoryEffects::Write::get());
}
void StoreOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  effects.emplace_back(MemoryEffects::Write::get(), &getDestMutable());
}

//===----------------------------------------------------------------------===//
// Products and reductions
//===----------------------------------------------------------------------===//

static SmallVector<int64_t> transposedIf(bool transpose, Value tile) {
  auto shape = cast<RankedTensorType>(tile.getType()).getShape();
  SmallVector<int64_t> s(shape);
  if (transpose && s.size() == 2)
    std::swap(s[0], s[1]);
  return s;
}

LogicalResult DotOp::verify() {
  SmallVector<int64_t> a = transposedIf(getTransposeLhs(), getLhs());
  SmallVector<int64_t> b = transposedIf(getTransposeRhs(), getRhs());
  auto c = cast<RankedTensorType>(getResult().getType());
  if (a.size() != 2 || b.size() != 2 || c.getRank() != 2)
    return emitOpError() << "expected tiles of rank 2";
  int64_t groups = getGroups();
  int64_t &perGroup = b[getTransposeRhs() ? 1 : 0]; // rows of rhs
  if (groups < 1 || a[0] % groups || perGroup % groups ||
      (groups > 1 && getTransposeLhs()))
    return emitOpError() << "expected groups to divide the rows of lhs and "
                            "rhs, got "
                         << groups;
  perGroup /= groups;
  if (a[1] != b[0] && !(getTransposeRhs() && a[1] < b[0]))
    return emitOpError() << "expected rhs with " << a[1]
                         << " rows to contract with lhs, got " << b[0];
  if (c.getDimSize(0) != a[0] ||
      c.getDimSize(1) + static_cast<int64_t>(getRhsOffset()) > b[1])
    return emitOpError() << "expected a result of " << a[0] << " x at most "
                         << b[1] - static_cast<int64_t>(getRhsOffset())
                         << ", got " << c;
  if (!c.getElementType().isF32())
    return emitOpError() << "expected an f32 result, got " << c;
  if (getAcc() && getAcc().getType() != c)
    return emitOpError() << "expected acc of type " << c << ", got "
                         << getAcc().getType();
  return success();
}

LogicalResult ReduceOp::verify() {
  auto source = cast<RankedTensorType>(getSource().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  if (getKind() != "max" && getKind() != "sum")
    return emitOpError() << "expected kind max or sum, got '" << getKind()
                         << "'";
  if (getAxis() > 1 || source.getRank() != 2 || result.getRank() != 1 ||
      result.getDimSize(0) != source.getDimSize(1 - getAxis()))
    return emitOpError() << "expected one value for every "
                         << (getAxis() == 1 ? "row" : "column") << " of "
                         << source << ", got " << result;
  return success();
}

/// An f32 tile of columns that come by 8.
static bool isTileOfEights(RankedTensorType tile) {
  return tile.getRank() == 2 && tile.hasStaticShape() &&
         tile.getElementType().isF32() && tile.getDimSize(1) >= 8 &&
         tile.getDimSize(1) % 8 == 0;
}

LogicalResult FoldOp::verify() {
  auto source = cast<RankedTensorType>(getSource().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  if (!isTileOfEights(source) || !isTileOfEights(result) ||
      result.getDimSize(1) != 8 || source.getDimSize(0) != result.getDimSize(0))
    return emitOpError() << "expected an f32 tile of a multiple of 8 columns "
                            "and 8 columns of as many rows as the result, got "
                         << source << " and " << result;
  return success();
}

LogicalResult ReduceTeamsOp::verify() {
  if (getKind() != "max" && getKind() != "sum")
    return emitOpError() << "expected kind max or sum, got '" << getKind()
                         << "'";
  auto role = (*this)->getParentOfType<RoleOp>();
  if (!role || role.getKind() != "consumer" || role.getTeams() < 2)
    return emitOpError("expected a consumer's role of two teams or more around "
                       "it");
  if (!cast<RankedTensorType>(getValue().getType()).getElementType().isF32())
    return emitOpError() << "expected a tile of f32, got "
                         << getValue().getType();
  return success();
}

LogicalResult RaiseMaximumOp::verify() {
  auto maximum = cast<RankedTensorType>(getMaximum().getType());
  if (maximum.getRank() != 1 || !maximum.getElementType().isF32() ||
      !maximum.hasStaticShape() || maximum.getDimSize(0) < 1)
    return emitOpError() << "expected an f32 maximum for every row, got "
                         << maximum;
  for (Type type : llvm::drop_begin(getOperandTypes())) {
    auto tile = cast<RankedTensorType>(type);
    if (!isTileOfEights(tile) || tile.getDimSize(0) != maximum.getDimSize(0))
      return emitOpError() << "expected f32 scores and tiles of "
                           << maximum.getDimSize(0)
                           << " rows and a multiple of 8 columns, got " << tile;
  }
  double slack = getSlack().convertToDouble();
  if (!(slack >= 0 && slack <= 64))
    return emitOpError() << "expected a slack from 0 to 64, got " << slack;
  return success();
}

LogicalResult BroadcastOp::verify() {
  auto source = cast<RankedTensorType>(getSource().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  int64_t groups = getGroups();
  if (getAxis() > 1 || source.getRank() != 1 || result.getRank() != 2 ||
      groups < 1 || (groups > 1 && getAxis() == 1) ||
      result.getDimSize(0) % groups ||
      source.getDimSize(0) != result.getDimSize(1 - getAxis()) * groups)
    return emitOpError() << "expected one value for every "
                         << (getAxis() == 1 ? "row" : "column") << " of "
                         << result << ", got " << source;
  return success();
}

LogicalResult ColumnOp::verify() {
  auto tile = cast<RankedTensorType>(getTile().getType());
  auto type = cast<RankedTensorType>(getResult().getType());
  if (tile.getRank() != 2 || type.getRank() != 1 ||
      !tile.getElementType().isF32() || !type.getElementType().isF32() ||
      tile.getDimSize(0) != type.getDimSize(0))
    return emitOpError() << "expected an f32 tile and its rows as the result, "
                            "got "
                         << tile << " and " << type;
  return success();
}

LogicalResult ConvertLayoutOp::verify() {
  auto source = cast<RankedTensorType>(getSource().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  if (source.getShape() != result.getShape() ||
      source.getElementType() != result.getElementType())
    return emitOpError() << "expected the same tile on both sides, got "
                         << source << " and " << result;
  return success();
}

//===----------------------------------------------------------------------===//
// Roles and bulk copies
//===----------------------------------------------------------------------===//

LogicalResult RoleOp::verify() {
  if (getKind() != "producer" && getKind() != "consumer")
    return emitOpError() << "expected kind producer or consumer, got '"
                         << getKind() << "'";
  int64_t first = getFirst(), warps = getWarps();
  int64_t teams = getTeams();
  if (first < 0 || warps < 1 || teams < 1 || teams > 32 || first > 32 ||
      warps > (32 - first) / teams)
    return emitOpError() << "expected warps in 0..31, got "
                         << (teams == 1 ? "" : Twine(teams) + " x ") << warps
                         << " from " << first;
  auto outer = (*this)->getParentOfType<RoleOp>();
  if (outer && first + teams * warps > static_cast<int64_t>(outer.getWarps()))
    return emitOpError() << "expected warps among the " << outer.getWarps()
                         << " of the role around it, got " << teams << " x "
                         << warps << " from " << first;
  for (Operation *op = (*this)->getPrevNode(); op; op = op->getPrevNode())
    if (auto role = dyn_cast<RoleOp>(op)) {
      int64_t from = role.getFirst();
      int64_t end = from + role.getTeams() * role.getWarps();
      if (first < end && from < first + teams * warps)
        return emitOpError() << "expected warps of its own, got " << first
                             << ".." << first + teams * warps - 1
                             << " beside a role of " << from << ".." << end - 1;
    }
  int64_t lanes = getLanes();
  if (lanes < 1 || lanes > 32 ||
      (lanes > 1 && (getKind() != "producer" || warps != 1)))
    return emitOpError() << "expected lanes in 1..32, and more than one of a "
                            "producer of one warp only, got "
                         << lanes;
  Block &body = getBody().front();
  if (body.getNumArguments() != (teams > 1 ? 1 : 0) ||
      (teams > 1 && !body.getArgument(0).getType().isIndex()))
    return emitOpError("expected a block with one index argument for teams, "
                       "and none without");
  int64_t registers = getRegisters(); // PTX ISA, setmaxnreg
  if (registers && (registers < 24 || registers > 256 || registers % 8))
    return emitOpError()
           << "expected registers 0 or a multiple of 8 in 24..256, got "
           << registers;
  return success();
}

static LogicalResult verifyEvict(Operation *op, StringRef evict) {
  if (llvm::is_contained({"normal", "first", "last"}, evict))
    return success();
  return op->emitOpError() << "expected evict normal, first or last, got '"
                           << evict << "'";
}

LogicalResult CopyBulkOp::verify() {
  if (failed(verifyEvict(*this, getEvict())))
    return failure();
  auto memory = cast<MemRefType>(getSource().getType());
  RankedTensorType tile = cast<RingType>(getRing().getType()).getTile();
  if (LayoutAttr layout = layoutOf(tile); layout && layout.getRows() == 1)
    return emitOpError() << "expected no rows on their way out, got " << tile;
  AffineMap map = getMap();
  // Tiles of rank 1 have no channels.
  int64_t results = memory.getRank() + 1 - tile.getRank();
  if (map.getNumSymbols() || map.getNumDims() != getIndices().size() + 1 ||
      map.getNumResults() != results)
    return emitOpError() << "expected map with " << getIndices().size() + 1
                         << " dimensions and " << results << " results, got "
                         << map.getNumDims() << " and " << map.getNumResults();
  // CUDA driver API, cuTensorMapEncodeTiled: at most 5 dimensions of at most
  // 256 elements a box.
  int64_t rank = memory.getRank(), extents = getBox().size();
  if ((extents != rank && extents + 1 != rank) || extents > 5)
    return emitOpError() << "expected a box of " << rank - 1 << " or " << rank
                         << " extents, at most 5, got " << extents;
  for (int64_t extent : getBox())
    if (extent < 1 || extent > 256)
      return emitOpError() << "expected box extents in 1..256, got " << extent;
  return verifyDivisors(*this, map);
}

LogicalResult SettleOp::verify() {
  auto memory = cast<MemRefType>(getMemory().getType());
  auto [strides, offset] = memory.getStridesAndOffset();
  int64_t rank = memory.getRank(), chunk = 8 * memory.getShape().back();
  bool fine =
      rank == 5 && !offset &&
      llvm::none_of(memory.getShape().drop_front(), ShapedType::isDynamic) &&
      memory.getDimSize(2) % 16 == 0 && memory.getDimSize(3) == 8 &&
      chunk * memory.getElementTypeBitWidth() / 8 == 4096;
  int64_t expected = 1;
  for (int64_t x = rank - 1; fine && x > 0; --x) {
    fine &= strides[x] == expected;
    expected *= memory.getDimSize(x);
  }
  if (!fine)
    return emitOpError()
           << "expected memory of [.., blocks, pairs, 8, channels] "
              "in chunks of 4096 bytes and whole groups of 16 "
              "pairs, got "
           << memory;
  int64_t programs = getPrograms(), writers = getWriters();
  if (writers < 1 || writers >= programs || programs > 1024 ||
      !llvm::is_contained({1, 2, 4}, getPairs()) ||
      static_cast<int64_t>(getPairs()) * (programs - writers) >
          memory.getDimSize(2))
    return emitOpError() << "expected programs that write and others that read "
                            "1, 2 or 4 of the pairs each, got "
                         << programs << " of which " << writers
                         << " write and others read " << getPairs();
  int64_t words = scratchWords(programs, memory);
  auto scratch = cast<MemRefType>(getScratch().getType());
  if (scratch.getRank() != 1 || scratch.getDimSize(0) < words ||
      !scratch.getLayout().isIdentity())
    return emitOpError() << "expected scratch memory of " << words
                         << " words, got " << scratch;
  return success();
}

/// A count, a bit a program, and a bit for every 16 chunks.
int64_t SettleOp::scratchWords(int64_t programs, MemRefType memory) {
  int64_t chunks = memory.getDimSize(1) * memory.getDimSize(2);
  return 1 + (programs + 31) / 32 + (chunks / 16 + 31) / 32;
}

LogicalResult StageOp::verify() {
  auto value = cast<RankedTensorType>(getValue().getType());
  RankedTensorType tile = cast<RingType>(getRing().getType()).getTile();
  int64_t offset = getColumnOffset();
  if (value.getRank() != 2 || tile.getRank() != 2 ||
      value.getDimSize(0) != tile.getDimSize(0) || offset < 0 || offset % 32 ||
      value.getDimSize(1) % 32 ||
      offset + value.getDimSize(1) > tile.getDimSize(1))
    return emitOpError() << "expected columns of " << tile
                         << ", in multiples of 32, got " << value << " at "
                         << offset;
  // The swizzle is an XOR of what a row's number and a column's give.
  bool inLines =
      tile.getDimSize(1) % 64 == 0 && llvm::isPowerOf2_64(tile.getDimSize(1));
  if (LayoutAttr layout = layoutOf(tile);
      layout &&
      (layout.getKind() == "swizzled" ? layout.getRows() != 1 || !inLines
                                      : layout.getKind() != "staged"))
    return emitOpError() << "expected layout staged, or swizzled with 1 row of "
                            "64, 128, 256 ... columns, got "
                         << tile;
  return success();
}

LogicalResult WaitOp::verify() {
  auto role = (*this)->getParentOfType<RoleOp>();
  int64_t parts = getParts(), groups = 1;
  if (role && role.getKind() == "consumer")
    groups = std::max<int64_t>(1, role.getWarpgroups());
  if (parts != 1 && parts != groups)
    return emitOpError() << "expected parts 1, or as many as a consumer has "
                            "warpgroups, here "
                         << groups << ", got " << parts;
  return success();
}

template <typename Op> static LogicalResult verifyParts(Op op) {
  auto role = op->template getParentOfType<RoleOp>();
  int64_t parts = op.getParts(), groups = 1;
  if (role && (role.getKind() == "producer" || role.getTeams() > 1))
    groups = role.getTeams();
  else if (role)
    groups = std::max<int64_t>(1, role.getWarpgroups());
  if (parts != 1 && (parts < 1 || parts != groups))
    return op.emitOpError()
           << "expected parts 1 or " << groups
           << ", as the role has teams or warpgroups, got " << parts;
  int64_t stages = cast<SignalType>(op.getSignal().getType()).getStages();
  if (stages % parts)
    return op.emitOpError() << "expected stages in multiples of " << parts
                            << " parts, got " << stages;
  return success();
}
LogicalResult RaiseOp::verify() { return verifyParts(*this); }
LogicalResult AwaitSignalOp::verify() { return verifyParts(*this); }

LogicalResult CopyOutOp::verify() {
  if (failed(verifyEvict(*this, getEvict())))
    return failure();
  auto memory = cast<MemRefType>(getDest().getType());
  RankedTensorType tile = cast<RingType>(getRing().getType()).getTile();
  int64_t rank = memory.getRank();
  auto [strides, offset] = memory.getStridesAndOffset();
  bool settled = getDest().getDefiningOp<SettleOp>() != nullptr;
  if (rank < 3 || tile.getRank() != 2 || tile.getDimSize(0) % 16 ||
      memory.getDimSize(rank - 1) != tile.getDimSize(1) ||
      memory.getElementType() != tile.getElementType() ||
      strides[rank - 1] != 1 ||
      (!settled && (memory.getDimSize(rank - 2) != 8 ||
                    strides[rank - 2] != tile.getDimSize(1))))
    return emitOpError() << "expected runs of 8 rows of " << tile
                         << " that are one piece of memory, got " << memory;
  // A tensor map takes its swizzle off, where others copy what is there.
  if (LayoutAttr layout = layoutOf(tile);
      layout &&
      (settled ? layout.getKind() != "swizzled" || layout.getRows() != 1
               : layout.getKind() != "staged"))
    return emitOpError() << "expected layout "
                         << (settled ? "swizzled with 1 row" : "staged")
                         << " for this memory, got " << tile;
  return verifyAddress(*this, memory, getMap(), getIndices().size(),
                       getInBounds(), rank - 1);
}

//===----------------------------------------------------------------------===//
// Exchanges
//===----------------------------------------------------------------------===//

LogicalResult SendOp::verify() {
  auto value = cast<RankedTensorType>(getValue().getType());
  auto exchange = cast<ExchangeType>(getExchange().getType());
  int64_t part = getPart(), offset = getColumnOffset();
  if (part < 0 || part >= static_cast<int64_t>(exchange.getParts().size()))
    return emitOpError() << "expected part in 0.."
                         << exchange.getParts().size() - 1 << ", got " << part;
  RankedTensorType whole = exchange.getParts()[part];
  if (!value.hasStaticShape() || !value.getElementType().isF32() ||
      value.getRank() != whole.getRank() ||
      value.getDimSize(0) != whole.getDimSize(0) || offset < 0 || offset % 32 ||
      (value.getRank() == 2 &&
       (value.getDimSize(1) % 32 ||
        offset + value.getDimSize(1) > whole.getDimSize(1))))
    return emitOpError() << "expected f32 columns of " << whole
                         << ", in multiples of 32, got " << value << " at "
                         << offset;
  return success();
}

LogicalResult ReceiveOp::verify() {
  auto exchange = cast<ExchangeType>(getExchange().getType());
  bool same = getNumResults() == exchange.getParts().size();
  for (size_t i = 0; same && i < getNumResults(); ++i) {
    auto type = cast<RankedTensorType>(getResult(i).getType());
    same = type.getShape() == exchange.getParts()[i].getShape() &&
           type.getElementType() == exchange.getParts()[i].getElementType();
  }
  if (!same)
    return emitOpError() << "expected the parts of " << exchange << ", got "
                         << getResultTypes();
  return success();
}
