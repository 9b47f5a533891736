// RUN: monarch-opt %s --monarch-fuse-online-entropy | FileCheck %s --check-prefixes=CHECK,TILE
// RUN: monarch-opt %s --monarch-fuse-online-entropy=max-tile-columns=4 | FileCheck %s --check-prefixes=CHECK,ONLINE
// RUN: monarch-opt %s --monarch-fuse-online-entropy --verify-diagnostics -o /dev/null

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>

// A6: one pass over the scores. A row of 6 fits a tile of 256, not one of 4.
// CHECK-LABEL: func.func @fused
// TILE: %[[AL:.+]], %[[Y:.+]], %[[CL:.+]] = monarch.r_step {{.*}} softmax = "one_tile"} -> {{.*}} y {{.*}} cL tensor<1x2x18x12xf32>
// ONLINE: %[[AL:.+]], %[[Y:.+]], %[[CL:.+]] = monarch.r_step {{.*}} softmax = "online"} -> {{.*}} y {{.*}} cL tensor<1x2x18x12xf32>
// CHECK-NOT: monarch.entropy
// CHECK: return %[[AL]], %[[Y]], %[[CL]]
func.func @fused(%q: tensor<1x72x2x64xbf16>) -> (tensor<1x2x18x12x64xf32>, tensor<1x2x18x12x64xf32>, tensor<1x2x18x12xf32>) {
  %aL, %y = monarch.r_step query(%q : tensor<1x72x2x64xbf16>) key(%q : tensor<1x72x2x64xbf16>) value(%q : tensor<1x72x2x64xbf16>) on #g {scale = 0.5 : f64}
    -> tensor<1x2x18x12x64xf32> y tensor<1x2x18x12x64xf32>
  %cL = monarch.entropy query(%q : tensor<1x72x2x64xbf16>) key(%q : tensor<1x72x2x64xbf16>) on #g {scale = 0.5 : f64} -> tensor<1x2x18x12xf32>
  return %aL, %y, %cL : tensor<1x2x18x12x64xf32>, tensor<1x2x18x12x64xf32>, tensor<1x2x18x12xf32>
}

// Another scale gives other scores.
// CHECK-LABEL: func.func @other_scores
// CHECK: monarch.r_step
// CHECK: monarch.entropy
func.func @other_scores(%q: tensor<1x72x2x64xbf16>) -> (tensor<1x2x18x12x64xf32>, tensor<1x2x18x12xf32>) {
  %aL = monarch.r_step query(%q : tensor<1x72x2x64xbf16>) key(%q : tensor<1x72x2x64xbf16>) on #g {scale = 0.5 : f64} -> tensor<1x2x18x12x64xf32>
  // expected-remark @below {{not fused: no r_step reads the same scores}}
  %cL = monarch.entropy query(%q : tensor<1x72x2x64xbf16>) key(%q : tensor<1x72x2x64xbf16>) on #g {scale = 0.25 : f64} -> tensor<1x2x18x12xf32>
  return %aL, %cL : tensor<1x2x18x12x64xf32>, tensor<1x2x18x12xf32>
}
