// RUN: monarch-opt %s --monarch-factorize --split-input-file | FileCheck %s

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>

// T = 1: scores, entropy and the last L step.
// CHECK: module attributes {monarch.level = "steps"}
// CHECK-LABEL: func.func @once
// CHECK-SAME: (%[[Q:.+]]: tensor<1x72x2x64xbf16>, %[[K:.+]]: tensor<1x72x2x64xbf16>, %[[V:.+]]: tensor<1x72x2x64xbf16>)
// CHECK-NEXT: %[[AL:.+]], %[[Y:.+]] = monarch.r_step query(%[[Q]] : {{.*}}) key(%[[K]] : {{.*}}) value(%[[V]] : {{.*}}) on #{{.*}} {scale = 5.000000e-01 : f64} -> tensor<1x2x18x12x64xf32> y tensor<1x2x18x12x64xf32>
// CHECK-NEXT: %[[CL:.+]] = monarch.entropy query(%[[Q]] : {{.*}}) key(%[[K]] : {{.*}}) {{.*}} -> tensor<1x2x18x12xf32>
// CHECK-NEXT: %[[O:.+]] = monarch.l_step query(%[[Q]] : {{.*}}) keys(%[[AL]] : {{.*}}) bias(%[[CL]] : {{.*}}) values(%[[Y]] : {{.*}})
// CHECK-NEXT: return %[[O]]
func.func @once(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>) -> tensor<1x72x2x64xbf16> {
  %o = monarch.attention %q, %k, %v on #g {scale = 0.5 : f64}
    : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return %o : tensor<1x72x2x64xbf16>
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>

// T = 2: the first L step feeds the second R step; frames are recomputed last.
// CHECK-LABEL: func.func @twice
// CHECK-SAME: (%[[Q:[^:]+]]: {{[^%]*}}%[[N:[^:]+]]: index
// CHECK: %[[AL:.+]] = monarch.r_step
// CHECK-SAME: key_frames(%[[N]])
// CHECK-SAME: temperature_floor = 1.000000e-01 : f64
// CHECK-NEXT: %[[CL:.+]] = monarch.entropy
// CHECK-NEXT: %[[AR:.+]], %[[CR:.+]] = monarch.redistribute query(%[[Q]] : {{.*}}) keys(%[[AL]] : {{.*}}) bias(%[[CL]] : {{.*}}) key_frames(%[[N]])
// CHECK-NEXT: monarch.r_step {{.*}} value({{.*}}) state(%[[AR]], %[[CR]] :
// CHECK-NEXT: monarch.entropy {{.*}} state(%[[AR]], %[[CR]] :
// CHECK-NEXT: %[[L:.+]] = monarch.l_step
// CHECK-NEXT: %[[D:.+]] = monarch.dense {{.*}} {frames = 1 : i64
// CHECK-NEXT: monarch.replace_frames %[[L]], %[[D]]
func.func @twice(%q: tensor<1x72x2x64xbf16>, %n: index) -> tensor<1x72x2x64xbf16> {
  %o = monarch.attention %q, %q, %q key_frames(%n) on #g {scale = 0.5 : f64, iterations = 2 : i64, recompute_frames = 1 : i64, temperature_floor = 0.1 : f64}
    : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return %o : tensor<1x72x2x64xbf16>
}
