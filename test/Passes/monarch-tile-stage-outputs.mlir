// RUN: monarch-opt %s --monarch-tile-stage-outputs | FileCheck %s

#row = affine_map<(d0, d1, d2) -> (d0, d2 floordiv 8, d1, d2 mod 8)>
#acc = #monarch_tile.layout<acc, warps = 4>
#stat = #monarch_tile.layout<rows, warps = 4>

// Two outputs in two chunks each: two places, and a chunk waits for the copies
// of its own place only.
// CHECK-LABEL: func.func @outputs
// CHECK: scf.forall
// CHECK: monarch_tile.role "consumer"
// CHECK-DAG: %[[A:.+]] = monarch_tile.alloc_ring : <1, tensor<64x128xbf16, #staged>>
// CHECK-DAG: %[[Y:.+]] = monarch_tile.alloc_ring : <1, tensor<64x128xbf16, #staged>>
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

// Where rows are signalled to others (a ring), copies of the turn before have to
// be complete, in memory and not only read, when its signal is raised: at the
// last moment, before the wait for the place of this turn. The last turn's is
// raised behind the loop. Rows are kept in the L2 cache.
// CHECK-LABEL: func.func @signalled
// CHECK: scf.for %[[T:.+]] = %c0 to %[[N:.+]] step %c1
// CHECK-NEXT: monarch_tile.await_out pending 0 complete
// CHECK-NEXT: %[[BEFORE:.+]] = arith.subi %[[T]], %c1
// CHECK-NEXT: %[[EXISTS:.+]] = arith.cmpi sgt, %[[T]], %c0
// CHECK-NEXT: monarch_tile.raise %[[WRITTEN:.+]][%[[BEFORE]]] if %[[EXISTS]]
// CHECK-NEXT: monarch_tile.await_signal
// CHECK-NEXT: monarch_tile.stage
// CHECK-NEXT: monarch_tile.stage
// CHECK-NEXT: monarch_tile.copy_out {{.*}} {evict = "last",
// CHECK-NEXT: {{^ +[}]$}}
// CHECK-NEXT: monarch_tile.await_out pending 0 complete
// CHECK-NEXT: %[[LAST:.+]] = arith.subi %[[N]], %c1
// CHECK-NEXT: %[[SOME:.+]] = arith.cmpi sgt, %[[N]], %c0
// CHECK-NEXT: monarch_tile.raise %[[WRITTEN]][%[[LAST]]] if %[[SOME]]
func.func @signalled(%y: memref<?x8x9x8x128xbf16>, %v: tensor<64x64xf32, #acc>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.forall (%i) in (%n) {
    %free = monarch_tile.alloc_signal : <4>
    %written = monarch_tile.alloc_signal : <4>
    monarch_tile.role "consumer" warps 12 from 0 registers 0 {
      scf.for %k = %c0 to %n step %c1 {
        monarch_tile.await_signal %free[%k] : <4>
        monarch_tile.store %v, %y[%i, %k] interleave {in_bounds = array<i1: true, true, true, true>, map = #row} : tensor<64x64xf32, #acc>, memref<?x8x9x8x128xbf16>
        monarch_tile.store %v, %y[%i, %k] interleave {column_offset = 64 : i64, in_bounds = array<i1: true, true, true, true>, map = #row} : tensor<64x64xf32, #acc>, memref<?x8x9x8x128xbf16>
        monarch_tile.raise %written[%k] : <4>
      }
    }
  }
  return
}
