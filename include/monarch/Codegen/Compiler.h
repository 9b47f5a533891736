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
mlir::OwningOpRef<mlir::ModuleOp> buildProblem(mlir::MLIRContext *context,
                                               const Problem &problem,
                                               const Target &target);

/// The problem of a module at any level, from its attention op or from the
/// `monarch.problem` that lowering leaves behind; failure after a diagnostic.
mlir::FailureOr<Problem> readProblem(mlir::ModuleOp module);

/// The level a module is at: its `monarch.level`, or `problem`.
Level levelOf(mlir::ModuleOp module);

/// Asks for parts of the schedules in place of what the compiler would choose:
/// `kernel.part=value` separated by commas, part one of kind, rows, columns,
/// warps, stages and chunk ("r_step.stages=2"). Failure after a diagnostic when
/// the module's schedules are chosen already.
mlir::LogicalResult requestSchedule(mlir::ModuleOp module,
                                    llvm::StringRef request);

/// Lowers `module` from its level to `to`, for the target that it names. A
/// level behind the module's own, or one the target does not have, is an error.
mlir::LogicalResult lowerTo(mlir::ModuleOp module, Level to);

/// Checks that the module names a target of the table, with its capabilities.
mlir::LogicalResult checkTarget(mlir::ModuleOp module);

/// A module at level `nvvm`, lowered to the LLVM dialect in place.
mlir::LogicalResult lowerNvvmToLlvm(mlir::ModuleOp module);
/// A module at level `host`, lowered to the LLVM dialect in place.
mlir::LogicalResult lowerHostToLlvm(mlir::ModuleOp module);

/// LLVM IR and PTX of a GPU module that lowerNvvmToLlvm has made.
mlir::FailureOr<std::string> emitLlvmIr(mlir::ModuleOp module);
mlir::FailureOr<std::string> emitPtx(mlir::ModuleOp module);
/// PTX of LLVM IR text that emitLlvmIr gave for the same target.
llvm::Expected<std::string> emitPtxFromLlvmIr(llvm::StringRef text,
                                              const Target &target);

} // namespace monarch

#endif // MONARCH_CODEGEN_COMPILER_H
