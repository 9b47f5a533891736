// How the rest of a step's rows lowers: single warps, the teams of a role, which
// multiply by mma.sync what lies in shared memory as wgmma wants it.
// RUN: monarch-opt %s --convert-monarch-tile-to-nvvm --split-input-file --verify-diagnostics | FileCheck %s

#in = affine_map<(d0, d1, d2) -> (0, (d0 + d2) floordiv 8, d1, (d0 + d2) mod 8)>
#row = affine_map<(d0, d1) -> (d0, 0, 0, d1, 0)>
#q = #monarch_tile.layout<swizzled, warps = 1>
#rows = #monarch_tile.layout<swizzled, warps = 4, rows = 8>
#lhs = #monarch_tile.layout<lhs, warps = 1>
#acc = #monarch_tile.layout<acc, warps = 1>
#wide = #monarch_tile.layout<acc, warps = 4>
#w = #monarch_tile.layout<swizzled, warps = 4>
#row_max = #monarch_tile.layout<rows, warps = 1>

// CHECK-LABEL: llvm.func @rest
func.func @rest(%near: memref<?x4x64x8x256xbf16>, %query: memref<?x4x4x4x2x128xbf16, strided<[?, ?, ?, ?, ?, 1]>>, %p: tensor<16x32xbf16, #lhs>, %out: memref<?x16x1x1x128xbf16>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 80, warps = 4, stages = 1, chunk = 64, element = bf16, ring = 3, slots = 32>} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant dense<0.0> : tensor<16x32xbf16, #lhs>
  scf.forall (%i) in (%n) {
    // Full when the producer's copy is there; free when a thread of each of the
    // warpgroup's 4 warps says so, and the 32 of the single warp whose turn it is.
    // CHECK: nvvm.mbarrier.init {{.*}}, %c1_i32
    // CHECK: nvvm.mbarrier.init {{.*}}, %c36_i32
    %tiles = monarch_tile.alloc_ring : <1, tensor<32x256xbf16, #rows>>
    monarch_tile.role "producer" warps 4 from 8 registers 0 {
      monarch_tile.copy_bulk %near[%n, %n] box [1, 1, 1, 8, 64] to %tiles[%c0] {map = #in} : memref<?x4x64x8x256xbf16> -> <1, tensor<32x256xbf16, #rows>>
    }
    monarch_tile.role "consumer" warps 4 from 0 registers 0 {
      %a = monarch_tile.load %query[%c0] {in_bounds = array<i1: true, true, true, true, true>, map = #row} : memref<?x4x4x4x2x128xbf16, strided<[?, ?, ?, ?, ?, 1]>> -> tensor<64x128xbf16, #w>
      %t = monarch_tile.acquire %tiles[%c0] : <1, tensor<32x256xbf16, #rows>> -> tensor<32x256xbf16, #rows>
      // CHECK: wgmma.mma_async
      %s = monarch_tile.dot %a, %t transposed_rhs : tensor<64x128xbf16, #w>, tensor<32x256xbf16, #rows> -> tensor<64x32xf32, #wide>
      %done = monarch_tile.await %s pending 0 : tensor<64x32xf32, #wide>
      monarch_tile.release %tiles[%c0] : !monarch_tile.ring<1, tensor<32x256xbf16, #rows>>
    }
    monarch_tile.role beside "consumer" warps 1 from 4 registers 0 teams 4 {
    ^bb0(%team: index):
      // One warp's rows need no barrier of the others.
      // CHECK: nvvm.cp.async.wait.group 0
      // CHECK-NOT: nvvm.barrier
      // CHECK: nvvm.bar.warp.sync
      %b = monarch_tile.load %query[%c0] {in_bounds = array<i1: true, true, true, true, true>, map = #row} : memref<?x4x4x4x2x128xbf16, strided<[?, ?, ?, ?, ?, 1]>> -> tensor<16x128xbf16, #q>
      %t = monarch_tile.acquire %tiles[%c0] : <1, tensor<32x256xbf16, #rows>> -> tensor<32x256xbf16, #rows>
      // Both operands by ldmatrix: 16 rows of queries, then 16 of keys.
      // CHECK: nvvm.ldmatrix {{.*}}layout = #nvvm.mma_layout<row>, num = 4
      // CHECK: nvvm.ldmatrix {{.*}}layout = #nvvm.mma_layout<row>, num = 4
      // CHECK: nvvm.mma.sync
      // CHECK-NOT: wgmma
      %s = monarch_tile.dot %b, %t transposed_rhs : tensor<16x128xbf16, #q>, tensor<32x256xbf16, #rows> -> tensor<16x32xf32, #acc>
      // CHECK: nvvm.ldmatrix {{.*}}layout = #nvvm.mma_layout<col>, num = 4
      // CHECK: nvvm.mma.sync
      %y = monarch_tile.dot %zero, %t {rhs_offset = 128 : i64} : tensor<16x32xbf16, #lhs>, tensor<32x256xbf16, #rows> -> tensor<16x128xf32, #acc>
      // CHECK: nvvm.mbarrier.arrive
      monarch_tile.release %tiles[%c0] : !monarch_tile.ring<1, tensor<32x256xbf16, #rows>>
      // CHECK: llvm.store %{{.*}} : vector<2xf32>, !llvm.ptr<3>
      // CHECK: nvvm.barrier id = %{{.*}} number_of_threads = %{{.*}}
      // CHECK-COUNT-4: llvm.load %{{.*}} : !llvm.ptr<3> -> vector<2xf32>
      // CHECK: nvvm.barrier id
      %m = monarch_tile.reduce "max" %s axis 1 : tensor<16x32xf32, #acc> -> tensor<16xf32, #row_max>
      %all = monarch_tile.reduce_teams "max" %m : tensor<16xf32, #row_max>
      %sum = monarch_tile.reduce_teams "sum" %y : tensor<16x128xf32, #acc>
      monarch_tile.store %sum, %out[%c0] {in_bounds = array<i1: true, true, true, true>, map = affine_map<(d0, d1) -> (d0, d1, 0, 0)>} : tensor<16x128xf32, #acc>, memref<?x16x1x1x128xbf16>
    }
  }
  return
}

// -----

#rows = #monarch_tile.layout<rows, warps = 8>
func.func @wide(%v: tensor<128xf32, #rows>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 128, columns = 80, warps = 8, stages = 1, chunk = 64, element = bf16>} {
  scf.forall (%i) in (%n) {
    monarch_tile.role "consumer" warps 8 from 0 registers 0 teams 2 {
    ^bb0(%team: index):
      // expected-error @below {{expected teams of up to 4 warps, got 8}}
      %all = monarch_tile.reduce_teams "max" %v : tensor<128xf32, #rows>
    }
  }
  return
}

// -----

// expected-error @below {{expected roles of up to 28 warps, got 32}}
func.func @many(%n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 80, warps = 4, stages = 1, chunk = 64, element = bf16>} {
  scf.forall (%i) in (%n) {
    monarch_tile.role "consumer" warps 4 from 28 registers 0 {
    }
  }
  return
}

// -----

#staged = #monarch_tile.layout<staged, warps = 1>
func.func @place(%v: tensor<16x8xf32, #staged>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 80, warps = 4, stages = 1, chunk = 64, element = bf16>} {
  scf.forall (%i) in (%n) {
    monarch_tile.role "consumer" warps 1 from 0 registers 0 teams 4 {
    ^bb0(%team: index):
      // expected-error @below {{expected a tile in registers (rows or acc), got staged}}
      %all = monarch_tile.reduce_teams "max" %v : tensor<16x8xf32, #staged>
    }
  }
  return
}
