// RUN: monarch-opt %s --monarch-to-nvvm=stop-at=steps 2>/dev/null | FileCheck %s --check-prefix=STEPS
// RUN: monarch-opt %s --monarch-to-nvvm=stop-at=fused 2>/dev/null | FileCheck %s --check-prefix=FUSED
// RUN: monarch-opt %s --monarch-to-nvvm=stop-at=tiled 2>/dev/null | FileCheck %s --check-prefix=TILED
// RUN: monarch-opt %s --monarch-to-nvvm=stop-at=mapped 2>/dev/null | FileCheck %s --check-prefix=MAPPED
// RUN: monarch-opt %s --monarch-to-nvvm 2>/dev/null | FileCheck %s --check-prefix=NVVM
// RUN: monarch-opt %s --monarch-to-nvvm=stop-at=tiled 2>/dev/null \
// RUN:   | monarch-opt --monarch-to-nvvm="start-from=tiled" | FileCheck %s --check-prefix=NVVM
// RUN: monarchc --grid=3,4,6 --target=host --emit=tiled \
// RUN:   | monarch-opt --monarch-to-host=start-from=tiled | FileCheck %s --check-prefix=HOST
// RUN: not monarch-opt %s --monarch-to-nvvm=stop-at=nowhere 2>&1 | FileCheck %s --check-prefix=BAD

// STEPS: monarch.level = "steps"
// FUSED: monarch.level = "fused"
// TILED: monarch.level = "tiled"
// MAPPED: monarch.level = "mapped"
// NVVM: monarch.level = "nvvm"
// HOST: monarch.level = "host"
// RUN: not monarch-opt %s --monarch-to-host 2>&1 | FileCheck %s --check-prefix=OTHER

// BAD: Cannot find option named 'nowhere'!
// OTHER: error: expected a schedule of kind host, got mma_sync

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
module attributes {monarch.target = #monarch.target<chip = "sm_80", kind = "mma_sync", ptx = 80, shared_memory = 166912, multiprocessors = 108>} {
func.func @attention(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>) -> tensor<1x72x2x64xbf16> {
  %o = monarch.attention %q, %k, %v on #g {scale = 0.125 : f64}
    : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return %o : tensor<1x72x2x64xbf16>
}
}
