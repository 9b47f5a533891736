//===- MonarchDialect.cpp - attributes of the monarch dialect -------------===//

#include "monarch/Dialect/MonarchDialect.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace monarch;

llvm::hash_code monarch::hash_value(const Geometry &g) {
  return llvm::hash_combine(
      g.queryFrames, g.keyFrames, g.height, g.width,
      llvm::hash_combine_range(g.tile.begin(), g.tile.end()),
      llvm::hash_combine_range(g.blocks.isRow.begin(), g.blocks.isRow.end()),
      g.sequenceTokens, g.padBefore);
}

#include "monarch/Dialect/MonarchDialect.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "monarch/Dialect/MonarchAttrs.cpp.inc"

namespace {
/// Geometries are printed once, as #geometry.
struct Aliases : OpAsmDialectInterface {
  using OpAsmDialectInterface::OpAsmDialectInterface;
  AliasResult getAlias(Attribute attr, raw_ostream &os) const override {
    if (!isa<GeometryAttr>(attr))
      return AliasResult::NoAlias;
    os << "geometry";
    return AliasResult::FinalAlias;
  }
};
} // namespace

void MonarchDialect::initialize() {
  addInterfaces<Aliases>();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "monarch/Dialect/MonarchAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "monarch/Dialect/MonarchOps.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// #monarch.geometry
//===----------------------------------------------------------------------===//

/// `[` 3 integers `]`
static ParseResult parseExtents(AsmParser &parser, Extents &extents) {
  SmallVector<int64_t> values;
  auto loc = parser.getCurrentLocation();
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&] {
        return parser.parseInteger(values.emplace_back());
      }))
    return failure();
  if (values.size() != 3)
    return parser.emitError(loc)
           << "G1: expected 3 extents (frames, height, width), got "
           << values.size();
  std::copy(values.begin(), values.end(), extents.begin());
  return success();
}

/// `(` axes `,` axes `)`
static ParseResult parseBlocking(AsmParser &parser, Blocking &blocks) {
  StringRef rows, columns;
  auto loc = parser.getCurrentLocation();
  if (parser.parseLParen() || parser.parseKeyword(&rows) ||
      parser.parseComma() || parser.parseKeyword(&columns) ||
      parser.parseRParen())
    return failure();
  std::optional<Blocking> parsed = Blocking::parse(rows.str(), columns.str());
  if (!parsed)
    return parser.emitError(loc)
           << "G2: expected blocks (fh, w), (w, fh), (f, hw), (hw, f), (fw, h) "
              "or (h, fw), got ("
           << rows << ", " << columns << ")";
  blocks = *parsed;
  return success();
}

Attribute GeometryAttr::parse(AsmParser &parser, Type) {
  Geometry g;
  Extents grid = {0, 0, 0};
  int64_t queryFrames = 0;
  llvm::StringSet<> seen;
  auto loc = parser.getCurrentLocation();
  auto parseField = [&]() -> ParseResult {
    StringRef name;
    auto nameLoc = parser.getCurrentLocation();
    if (parser.parseKeyword(&name) || parser.parseEqual())
      return failure();
    if (!seen.insert(name).second)
      return parser.emitError(nameLoc) << "field '" << name << "' given twice";
    if (name == "grid")
      return parseExtents(parser, grid);
    if (name == "tile")
      return parseExtents(parser, g.tile);
    if (name == "blocks")
      return parseBlocking(parser, g.blocks);
    if (name == "query_frames")
      return parser.parseInteger(queryFrames);
    if (name == "sequence")
      return parser.parseInteger(g.sequenceTokens);
    if (name == "pad_before")
      return parser.parseInteger(g.padBefore);
    return parser.emitError(nameLoc)
           << "expected grid, query_frames, tile, blocks, sequence or "
              "pad_before, got '"
           << name << "'";
  };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::LessGreater,
                                     parseField))
    return {};
  for (StringRef required : {"grid", "tile", "blocks"})
    if (!seen.contains(required)) {
      parser.emitError(loc) << "geometry lacks '" << required << "'";
      return {};
    }
  g.keyFrames = grid[0];
  g.height = grid[1];
  g.width = grid[2];
  g.queryFrames = seen.contains("query_frames") ? queryFrames : grid[0];
  return parser.getChecked<GeometryAttr>(loc, parser.getContext(), g);
}

void GeometryAttr::print(AsmPrinter &printer) const {
  const Geometry &g = getValue();
  printer << "<grid = [" << g.keyFrames << ", " << g.height << ", " << g.width
          << "]";
  if (g.queryFrames != g.keyFrames)
    printer << ", query_frames = " << g.queryFrames;
  printer << ", tile = [" << g.tile[0] << ", " << g.tile[1] << ", " << g.tile[2]
          << "], blocks = (" << g.blocks.rows() << ", " << g.blocks.columns()
          << ")";
  if (g.sequenceTokens)
    printer << ", sequence = " << g.sequenceTokens;
  if (g.padBefore)
    printer << ", pad_before = " << g.padBefore;
  printer << ">";
}

