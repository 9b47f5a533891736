// How what a program has of its rows is handed to another: f32, as it is in
// registers, two channels at a time.
// RUN: monarch-opt %s --convert-monarch-tile-to-nvvm --split-input-file --verify-diagnostics | FileCheck %s

#row = affine_map<(d0, d1) -> (d0, d1)>
#acc = #monarch_tile.layout<acc, warps = 1>
#stat = #monarch_tile.layout<rows, warps = 1>

// CHECK-LABEL: llvm.func @part
// A quad has 8 channels of a row: 32 bytes, 8 of them a thread's.
// CHECK: llvm.load %{{.*}} {alignment = 4 : i64} : !llvm.ptr<1> -> f32
// CHECK: llvm.load %{{.*}} {alignment = 4 : i64} : !llvm.ptr<1> -> f32
// CHECK: arith.constant 8 : index
// CHECK-COUNT-4: llvm.load %{{.*}} {alignment = 8 : i64} : !llvm.ptr<1> -> vector<2xf32>
// CHECK-COUNT-4: llvm.store %{{.*}} {alignment = 8 : i64} : vector<2xf32>, !llvm.ptr<1>
// CHECK: llvm.store %{{.*}} {alignment = 4 : i64} : f32, !llvm.ptr<1>
func.func @part(%rows: memref<?x16xf32>, %outputs: memref<?x16x16xf32>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 16, warps = 1, stages = 2, chunk = 32, element = bf16>} {
  scf.forall (%p) in (%n) {
    %max = monarch_tile.load %rows[%p] {in_bounds = array<i1: true, true>, map = #row} : memref<?x16xf32> -> tensor<16xf32, #stat>
    %o = monarch_tile.load %outputs[%p] {in_bounds = array<i1: true, true>, map = #row} : memref<?x16x16xf32> -> tensor<16x16xf32, #acc>
    %w = monarch_tile.broadcast %max axis 1 : tensor<16xf32, #stat> -> tensor<16x16xf32, #acc>
    %x = arith.mulf %o, %w : tensor<16x16xf32, #acc>
    monarch_tile.store %x, %outputs[%p] {in_bounds = array<i1: true, true>, map = #row} : tensor<16x16xf32, #acc>, memref<?x16x16xf32>
    monarch_tile.store %max, %rows[%p] {in_bounds = array<i1: true, true>, map = #row} : tensor<16xf32, #stat>, memref<?x16xf32>
  }
  return
}

// -----

#row = affine_map<(d0, d1) -> (d0, d1)>
func.func @halves(%outputs: memref<?x16x16xbf16>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 16, warps = 1, stages = 2, chunk = 32, element = bf16>} {
  scf.forall (%p) in (%n) {
    // expected-error @below {{expected f32 for layouts acc and rows, got 'memref<?x16x16xbf16>'}}
    %o = monarch_tile.load %outputs[%p] {in_bounds = array<i1: true, true>, map = #row} : memref<?x16x16xbf16> -> tensor<16x16xf32, #monarch_tile.layout<acc, warps = 1>>
  }
  return
}

// -----

#row = affine_map<(d0, d1) -> (d0, d1)>
func.func @interleaved(%outputs: memref<?x16x32xf32>, %v: tensor<16x32xf32, #monarch_tile.layout<acc, warps = 1>>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 16, warps = 1, stages = 2, chunk = 32, element = bf16>} {
  scf.forall (%p) in (%n) {
    // expected-error @below {{expected a tile with layout acc or rows, and interleaved channels of 16 bits}}
    monarch_tile.store %v, %outputs[%p] interleave {in_bounds = array<i1: true, true>, map = #row} : tensor<16x32xf32, #monarch_tile.layout<acc, warps = 1>>, memref<?x16x32xf32>
  }
  return
}
