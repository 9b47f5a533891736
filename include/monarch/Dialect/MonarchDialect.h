//===- MonarchDialect.h - the monarch dialect ------------------*- C++ -*-===//
#ifndef MONARCH_DIALECT_MONARCHDIALECT_H
#define MONARCH_DIALECT_MONARCHDIALECT_H

#include "monarch/Geometry/Geometry.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace monarch {
llvm::hash_code hash_value(const Geometry &g);
} // namespace monarch

#include "monarch/Dialect/MonarchDialect.h.inc"
#define GET_ATTRDEF_CLASSES
#include "monarch/Dialect/MonarchAttrs.h.inc"
#define GET_OP_CLASSES
#include "monarch/Dialect/MonarchOps.h.inc"

namespace monarch {
/// Name of the module attribute that holds a `#monarch.target`.
inline constexpr llvm::StringLiteral targetAttrName = "monarch.target";
/// Name of the module attribute that says which level the module is at.
inline constexpr llvm::StringLiteral levelAttrName = "monarch.level";
/// Name of the module attribute that keeps the problem at lower levels.
inline constexpr llvm::StringLiteral problemAttrName = "monarch.problem";
/// Name of the module attribute with what was asked of the schedules, as
/// `kernel.part=value` separated by commas.
inline constexpr llvm::StringLiteral scheduleRequestAttrName =
    "monarch.schedule_request";
/// Name of the module attribute with the launch plan (see docs/abi.md).
inline constexpr llvm::StringLiteral planAttrName = "monarch.plan";
} // namespace monarch

#endif // MONARCH_DIALECT_MONARCHDIALECT_H