LogicalResult
GeometryAttr::verify(llvm::function_ref<InFlightDiagnostic()> emitError,
                     Geometry value) {
  std::string error = value.verify();
  return error.empty() ? success() : LogicalResult(emitError() << error);
}

//===----------------------------------------------------------------------===//
// #monarch.target, #monarch.schedule
//===----------------------------------------------------------------------===//

static LogicalResult
verifyKind(llvm::function_ref<InFlightDiagnostic()> emitError, StringRef kind) {
  if (kind == "host" || kind == "mma_sync" || kind == "wgmma")
    return success();
  return emitError() << "expected kind host, mma_sync or wgmma, got '" << kind
                     << "'";
}

LogicalResult
TargetAttr::verify(llvm::function_ref<InFlightDiagnostic()> emitError,
                   StringRef chip, StringRef kind, int64_t ptx,
                   int64_t sharedMemory, int64_t multiprocessors) {
  if (ptx < 0 || sharedMemory < 0 || multiprocessors < 1)
    return emitError() << "expected capabilities that are not negative and at "
                          "least one multiprocessor";
  return verifyKind(emitError, kind);
}

LogicalResult
ScheduleAttr::verify(llvm::function_ref<InFlightDiagnostic()> emitError,
                     StringRef kind, int64_t rows, int64_t columns,
                     int64_t warps, int64_t stages, int64_t chunk, Type element,
                     int64_t cluster, int64_t ring, int64_t slots, int64_t rest,
                     int64_t clusters, int64_t producer) {
  if (failed(verifyKind(emitError, kind)))
    return failure();
  auto check = [&](StringRef name, int64_t value, int64_t step,
                   int64_t most) -> LogicalResult {
    if (value >= step && value <= most && value % step == 0)
      return success();
    return emitError() << "expected " << name << " to be a multiple of " << step
                       << " up to " << most << ", got " << value;
  };
  // A host tile is a buffer of any size; a GPU's is made of fragments. wgmma
  // takes warpgroups, 64 rows each; a fourth would leave them 112 registers.
  // In a cluster warpgroups of 64 rows take turns, in a ring teams of them are
  // side by side, and four are enough where each has a pair of L's to itself.
  bool gpu = kind != "host", wgmma = kind == "wgmma";
  bool inCluster = wgmma && cluster > 1, inRing = wgmma && ring > 0;
  // Roles of a cluster deal registers, which whole warpgroups do (setmaxnreg).
  if (failed(check("warps", warps, wgmma || cluster > 1 ? 4 : 1,
                   inRing  ? 16
                   : wgmma ? 12
                   : gpu   ? 32
                           : 1)) ||
      failed(check("stages", stages, 1, 16)) ||
      failed(check("rows", rows,
                   inCluster || inRing ? 64
                   : gpu               ? 16 * warps
                                       : 1,
                   inCluster ? 64
                   : wgmma   ? 16 * warps
                   : gpu     ? 1024
                             : int64_t(1) << 24)) ||
      failed(check("columns", columns, gpu ? 8 : 1,
                   gpu ? 256 : int64_t(1) << 24)) ||
      failed(check("chunk", chunk,
                   wgmma ? 64
                   : gpu ? 32
                         : 1,
                   int64_t(1) << 24)) ||
      failed(check("cluster", cluster, 1, gpu ? 16 : 1)))
    return failure();
  if (inRing && 16 * warps % rows)
    return emitError() << "expected teams of " << rows
                       << " rows, 16 a warp, got " << warps << " warps";
  if (ring < 0 || ring > (wgmma && cluster == 1 ? 1024 : 0))
    return emitError() << "expected ring 0, or up to 1024 with kind wgmma and "
                          "no cluster, got "
                       << ring;
  if (slots < 0 || !ring != !slots || slots > 65536)
    return emitError() << "expected slots up to 65536 with a ring, and 0 "
                          "without, got "
                       << slots;
  if (rest && (rest != 16 || !inRing || 16 * warps != rows))
    return emitError() << "expected rest 0, or 16 in a ring beside one team of "
                          "all warps, got "
                       << rest;
  if (rest && stages % restTeams)
    return emitError() << "expected stages in multiples of " << restTeams
                       << " with a rest, got " << stages;
  if (cluster > 1 ? clusters < 1 || clusters > 128 : clusters != 0)
    return emitError() << "expected 1 to 128 clusters of a cluster's programs, "
                          "and 0 without a cluster, got "
                       << clusters;
  if (inCluster && stages % (16 * warps / rows))
    return emitError() << "expected stages in multiples of "
                       << 16 * warps / rows << " teams of " << rows
                       << " rows, got " << stages;
  if (producer && (producer != 4 || !inCluster))
    return emitError() << "expected producer 0, or 4 with kind wgmma in a "
                          "cluster, got "
                       << producer;
  if (!llvm::isPowerOf2_64(cluster))
    return emitError() << "expected cluster to be a power of 2, got "
                       << cluster;
  if (gpu ? element.isBF16() || element.isF16() : element.isF32())
    return success();
  return emitError() << "expected element " << (gpu ? "bf16 or f16" : "f32")
                     << " for kind " << kind << ", got " << element;
}
