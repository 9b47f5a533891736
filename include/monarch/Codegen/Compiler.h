//===- Compiler.h - from a problem to any level ----------------*- C++ -*-===//
//
// The compiler as a library: what monarchc and the JIT call. Errors go to the
// context's diagnostic handler; nothing here exits or prints by itself.
//
//===----------------------------------------------------------------------===//
#ifndef MONARCH_CODEGEN_COMPILER_H
#define MONARCH_CODEGEN_COMPILER_H

#include "monarch/Codegen/Targets.h"
#include "monarch/Geometry/Problem.h"
#include "monarch/Passes/Passes.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace monarch {

/// A module with one function `@attention` that holds the problem's
/// `monarch.attention`, for `target`. Null after a diagnostic.
mlir::OwningOpRef<mlir::ModuleOp>
buildProblem(mlir::MLIRContext *context, const Problem &problem,
             const Target &target);

/// The problem of a module at level `problem`, which a tool needs to make
/// inputs; failure after a diagnostic when the module holds another number of
/// attention ops than one.
mlir::FailureOr<Problem> readProblem(mlir::ModuleOp module);

/// The level a module is at: its `monarch.level`, or `problem`.
Level levelOf(mlir::ModuleOp module);

/// Lowers `module` from its level to `to`, for the target that it names. A
/// level behind the module's own, or one the target does not have, is an error.
mlir::LogicalResult lowerTo(mlir::ModuleOp module, Level to);

/// A module at level `nvvm`, lowered to the LLVM dialect in place.
mlir::LogicalResult lowerNvvmToLlvm(mlir::ModuleOp module);
/// A module at level `host`, lowered to the LLVM dialect in place.
mlir::LogicalResult lowerHostToLlvm(mlir::ModuleOp module);

/// LLVM IR and PTX of a GPU module that lowerNvvmToLlvm has made.
mlir::FailureOr<std::string> emitLlvmIr(mlir::ModuleOp module);
mlir::FailureOr<std::string> emitPtx(mlir::ModuleOp module);

} // namespace monarch

#endif // MONARCH_CODEGEN_COMPILER_H
