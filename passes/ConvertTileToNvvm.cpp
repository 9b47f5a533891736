#include "PassDetail.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
namespace monarch {
#define GEN_PASS_DEF_CONVERTMONARCHTILETONVVM
#include "monarch/Passes/Passes.h.inc"
} // namespace monarch
namespace {
struct C : monarch::impl::ConvertMonarchTileToNvvmBase<C> { void runOnOperation() override {} };
}
