// RUN: monarch-opt %s --monarch-tile-assign-layouts | FileCheck %s

#map = affine_map<(d0, d1) -> (0, 0, d0 + d1, 0)>
#token = affine_map<(d0, d1) -> (0, 0, 0, d0 + d1, 0)>

// The writer of intermediates: true channel order in, interleaved out.
// CHECK-LABEL: func.func @writer
func.func @writer(%q: memref<1x1x1x64x1x64xbf16>, %k: memref<1x1x1x64x1x64xbf16>, %x: memref<?x1x64x8x64xbf16>, %c: memref<?x1x64x8xf32>, %i: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 32, columns = 16, warps = 2, stages = 2, chunk = 32, element = bf16>} {
  // CHECK: %[[A:.+]] = monarch_tile.load %{{.*}}[%{{.*}}] {in_bounds
  // CHECK-SAME: -> tensor<32x64xbf16, #lhs>
  %a = monarch_tile.load %q[%i] {in_bounds = array<i1: true, true, true, true, true>, map = #token} : memref<1x1x1x64x1x64xbf16> -> tensor<32x64xbf16>
  // CHECK: %[[B:.+]] = monarch_tile.load {{.*}} -> tensor<16x64xbf16, #shared>
  %b = monarch_tile.load %k[%i] {in_bounds = array<i1: true, true, true, true, true>, map = #token} : memref<1x1x1x64x1x64xbf16> -> tensor<16x64xbf16>
  // CHECK: monarch_tile.dot %[[A]], %[[B]] transposed_rhs : tensor<32x64xbf16, #lhs>, tensor<16x64xbf16, #shared> -> tensor<32x16xf32, #acc>
  %s = monarch_tile.dot %a, %b transposed_rhs : tensor<32x64xbf16>, tensor<16x64xbf16> -> tensor<32x16xf32>
  // CHECK: monarch_tile.reduce "max" {{.*}} -> tensor<32xf32, #rows>
  %m = monarch_tile.reduce "max" %s axis 1 : tensor<32x16xf32> -> tensor<32xf32>
  // CHECK: %[[P:.+]] = arith.truncf {{.*}} to tensor<32x16xbf16, #acc>
  %p = arith.truncf %s : tensor<32x16xf32> to tensor<32x16xbf16>
  // One conversion for both products.
  // CHECK-NEXT: %[[L:.+]] = monarch_tile.convert_layout %[[P]] : tensor<32x16xbf16, #acc> -> tensor<32x16xbf16, #lhs>
  // CHECK-NEXT: monarch_tile.dot %[[L]], %[[B]]
  %o = monarch_tile.dot %p, %b : tensor<32x16xbf16>, tensor<16x64xbf16> -> tensor<32x32xf32>
  // CHECK-NEXT: monarch_tile.dot %[[L]], %[[B]]
  %o2 = monarch_tile.dot %p, %b {rhs_offset = 32 : i64} : tensor<32x16xbf16>, tensor<16x64xbf16> -> tensor<32x32xf32>
  // CHECK: monarch_tile.store %{{.*}} interleave {{.*}}tensor<32x32xf32, #acc>
  monarch_tile.store %o, %x[%i] {in_bounds = array<i1: true, true, true, true>, map = #map} : tensor<32x32xf32>, memref<?x1x64x8x64xbf16>
  monarch_tile.store %o2, %x[%i] {column_offset = 32 : i64, in_bounds = array<i1: true, true, true, true>, map = #map} : tensor<32x32xf32>, memref<?x1x64x8x64xbf16>
  // CHECK: monarch_tile.store %{{[0-9]+}}, %{{.*}}[%{{.*}}] {in_bounds
  // CHECK-SAME: tensor<32xf32, #rows>
  monarch_tile.store %m, %c[%i] {in_bounds = array<i1: true, true, true, true>, map = #map} : tensor<32xf32>, memref<?x1x64x8xf32>
  return
}

// The reader: queries interleaved like the keys it reads, outputs back in order.
// CHECK-LABEL: func.func @reader
func.func @reader(%q: memref<1x1x1x64x1x64xbf16>, %x: memref<?x1x64x8x64xbf16>, %c: memref<?x1x64x8xf32>, %o: memref<1x1x1x64x1x64xbf16>, %i: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 16, warps = 1, stages = 2, chunk = 64, element = bf16>} {
  // CHECK: monarch_tile.load %{{.*}} interleave {{.*}} -> tensor<16x64xbf16, #lhs
  %a = monarch_tile.load %q[%i] {in_bounds = array<i1: true, true, true, true, true>, map = #token} : memref<1x1x1x64x1x64xbf16> -> tensor<16x64xbf16>
  // CHECK-NOT: interleave
  // CHECK: monarch_tile.load {{.*}} -> tensor<16x64xbf16, #shared
  %b = monarch_tile.load %x[%i] {in_bounds = array<i1: true, true, true, true>, map = #map} : memref<?x1x64x8x64xbf16> -> tensor<16x64xbf16>
  // CHECK: monarch_tile.load {{.*}} -> tensor<16xf32, #columns
  %w = monarch_tile.load %c[%i] {in_bounds = array<i1: true, true, true, true>, map = #map} : memref<?x1x64x8xf32> -> tensor<16xf32>
  %v = monarch_tile.broadcast %w axis 0 : tensor<16xf32> -> tensor<16x16xf32>
  %s = monarch_tile.dot %a, %b transposed_rhs acc %v : tensor<16x16xf32> : tensor<16x64xbf16>, tensor<16x64xbf16> -> tensor<16x16xf32>
  %p = arith.truncf %s : tensor<16x16xf32> to tensor<16x16xbf16>
  %r = monarch_tile.dot %p, %b : tensor<16x16xbf16>, tensor<16x64xbf16> -> tensor<16x64xf32>
  // CHECK: monarch_tile.store %{{.*}} interleave
  monarch_tile.store %r, %o[%i] {in_bounds = array<i1: true, true, true, true, true>, map = #token} : tensor<16x64xf32>, memref<1x1x1x64x1x64xbf16>
  return
}
