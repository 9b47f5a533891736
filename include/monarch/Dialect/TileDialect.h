//===- TileDialect.h - the monarch_tile dialect ----------------*- C++ -*-===//
#ifndef MONARCH_DIALECT_TILEDIALECT_H
#define MONARCH_DIALECT_TILEDIALECT_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "monarch/Dialect/TileDialect.h.inc"
#define GET_ATTRDEF_CLASSES
#include "monarch/Dialect/TileAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "monarch/Dialect/TileTypes.h.inc"
#define GET_OP_CLASSES
#include "monarch/Dialect/TileOps.h.inc"

namespace monarch::tile {
/// The layout of a tile, null when it has none yet.
inline LayoutAttr layoutOf(mlir::Type type) {
  auto tensor = mlir::dyn_cast<mlir::RankedTensorType>(type);
  return tensor ? mlir::dyn_cast_if_present<LayoutAttr>(tensor.getEncoding())
                : LayoutAttr();
}

/// Name of the attribute of a kernel function: a `#monarch.schedule`.
inline constexpr llvm::StringLiteral scheduleAttrName = "monarch.schedule";
/// On such a function: the schedule of the step that runs beside the first.
inline constexpr llvm::StringLiteral besideAttrName = "monarch.beside";
} // namespace monarch::tile

#endif // MONARCH_DIALECT_TILEDIALECT_H
