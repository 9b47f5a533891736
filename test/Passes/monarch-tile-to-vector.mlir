// RUN: monarch-opt %s --monarch-tile-to-vector --split-input-file --verify-diagnostics | FileCheck %s

#map = affine_map<(d0, d1) -> (d0 + d1)>

// Programs become a range of two further arguments; tiles become buffers.
// CHECK-LABEL: func.func @scale
// CHECK-SAME: (%[[X:.+]]: memref<?x40xbf16>, %[[O:.+]]: memref<?x40xf32>, %[[N:.+]]: index, %[[BEGIN:.+]]: index, %[[END:.+]]: index)
// CHECK-SAME: llvm.emit_c_interface
// CHECK-SAME: monarch.programs = 3 : i64
// Columns are padded to whole vectors of 16.
// CHECK: memref.alloc() {alignment = 64 : i64} : memref<8x48xf32>
// CHECK: scf.for %[[P:.+]] = %[[BEGIN]] to %[[END]]
// CHECK: arith.remui %[[P]], %c3
// CHECK: arith.divui %[[P]], %c3
// Rows out of bounds read as zero.
// CHECK: arith.cmpi ult
// CHECK: scf.if
// CHECK: vector.load %[[X]]
// CHECK: arith.extf {{.*}} : vector<16xbf16> to vector<16xf32>
// CHECK: memref.load %[[X]]
// CHECK: } else {
// 2^x by a polynomial.
// CHECK: math.roundeven {{.*}} : vector<16xf32>
// CHECK: math.fma {{.*}} : vector<16xf32>
// CHECK: arith.shli
// CHECK: vector.store
// CHECK: memref.dealloc
func.func @scale(%x: memref<?x40xbf16>, %o: memref<?x40xf32>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "host", rows = 8, columns = 40, warps = 1, stages = 1, chunk = 40, element = f32>} {
  scf.forall (%bh, %i) in (%n, 3) {
    %a = monarch_tile.load %x[%i] {in_bounds = array<i1: false>, map = #map} : memref<?x40xbf16> -> tensor<8x40xf32>
    %e = math.exp2 %a : tensor<8x40xf32>
    monarch_tile.store %e, %o[%i] {in_bounds = array<i1: true>, map = #map} : tensor<8x40xf32>, memref<?x40xf32>
  }
  return
}

// -----

// A product: 4 rows by 32 columns of accumulators, one pass over the depth.
// CHECK-LABEL: func.func @product
// CHECK: scf.for {{.*}} iter_args({{.*}}) -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>)
// CHECK-COUNT-8: vector.fma
#map = affine_map<(d0, d1) -> (d0 + d1)>
func.func @product(%x: memref<?x32xf32>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "host", rows = 8, columns = 32, warps = 1, stages = 1, chunk = 32, element = f32>} {
  scf.forall (%bh) in (%n) {
    %a = monarch_tile.load %x[%bh] {in_bounds = array<i1: true>, map = #map} : memref<?x32xf32> -> tensor<32x32xf32>
    %s = monarch_tile.dot %a, %a : tensor<32x32xf32>, tensor<32x32xf32> -> tensor<32x32xf32>
    monarch_tile.store %s, %x[%bh] {in_bounds = array<i1: true>, map = #map} : tensor<32x32xf32>, memref<?x32xf32>
  }
  return
}

// -----

func.func @mapped() attributes {monarch.schedule = #monarch.schedule<kind = "host", rows = 8, columns = 32, warps = 1, stages = 1, chunk = 32, element = f32>} {
  // expected-error @below {{is not an op of the tiled level}}
  monarch_tile.commit
  return
}

// -----

// A failure ends what comes after it, which would use what is not there.
func.func @inside(%x: memref<?x8xf32>, %n: index) attributes {monarch.schedule = #monarch.schedule<kind = "host", rows = 8, columns = 8, warps = 1, stages = 1, chunk = 32, element = f32>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.forall (%i) in (%n) {
    scf.for %j = %c0 to %n step %c1 {
      %p = monarch_tile.load %x[%i] {in_bounds = array<i1: true>, map = affine_map<(d0, d1) -> (d0 + d1)>} : memref<?x8xf32> -> tensor<8x8xf32>
      // expected-error @below {{is not an op of the tiled level}}
      %z = monarch_tile.fold %p : tensor<8x8xf32> -> tensor<8x8xf32>
      monarch_tile.store %z, %x[%i] {in_bounds = array<i1: true>, map = affine_map<(d0, d1) -> (d0 + d1)>} : tensor<8x8xf32>, memref<?x8xf32>
    }
  }
  return
}
