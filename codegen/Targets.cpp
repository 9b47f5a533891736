//===- Targets.cpp - the capability table ---------------------------------===//

#include "monarch/Codegen/Targets.h"

#include "monarch/Dialect/MonarchDialect.h"

using namespace monarch;

// Shared memory a block may opt in to: CUDA C++ Programming Guide, table
// "Technical Specifications per Compute Capability" (163, 99, 99, 227, 227, 227
// and 99 KiB). PTX versions: the first to know the chip, rounded up to what the
// shipped LLVM emits without warnings.
static constexpr Target targets[] = {
    {"host", "host", 0, 0, 1, "this machine's processor, through LLVM's JIT"},
    {"sm_80", "mma_sync", 80, 163 * 1024, 108, "Ampere A100"},
    {"sm_86", "mma_sync", 80, 99 * 1024, 84, "Ampere RTX 30, A40"},
    {"sm_89", "mma_sync", 81, 99 * 1024, 128, "Ada RTX 40, L40"},
    {"sm_90a", "wgmma", 88, 227 * 1024, 132, "Hopper H100, H200"},
    {"sm_100a", "mma_sync", 88, 227 * 1024, 148, "Blackwell B200"},
    {"sm_103a", "mma_sync", 88, 227 * 1024, 148, "Blackwell B300"},
    {"sm_120a", "mma_sync", 88, 99 * 1024, 170, "Blackwell RTX 50"},
};

llvm::ArrayRef<Target> monarch::allTargets() { return targets; }

const Target *monarch::findTarget(llvm::StringRef name) {
  for (const Target &t : targets)
    if (t.name == name)
      return &t;
  return nullptr;
}

const Target *monarch::targetForDevice(int chip) {
  const Target *best = nullptr;
  for (const Target &t : targets) {
    llvm::StringRef name = t.name;
    int number = 0;
    if (!name.consume_front("sm_"))
      continue;
    bool exactOnly = name.consume_back("a");
    if (name.getAsInteger(10, number))
      continue;
    if (number == chip || (!exactOnly && number < chip))
      best = &t; // rows are in order
  }
  return best;
}

TargetAttr monarch::targetAttr(mlir::MLIRContext *context, const Target &t) {
  return TargetAttr::get(context, t.name, t.kind, t.ptx, t.sharedMemory,
                         t.multiprocessors);
}
