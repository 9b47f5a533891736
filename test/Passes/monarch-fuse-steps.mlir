// RUN: monarch-opt %s --monarch-fuse-steps | FileCheck %s

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>

// R and L steps stay apart; a join shares the kernel of its dense step; names
// are unique.
// CHECK-LABEL: func.func @all
// CHECK: %[[R:.+]]:3 = monarch.kernel "r_step" {
// CHECK-NEXT: monarch.r_step
// CHECK-NEXT: monarch.yield
// CHECK: monarch.kernel "r_step_1" {
// CHECK: %[[L:.+]] = monarch.kernel "l_step" {
// CHECK-NEXT: monarch.l_step {{.*}} keys(%[[R]]#0 : {{.*}}) bias(%[[R]]#2 : {{.*}}) values(%[[R]]#1 :
// CHECK: %[[O:.+]] = monarch.kernel "dense" {
// CHECK-NEXT: %[[D:.+]] = monarch.dense
// CHECK-NEXT: %[[J:.+]] = monarch.replace_frames %[[L]], %[[D]]
// CHECK-NEXT: monarch.yield %[[J]]
// CHECK: return %[[O]]
func.func @all(%q: tensor<1x72x2x64xbf16>) -> (tensor<1x72x2x64xbf16>, tensor<1x2x18x12x64xf32>) {
  %aL, %y, %cL = monarch.r_step query(%q : tensor<1x72x2x64xbf16>) key(%q : tensor<1x72x2x64xbf16>) value(%q : tensor<1x72x2x64xbf16>) on #g {scale = 0.5 : f64, softmax = "one_tile"}
    -> tensor<1x2x18x12x64xf32> y tensor<1x2x18x12x64xf32> cL tensor<1x2x18x12xf32>
  %other = monarch.r_step query(%q : tensor<1x72x2x64xbf16>) key(%q : tensor<1x72x2x64xbf16>) on #g {scale = 0.5 : f64} -> tensor<1x2x18x12x64xf32>
  %l = monarch.l_step query(%q : tensor<1x72x2x64xbf16>) keys(%aL : tensor<1x2x18x12x64xf32>) bias(%cL : tensor<1x2x18x12xf32>) values(%y : tensor<1x2x18x12x64xf32>) on #g {scale = 0.5 : f64} -> tensor<1x72x2x64xbf16>
  %d = monarch.dense query(%q : tensor<1x72x2x64xbf16>) key(%q : tensor<1x72x2x64xbf16>) value(%q : tensor<1x72x2x64xbf16>) on #g {frames = 1 : i64, scale = 0.5 : f64} -> tensor<1x72x2x64xbf16>
  %o = monarch.replace_frames %l, %d on #g {frames = 1 : i64} : tensor<1x72x2x64xbf16>
  return %o, %other : tensor<1x72x2x64xbf16>, tensor<1x2x18x12x64xf32>
}
