// RUN: monarchc --grid=3,15,52 --heads=2 --target=sm_90a --emit=fused | FileCheck %s
// RUN: monarchc --workload=wan-720p-97 --target=sm_90a --emit=fused | FileCheck %s --check-prefix=RING
// RUN: monarch-opt %s --monarch-fuse-exchange --split-input-file --verify-diagnostics | FileCheck %s --check-prefix=APART

// The two steps of a cluster are one kernel; nothing of aL, y and cL leaves it.
// CHECK: func.func @attention
// CHECK-NEXT: %[[O:.+]] = monarch.kernel "attention" schedule <kind = "wgmma", {{.*}}, cluster = 8, clusters = 15, producer = 4> beside <kind = "mma_sync", {{.*}}, cluster = 8, clusters = 15> {
// CHECK-NEXT: %[[AL:.+]], %[[Y:.+]], %[[CL:.+]] = monarch.r_step
// CHECK-NEXT: %[[L:.+]] = monarch.l_step query({{.*}}) keys(%[[AL]] : {{.*}}) bias(%[[CL]] : {{.*}}) values(%[[Y]] :
// CHECK-NEXT: monarch.yield %[[L]]
// CHECK-NEXT: } -> tensor<1x2340x2x128xbf16>
// CHECK-NEXT: return %[[O]]

// Nor does it where they go through a ring.
// RING: func.func @attention
// RING-NEXT: monarch.kernel "attention" schedule <kind = "wgmma", {{.*}}, ring = 85, slots = 352> beside <kind = "wgmma", {{.*}}, ring = 47, slots = 352> {
// RING-NEXT: monarch.r_step
// RING-NEXT: monarch.l_step
// RING-NEXT: monarch.yield

#r = #monarch.schedule<kind = "wgmma", rows = 192, columns = 56, warps = 12, stages = 2, chunk = 64, element = bf16>
#l = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 32, warps = 1, stages = 3, chunk = 128, element = bf16>

// Without clusters they stay apart.
// APART-LABEL: func.func @apart
// APART: monarch.kernel "r_step"
// APART: monarch.kernel "l_step"
func.func @apart(%q: tensor<1x2340x2x128xbf16>, %k: tensor<1x2340x2x128xbf16>, %v: tensor<1x2340x2x128xbf16>) -> tensor<1x2340x2x128xbf16> {
  %aL, %y, %cL = monarch.kernel "r_step" schedule #r {
    %0, %1, %2 = monarch.r_step query(%q : tensor<1x2340x2x128xbf16>) key(%k : tensor<1x2340x2x128xbf16>) value(%v : tensor<1x2340x2x128xbf16>) on #monarch.geometry<grid = [3, 15, 52], tile = [1, 15, 52], blocks = (fh, w)> {scale = 1.0 : f64, softmax = "one_tile"} -> tensor<1x2x156x45x128xbf16> y tensor<1x2x156x45x128xbf16> cL tensor<1x2x156x45xf32>
    monarch.yield %0, %1, %2 : tensor<1x2x156x45x128xbf16>, tensor<1x2x156x45x128xbf16>, tensor<1x2x156x45xf32>
  } -> tensor<1x2x156x45x128xbf16>, tensor<1x2x156x45x128xbf16>, tensor<1x2x156x45xf32>
  %o = monarch.kernel "l_step" schedule #l {
    %0 = monarch.l_step query(%q : tensor<1x2340x2x128xbf16>) keys(%aL : tensor<1x2x156x45x128xbf16>) bias(%cL : tensor<1x2x156x45xf32>) values(%y : tensor<1x2x156x45x128xbf16>) on #monarch.geometry<grid = [3, 15, 52], tile = [1, 15, 52], blocks = (fh, w)> {scale = 1.0 : f64} -> tensor<1x2340x2x128xbf16>
    monarch.yield %0 : tensor<1x2340x2x128xbf16>
  } -> tensor<1x2340x2x128xbf16>
  return %o : tensor<1x2340x2x128xbf16>
}

// -----

#l = #monarch.schedule<kind = "mma_sync", rows = 128, columns = 8, warps = 8, stages = 3, chunk = 128, element = bf16, cluster = 8, clusters = 15>

func.func @alone(%q: tensor<1x2340x2x128xbf16>, %aL: tensor<1x2x156x45x128xbf16>, %y: tensor<1x2x156x45x128xbf16>, %cL: tensor<1x2x156x45xf32>) -> tensor<1x2340x2x128xbf16> {
  // expected-error @below {{expected to read one r_step whose schedule has the same cluster of 8}}
  %o = monarch.kernel "l_step" schedule #l {
    %0 = monarch.l_step query(%q : tensor<1x2340x2x128xbf16>) keys(%aL : tensor<1x2x156x45x128xbf16>) bias(%cL : tensor<1x2x156x45xf32>) values(%y : tensor<1x2x156x45x128xbf16>) on #monarch.geometry<grid = [3, 15, 52], tile = [1, 15, 52], blocks = (fh, w)> {scale = 1.0 : f64} -> tensor<1x2340x2x128xbf16>
    monarch.yield %0 : tensor<1x2340x2x128xbf16>
  } -> tensor<1x2340x2x128xbf16>
  return %o : tensor<1x2340x2x128xbf16>
}
