// RUN: monarch-opt %s --monarch-tile-stage-outputs --split-input-file --verify-diagnostics | FileCheck %s

// CHECK: #swizzled = #monarch_tile.layout<swizzled, warps = 4, rows = 1>
#row = affine_map<(d0, d1, d2) -> (d0, d2 floordiv 8, d1, d2 mod 8)>
#acc = #monarch_tile.layout<acc, warps = 4>
#stat = #monarch_tile.layout<rows, warps = 4>
#wide = #monarch_tile.layout<acc, warps = 12>

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

// Where another role awaits that rows are there (a ring), it copies them out: for
// each warpgroup a thread, which says when the place is free again, as at first,
// and then that rows are complete, in memory and not only read. Rows are kept in
// the L2 cache.
// CHECK-LABEL: func.func @signalled
// CHECK: %[[P:.+]] = monarch_tile.alloc_ring : <1, tensor<192x128xbf16, #staged{{.*}}>>
// CHECK: %[[TAKEN:.+]] = monarch_tile.alloc_signal : <6>
// CHECK: %[[STAGED:.+]] = monarch_tile.alloc_signal : <6>
// CHECK: monarch_tile.role "producer" warps 1 from 12 registers 0 teams 3 {
// CHECK: monarch_tile.raise %[[TAKEN]][%c0] parts 3
// CHECK-NEXT: scf.for %[[T:.+]] =
// CHECK-NEXT: monarch_tile.await_signal %[[STAGED]][%[[T]]] parts 3
// CHECK-NEXT: monarch_tile.copy_out %[[P]] to %{{.*}}[%{{.*}}, %[[T]]] {evict = "last",
// CHECK-NEXT: monarch_tile.await_out pending 0
// CHECK-NEXT: %[[NEXT:.+]] = arith.addi %[[T]], %c1
// CHECK-NEXT: monarch_tile.raise %[[TAKEN]][%[[NEXT]]] parts 3
// CHECK-NEXT: monarch_tile.await_out pending 0 complete
// CHECK-NEXT: monarch_tile.raise %{{.*}}[%[[T]]] : <4>
// CHECK: monarch_tile.role "consumer" warps 12
// CHECK-NEXT: scf.for %[[K:.+]] =
// CHECK-NEXT: monarch_tile.await_signal %[[TAKEN]][%[[K]]] parts 3
// CHECK-NEXT: monarch_tile.stage %{{.*}} to %[[P]]
// CHECK-NEXT: monarch_tile.stage %{{.*}} to %[[P]] {column_offset = 64 : i64}
// CHECK-NEXT: monarch_tile.raise %[[STAGED]][%[[K]]] parts 3
// CHECK-NEXT: }
// CHECK-NEXT: }
func.func @signalled(%y: memref<?x8x9x8x128xbf16>, %v: tensor<192x64xf32, #wide>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.forall (%i) in (%n) {
    %staged = monarch_tile.alloc_signal : <6>
    %written = monarch_tile.alloc_signal : <4>
    monarch_tile.role "producer" warps 1 from 12 registers 0 teams 3 {
    ^bb0(%its: index):
      scf.for %k = %c0 to %n step %c1 {
        monarch_tile.await_signal %staged[%k] parts 3 : <6>
        monarch_tile.raise %written[%k] : <4>
      }
    }
    monarch_tile.role "consumer" warps 12 from 0 registers 0 {
      scf.for %k = %c0 to %n step %c1 {
        monarch_tile.store %v, %y[%i, %k] interleave {in_bounds = array<i1: true, true, true, true>, map = #row} : tensor<192x64xf32, #wide>, memref<?x8x9x8x128xbf16>
        monarch_tile.store %v, %y[%i, %k] interleave {column_offset = 64 : i64, in_bounds = array<i1: true, true, true, true>, map = #row} : tensor<192x64xf32, #wide>, memref<?x8x9x8x128xbf16>
        monarch_tile.raise %staged[%k] parts 3 : <6>
      }
    }
  }
  return
}

// Teams of a role have a place each, and their threads know which they are for.
// CHECK-LABEL: func.func @teams
// CHECK: %[[P:.+]] = monarch_tile.alloc_ring : <2, tensor<64x128xbf16, #staged{{.*}}>>
// CHECK: monarch_tile.role "producer" warps 1 from 8 registers 0 teams 2 {
// CHECK-NEXT: ^bb0(%[[ITS:.+]]: index):
// CHECK: scf.for %[[T:.+]] =
// CHECK: monarch_tile.copy_out %[[P]] to %{{.*}}[%[[ITS]], %[[T]]]
// CHECK: monarch_tile.role "consumer" warps 4 from 0 registers 0 teams 2 {
// CHECK-NEXT: ^bb0(%[[TEAM:.+]]: index):
// CHECK: monarch_tile.stage %{{.*}} to %[[P]]
func.func @teams(%y: memref<?x8x9x8x128xbf16>, %v: tensor<64x64xf32, #acc>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.forall (%i) in (%n) {
    %staged = monarch_tile.alloc_signal : <2>
    %written = monarch_tile.alloc_signal : <8>
    monarch_tile.role "producer" warps 1 from 8 registers 0 teams 2 {
    ^bb0(%its: index):
      scf.for %k = %c0 to %n step %c1 {
        monarch_tile.await_signal %staged[%k] parts 2 : <2>
        monarch_tile.raise %written[%k] parts 2 : <8>
      }
    }
    monarch_tile.role "consumer" warps 4 from 0 registers 0 teams 2 {
    ^bb0(%team: index):
      scf.for %k = %c0 to %n step %c1 {
        monarch_tile.store %v, %y[%team, %k] interleave {in_bounds = array<i1: true, true, true, true>, map = #row} : tensor<64x64xf32, #acc>, memref<?x8x9x8x128xbf16>
        monarch_tile.store %v, %y[%team, %k] interleave {column_offset = 64 : i64, in_bounds = array<i1: true, true, true, true>, map = #row} : tensor<64x64xf32, #acc>, memref<?x8x9x8x128xbf16>
        monarch_tile.raise %staged[%k] parts 2 : <2>
      }
    }
  }
  return
}

// Settled rows leave by a tensor map, from its swizzle.
// CHECK-LABEL: func.func @settled
// CHECK: %[[P:.+]] = monarch_tile.alloc_ring : <1, tensor<64x256xbf16, #swizzled>>
// CHECK: monarch_tile.copy_out %[[P]] to %nearInto
// CHECK: monarch_tile.stage %{{.*}} to %[[P]]
func.func @settled(%ring: memref<?x4x64x8x256xbf16>, %scratch: memref<8xi32>, %v: tensor<64x256xf32, #acc>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.forall (%p) in (8) {
    %number, %near, %nearInto = monarch_tile.settle %p, %ring, %ring, %scratch programs 8 writers 3 pairs 4 : memref<?x4x64x8x256xbf16>, memref<8xi32>
    %staged = monarch_tile.alloc_signal : <1>
    monarch_tile.role "producer" warps 1 from 4 registers 0 {
      scf.for %k = %c0 to %n step %c1 {
        monarch_tile.await_signal %staged[%k] : <1>
      }
    }
    monarch_tile.role "consumer" warps 4 from 0 registers 0 {
      scf.for %k = %c0 to %n step %c1 {
        monarch_tile.store %v, %nearInto[%c0, %k] interleave {in_bounds = array<i1: true, true, true, true>, map = #row} : tensor<64x256xf32, #acc>, memref<?x4x64x8x256xbf16>
        monarch_tile.raise %staged[%k] : <1>
      }
    }
  }
  return
}

// -----

// A signal that nobody awaits says nothing of rows.
#row = affine_map<(d0, d1, d2) -> (d0, d2 floordiv 8, d1, d2 mod 8)>
#wide = #monarch_tile.layout<acc, warps = 12>
func.func @unheard(%y: memref<?x8x9x8x64xbf16>, %v: tensor<192x64xf32, #wide>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.forall (%i) in (%n) {
    %staged = monarch_tile.alloc_signal : <6>
    monarch_tile.role "consumer" warps 12 from 0 registers 0 {
      scf.for %k = %c0 to %n step %c1 {
        monarch_tile.store %v, %y[%i, %k] interleave {in_bounds = array<i1: true, true, true, true>, map = #row} : tensor<192x64xf32, #wide>, memref<?x8x9x8x64xbf16>
        // expected-error @below {{expected rows of one memory, and a producer whose teams await the signal in a loop}}
        monarch_tile.raise %staged[%k] parts 3 : <6>
      }
    }
  }
  return
}
