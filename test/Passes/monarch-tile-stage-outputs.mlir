// RUN: monarch-opt %s --monarch-tile-stage-outputs | FileCheck %s

#row = affine_map<(d0, d1, d2) -> (d0, d2 floordiv 8, d1, d2 mod 8)>
#acc = #monarch_tile.layout<acc, warps = 4>
#stat = #monarch_tile.layout<rows, warps = 4>

// Two outputs in two chunks each: two places, and a chunk waits for the copies
// of its own place only.
// CHECK-LABEL: func.func @outputs
// CHECK: scf.forall
// CHECK-DAG: %[[A:.+]] = monarch_tile.alloc_ring : <1, tensor<64x128xbf16, #staged>>
// CHECK-DAG: %[[Y:.+]] = monarch_tile.alloc_ring : <1, tensor<64x128xbf16, #staged>>
// CHECK: monarch_tile.role "consumer"
// CHECK: scf.for
// CHECK-NEXT: monarch_tile.store %{{.*}} : tensor<64xf32, #rows>
// CHECK-NEXT: monarch_tile.await_out pending 1
// CHECK-NEXT: monarch_tile.stage %{{.*}} to %[[P0:.+]] :
// CHECK-NEXT: monarch_tile.stage %{{.*}} to %[[P0]] {column_offset = 64 : i64}
// CHECK-NEXT: monarch_tile.copy_out %[[P0]] to %{{.*}}[%{{.*}}, %{{.*}}] limit %{{.*}} {evict = "first",
// CHECK-NEXT: monarch_tile.await_out pending 1
// CHECK-NEXT: monarch_tile.stage %{{.*}} to %[[P1:.+]] :
// CHECK-NEXT: monarch_tile.stage %{{.*}} to %[[P1]] {column_offset = 64 : i64}
// CHECK-NEXT: monarch_tile.copy_out %[[P1]]
// Shared memory lives until the last copy has read it.
// CHECK-NEXT: {{^ +[}]$}}
// CHECK-NEXT: monarch_tile.await_out pending 0
func.func @outputs(%aL: memref<?x8x9x8x128xbf16>, %y: memref<?x8x9x8x128xbf16>, %c: memref<?x8x9x8xf32>, %v: tensor<64x64xf32, #acc>, %s: tensor<64xf32, #stat>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.forall (%i) in (%n) {
    monarch_tile.role "consumer" warps 12 from 0 registers 0 {
      scf.for %k = %c0 to %n step %c1 {
        monarch_tile.store %s, %c[%i, %k] limit %n {in_bounds = array<i1: true, true, true, true>, map = #row} : tensor<64xf32, #stat>, memref<?x8x9x8xf32>
        monarch_tile.store %v, %aL[%i, %k] limit %n interleave {in_bounds = array<i1: true, true, true, true>, map = #row} : tensor<64x64xf32, #acc>, memref<?x8x9x8x128xbf16>
        monarch_tile.store %v, %aL[%i, %k] limit %n interleave {column_offset = 64 : i64, in_bounds = array<i1: true, true, true, true>, map = #row} : tensor<64x64xf32, #acc>, memref<?x8x9x8x128xbf16>
        monarch_tile.store %v, %y[%i, %k] limit %n interleave {in_bounds = array<i1: true, true, true, true>, map = #row} : tensor<64x64xf32, #acc>, memref<?x8x9x8x128xbf16>
        monarch_tile.store %v, %y[%i, %k] limit %n interleave {column_offset = 64 : i64, in_bounds = array<i1: true, true, true, true>, map = #row} : tensor<64x64xf32, #acc>, memref<?x8x9x8x128xbf16>
      }
    }
  }
  return
}
