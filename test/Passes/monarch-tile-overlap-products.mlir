// RUN: monarch-opt %s --monarch-tile-overlap-products | FileCheck %s

#row = affine_map<(d0, d1) -> (d0 + d1)>
#swizzled = #monarch_tile.layout<swizzled, warps = 4>
#lhs = #monarch_tile.layout<lhs, warps = 4>
#acc = #monarch_tile.layout<acc, warps = 4>
#shared = #monarch_tile.layout<shared, warps = 4>

// CHECK-LABEL: func.func @chain
func.func @chain(%q: tensor<64x128xbf16, #lhs>, %rk: !monarch_tile.ring<2, tensor<16x128xbf16, #swizzled>>, %rv: !monarch_tile.ring<2, tensor<16x128xbf16, #swizzled>>, %m: memref<?x128xbf16>, %i: index) {
  // The probabilities need the scores: nothing to start before this wait.
  // CHECK: %[[K:.+]] = monarch_tile.acquire
  // CHECK-NEXT: %[[S:.+]] = monarch_tile.dot
  // CHECK-NEXT: %[[SCORES:.+]] = monarch_tile.await %[[S]] pending 0
  // CHECK-NEXT: arith.truncf %[[SCORES]]
  // CHECK: %[[A:.+]] = monarch_tile.dot %[[P:.+]], %[[K]] :
  // CHECK-NEXT: %[[B:.+]] = monarch_tile.dot %[[P]], %[[K]] {rhs_offset = 64
  // CHECK-NEXT: %[[A1:.+]] = monarch_tile.await %[[A]] pending 1
  // CHECK-NEXT: monarch_tile.store %[[A1]]
  // The next product's tile is waited for before this product is.
  // CHECK-NEXT: %[[V:.+]] = monarch_tile.acquire
  // CHECK-NEXT: %[[C:.+]] = monarch_tile.dot %[[P]], %[[V]]
  // CHECK-NEXT: %[[B1:.+]] = monarch_tile.await %[[B]] pending 1
  // A stage goes back when its last product is done.
  // CHECK-NEXT: monarch_tile.release
  // CHECK-NEXT: monarch_tile.store %[[B1]]
  // CHECK-NEXT: %[[C1:.+]] = monarch_tile.await %[[C]] pending 0
  // CHECK-NEXT: monarch_tile.release
  // CHECK-NEXT: monarch_tile.store %[[C1]]
  %k = monarch_tile.acquire %rk[%i] : !monarch_tile.ring<2, tensor<16x128xbf16, #swizzled>> -> tensor<16x128xbf16, #swizzled>
  %s = monarch_tile.dot %q, %k transposed_rhs : tensor<64x128xbf16, #lhs>, tensor<16x128xbf16, #swizzled> -> tensor<64x16xf32, #acc>
  %t = arith.truncf %s : tensor<64x16xf32, #acc> to tensor<64x16xbf16, #acc>
  %p = monarch_tile.convert_layout %t : tensor<64x16xbf16, #acc> -> tensor<64x16xbf16, #lhs>
  %a = monarch_tile.dot %p, %k : tensor<64x16xbf16, #lhs>, tensor<16x128xbf16, #swizzled> -> tensor<64x64xf32, #acc>
  monarch_tile.store %a, %m[%i] {in_bounds = array<i1: true>, map = #row} : tensor<64x64xf32, #acc>, memref<?x128xbf16>
  %b = monarch_tile.dot %p, %k {rhs_offset = 64 : i64} : tensor<64x16xbf16, #lhs>, tensor<16x128xbf16, #swizzled> -> tensor<64x64xf32, #acc>
  monarch_tile.release %rk[%i] : !monarch_tile.ring<2, tensor<16x128xbf16, #swizzled>>
  monarch_tile.store %b, %m[%i] {in_bounds = array<i1: true>, map = #row} : tensor<64x64xf32, #acc>, memref<?x128xbf16>
  %v = monarch_tile.acquire %rv[%i] : !monarch_tile.ring<2, tensor<16x128xbf16, #swizzled>> -> tensor<16x128xbf16, #swizzled>
  %c = monarch_tile.dot %p, %v : tensor<64x16xbf16, #lhs>, tensor<16x128xbf16, #swizzled> -> tensor<64x64xf32, #acc>
  monarch_tile.release %rv[%i] : !monarch_tile.ring<2, tensor<16x128xbf16, #swizzled>>
  monarch_tile.store %c, %m[%i] {in_bounds = array<i1: true>, map = #row} : tensor<64x64xf32, #acc>, memref<?x128xbf16>
  return
}

// mma.sync products are done when they are done.
// CHECK-LABEL: func.func @synchronous
// CHECK-NOT: monarch_tile.await
func.func @synchronous(%q: tensor<64x128xbf16, #lhs>, %k: tensor<16x128xbf16, #shared>) {
  %s = monarch_tile.dot %q, %k transposed_rhs : tensor<64x128xbf16, #lhs>, tensor<16x128xbf16, #shared> -> tensor<64x16xf32, #acc>
  return
}
