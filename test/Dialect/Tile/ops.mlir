// RUN: monarch-opt %s | monarch-opt | FileCheck %s
// RUN: monarch-opt %s --mlir-print-op-generic | monarch-opt | FileCheck %s

// Every op, type and attribute of the monarch_tile dialect, printed and parsed.

#rows = affine_map<(d0, d1) -> (d0 + d1)>
#shared = #monarch_tile.layout<shared, warps = 2>
#lhs = #monarch_tile.layout<lhs, warps = 2>
#acc = #monarch_tile.layout<acc, warps = 2>
#row = #monarch_tile.layout<rows, warps = 2>
#column = #monarch_tile.layout<columns, warps = 2>

// CHECK-DAG: #acc = #monarch_tile.layout<acc, warps = 2>
// CHECK-DAG: #columns = #monarch_tile.layout<columns, warps = 2>
// CHECK-DAG: #lhs = #monarch_tile.layout<lhs, warps = 2>
// CHECK-DAG: #rows = #monarch_tile.layout<rows, warps = 2>
// CHECK-DAG: #shared = #monarch_tile.layout<shared, warps = 2>

// CHECK-LABEL: func.func @tiled
func.func @tiled(%m: memref<?x64xbf16>, %o: memref<?x64xf32>, %i: index) {
  // CHECK: monarch_tile.load %{{.*}}[%{{.*}}] limit %{{.*}} {in_bounds = array<i1: false>, map = #{{.*}}} : memref<?x64xbf16> -> tensor<32x64xf32>
  %a = monarch_tile.load %m[%i] limit %i {in_bounds = array<i1: false>, map = #rows} : memref<?x64xbf16> -> tensor<32x64xf32>
  // CHECK: monarch_tile.load %{{.*}}[%{{.*}}] into %{{.*}} : tensor<32x64xf32> {in_bounds
  %into = monarch_tile.load %m[%i] into %a : tensor<32x64xf32> {in_bounds = array<i1: true>, map = #rows} : memref<?x64xbf16> -> tensor<32x64xf32>
  // CHECK: monarch_tile.load %{{.*}}[%{{.*}}] interleave
  %b = monarch_tile.load %m[%i] interleave {in_bounds = array<i1: true>, map = #rows} : memref<?x64xbf16> -> tensor<16x64xf32>
  // CHECK: monarch_tile.in_bounds %{{.*}}[%{{.*}}] {{.*}} -> tensor<16xi1>
  %v = monarch_tile.in_bounds %m[%i] {in_bounds = array<i1: false>, map = #rows} : memref<?x64xbf16> -> tensor<16xi1>
  // CHECK: monarch_tile.dot %{{.*}}, %{{.*}} transposed_rhs : tensor<32x64xf32>, tensor<16x64xf32> -> tensor<32x16xf32>
  %s = monarch_tile.dot %a, %b transposed_rhs : tensor<32x64xf32>, tensor<16x64xf32> -> tensor<32x16xf32>
  // CHECK: monarch_tile.reduce "max" %{{.*}} axis 1 : tensor<32x16xf32> -> tensor<32xf32>
  %r = monarch_tile.reduce "max" %s axis 1 : tensor<32x16xf32> -> tensor<32xf32>
  // CHECK: monarch_tile.broadcast %{{.*}} axis 1 : tensor<32xf32> -> tensor<32x16xf32>
  %w = monarch_tile.broadcast %r axis 1 : tensor<32xf32> -> tensor<32x16xf32>
  // CHECK: monarch_tile.dot %{{.*}}, %{{.*}} {rhs_offset = 32 : i64} : tensor<32x16xf32>, tensor<16x64xf32> -> tensor<32x32xf32>
  %p = monarch_tile.dot %w, %b {rhs_offset = 32 : i64} : tensor<32x16xf32>, tensor<16x64xf32> -> tensor<32x32xf32>
  // CHECK: monarch_tile.dot %{{.*}} transposed, %{{.*}} acc %{{.*}} : tensor<16x64xf32>
  %c = arith.constant dense<0.0> : tensor<16x64xf32>
  %t = monarch_tile.dot %w transposed, %a acc %c : tensor<16x64xf32> : tensor<32x16xf32>, tensor<32x64xf32> -> tensor<16x64xf32>
  // CHECK: monarch_tile.store %{{.*}}, %{{.*}}[%{{.*}}] {column_offset = 32 : i64, in_bounds = array<i1: true>, map = #{{.*}}} : tensor<32x32xf32>, memref<?x64xf32>
  monarch_tile.store %p, %o[%i] {column_offset = 32 : i64, in_bounds = array<i1: true>, map = #rows} : tensor<32x32xf32>, memref<?x64xf32>
  return
}

// CHECK-LABEL: func.func @mapped
func.func @mapped(%m: memref<?x64xbf16>, %i: index, %e: i1, %a: tensor<32x64xbf16, #lhs>, %p: tensor<32x16xbf16, #acc>, %bias: tensor<16x8xf32, #monarch_tile.layout<staged, warps = 4>>) {
  // CHECK: monarch_tile.alloc_ring : <2, tensor<16x64xbf16, #shared>>
  %ring = monarch_tile.alloc_ring : <2, tensor<16x64xbf16, #shared>>
  // CHECK: monarch_tile.copy_async %{{.*}}[%{{.*}}] limit %{{.*}} to %{{.*}}[%{{.*}}] if %{{.*}}
  monarch_tile.copy_async %m[%i] limit %i to %ring[%i] if %e {in_bounds = array<i1: true>, map = #rows} : memref<?x64xbf16> -> <2, tensor<16x64xbf16, #shared>>
  // CHECK: monarch_tile.commit
  monarch_tile.commit
  // CHECK: monarch_tile.wait 0{{$}}
  monarch_tile.wait 0
  // CHECK: monarch_tile.read %{{.*}}[%{{.*}}] : <2, {{.*}}> -> tensor<16x64xbf16, #shared>
  %k = monarch_tile.read %ring[%i] : <2, tensor<16x64xbf16, #shared>> -> tensor<16x64xbf16, #shared>
  %s = monarch_tile.dot %a, %k transposed_rhs : tensor<32x64xbf16, #lhs>, tensor<16x64xbf16, #shared> -> tensor<32x16xf32, #acc>
  // CHECK: tensor<32xf32, #rows>
  %r = monarch_tile.reduce "sum" %s axis 1 : tensor<32x16xf32, #acc> -> tensor<32xf32, #row>
  // CHECK: tensor<16xi1, #columns>
  %v = monarch_tile.in_bounds %m[%i] {in_bounds = array<i1: false>, map = #rows} : memref<?x64xbf16> -> tensor<16xi1, #column>
  // CHECK: monarch_tile.column %{{.*}}[%{{.*}}] : tensor<16x8xf32, #staged{{.*}}> -> tensor<16xf32, #columns>
  %y = monarch_tile.column %bias[%i] : tensor<16x8xf32, #monarch_tile.layout<staged, warps = 4>> -> tensor<16xf32, #column>
  // CHECK: monarch_tile.convert_layout %{{.*}} : tensor<32x16xbf16, #acc> -> tensor<32x16xbf16, #lhs>
  %l = monarch_tile.convert_layout %p : tensor<32x16xbf16, #acc> -> tensor<32x16xbf16, #lhs>
  return
}

#box = affine_map<(d0, d1) -> (0, 0, d0, d1, 0)>
#runs = affine_map<(d0, d1) -> (d0, d1 floordiv 8, d1 mod 8)>
#swizzled = #monarch_tile.layout<swizzled, warps = 4>
#staged = #monarch_tile.layout<staged, warps = 4>

// CHECK-LABEL: func.func @specialized
func.func @specialized(%k: memref<1x1x4x40x1x64xbf16>, %m: memref<?x8x8x64xbf16>, %a: tensor<64x64xf32, #acc>, %i: index) {
  // CHECK: %[[RING:.+]] = monarch_tile.alloc_ring : <2, tensor<40x64xbf16, #swizzled>>
  %ring = monarch_tile.alloc_ring : <2, tensor<40x64xbf16, #swizzled>>
  // CHECK: monarch_tile.role "producer" warps 4 from 12 registers 24 {
  monarch_tile.role "producer" warps 4 from 12 registers 24 {
    // CHECK: monarch_tile.copy_bulk %{{.*}}[%{{.*}}] box [1, 1, 40, 1, 64] to %[[RING]][%{{.*}}] {map = #{{.*}}} : memref<1x1x4x40x1x64xbf16> -> <2, tensor<40x64xbf16, #swizzled>>
    monarch_tile.copy_bulk %k[%i] box [1, 1, 40, 1, 64] to %ring[%i] {map = #box} : memref<1x1x4x40x1x64xbf16> -> <2, tensor<40x64xbf16, #swizzled>>
  }
  // CHECK: monarch_tile.role "consumer" warps 12 from 0 registers 0 {
  monarch_tile.role "consumer" warps 12 from 0 registers 0 {
    // CHECK: monarch_tile.acquire %[[RING]][%{{.*}}] : <2, tensor<40x64xbf16, #swizzled>> -> tensor<40x64xbf16, #swizzled>
    %t = monarch_tile.acquire %ring[%i] : <2, tensor<40x64xbf16, #swizzled>> -> tensor<40x64xbf16, #swizzled>
    // CHECK: monarch_tile.await %{{.*}} pending 1 : tensor<64x64xf32, #acc>
    %w = monarch_tile.await %a pending 1 : tensor<64x64xf32, #acc>
    // CHECK: monarch_tile.release %[[RING]][%{{.*}}] : !monarch_tile.ring<2, tensor<40x64xbf16, #swizzled>>
    monarch_tile.release %ring[%i] : !monarch_tile.ring<2, tensor<40x64xbf16, #swizzled>>
  }
  // CHECK: %[[PLACE:.+]] = monarch_tile.alloc_ring : <1, tensor<64x64xbf16, #staged>>
  %place = monarch_tile.alloc_ring : <1, tensor<64x64xbf16, #staged>>
  // CHECK: monarch_tile.await_out pending 1
  monarch_tile.await_out pending 1
  // CHECK: monarch_tile.stage %{{.*}} to %[[PLACE]] : tensor<64x64xf32, #acc> -> <1, tensor<64x64xbf16, #staged>>
  monarch_tile.stage %a to %place : tensor<64x64xf32, #acc> -> <1, tensor<64x64xbf16, #staged>>
  // CHECK: monarch_tile.copy_out %[[PLACE]] to %{{.*}}[%{{.*}}] limit %{{.*}} {evict = "first", in_bounds = array<i1: true, true, true>, map = #{{.*}}} : <1, tensor<64x64xbf16, #staged>> -> memref<?x8x8x64xbf16>
  monarch_tile.copy_out %place to %m[%i] limit %i {evict = "first", in_bounds = array<i1: true, true, true>, map = #runs} : <1, tensor<64x64xbf16, #staged>> -> memref<?x8x8x64xbf16>
  return
}

// CHECK-LABEL: func.func @exchange
func.func @exchange(%a: tensor<64x64xf32>, %c: tensor<64xf32>, %q: tensor<128x64xbf16>, %i: index, %n: index) {
  // CHECK: %[[X:.+]] = monarch_tile.alloc_exchange : <8, 3, [tensor<64x64xbf16>, tensor<64xf32>]>
  %x = monarch_tile.alloc_exchange : <8, 3, [tensor<64x64xbf16>, tensor<64xf32>]>
  // CHECK: monarch_tile.reserve %[[X]][%{{.*}}] : <8, 3, [tensor<64x64xbf16>, tensor<64xf32>]>
  monarch_tile.reserve %x[%i] : <8, 3, [tensor<64x64xbf16>, tensor<64xf32>]>
  // CHECK: monarch_tile.send %{{.*}} to %[[X]][%{{.*}}] limit %{{.*}} part 0 : tensor<64x64xf32> -> <8, 3, [tensor<64x64xbf16>, tensor<64xf32>]>
  monarch_tile.send %a to %x[%i] limit %n part 0 : tensor<64x64xf32> -> <8, 3, [tensor<64x64xbf16>, tensor<64xf32>]>
  monarch_tile.send %c to %x[%i] part 1 : tensor<64xf32> -> <8, 3, [tensor<64x64xbf16>, tensor<64xf32>]>
  // CHECK: %{{.*}}:2 = monarch_tile.receive %[[X]][%{{.*}}] limit %{{.*}} : <8, 3, [tensor<64x64xbf16>, tensor<64xf32>]> -> tensor<64x64xbf16>, tensor<64xf32>
  %k, %b = monarch_tile.receive %x[%i] limit %n : <8, 3, [tensor<64x64xbf16>, tensor<64xf32>]> -> tensor<64x64xbf16>, tensor<64xf32>
  // 8 groups of 16 rows, each against 8 of 64.
  // CHECK: monarch_tile.dot %{{.*}}, %{{.*}} transposed_rhs {groups = 8 : i64} : tensor<128x64xbf16>, tensor<64x64xbf16> -> tensor<128x8xf32>
  %s = monarch_tile.dot %q, %k transposed_rhs {groups = 8 : i64} : tensor<128x64xbf16>, tensor<64x64xbf16> -> tensor<128x8xf32>
  // CHECK: monarch_tile.broadcast %{{.*}} axis 0 {groups = 8 : i64} : tensor<64xf32> -> tensor<128x8xf32>
  %t = monarch_tile.broadcast %b axis 0 {groups = 8 : i64} : tensor<64xf32> -> tensor<128x8xf32>
  // CHECK: monarch_tile.release %[[X]][%{{.*}}]
  monarch_tile.release %x[%i] : !monarch_tile.exchange<8, 3, [tensor<64x64xbf16>, tensor<64xf32>]>
  return
}

// CHECK-LABEL: func.func @persistent
func.func @persistent(%counts: memref<4xi32>, %i: index, %n: index) {
  // CHECK: %[[S:.+]] = monarch_tile.alloc_signal : <4>
  %s = monarch_tile.alloc_signal : <4>
  // CHECK: monarch_tile.role "producer" warps 8 from 12 registers 24 {
  monarch_tile.role "producer" warps 8 from 12 registers 24 {
    // CHECK: monarch_tile.role "producer" warps 1 from 0 registers 0 teams 2 lanes 8 {
    monarch_tile.role "producer" warps 1 from 0 registers 0 teams 2 lanes 8 {
    // CHECK-NEXT: ^bb0(%[[TEAM:.+]]: index):
    ^bb0(%team: index):
      // CHECK: monarch_tile.await_count %{{.*}}[%[[TEAM]]] least %{{.*}} : memref<4xi32>
      monarch_tile.await_count %counts[%team] least %n : memref<4xi32>
      // CHECK: monarch_tile.await_count %{{.*}}[%[[TEAM]]] least %{{.*}} reset : memref<4xi32>
      monarch_tile.await_count %counts[%team] least %n reset : memref<4xi32>
      // CHECK: monarch_tile.add_count %{{.*}}[%{{.*}}] : memref<4xi32>
      monarch_tile.add_count %counts[%i] : memref<4xi32>
      // CHECK: monarch_tile.add_count %{{.*}}[%{{.*}}] reads : memref<4xi32>
      monarch_tile.add_count %counts[%i] reads : memref<4xi32>
      // CHECK: monarch_tile.raise %[[S]][%{{.*}}] : <4>
      monarch_tile.raise %s[%i] : <4>
    }
  }
  // CHECK: monarch_tile.role beside "consumer" warps 12 from 0 registers 144 {
  monarch_tile.role beside "consumer" warps 12 from 0 registers 144 {
    // CHECK: monarch_tile.await_out pending 0 complete
    monarch_tile.await_out pending 0 complete
    // CHECK: monarch_tile.raise %{{.*}}[%{{.*}}] parts 3 : <6>
    %p = monarch_tile.alloc_signal : <6>
    monarch_tile.raise %p[%i] parts 3 : <6>
    // CHECK: monarch_tile.wait 0 parts 3
    monarch_tile.wait 0 parts 3
    // CHECK: monarch_tile.await_signal %[[S]][%{{.*}}] : <4>
    monarch_tile.await_signal %s[%i] : <4>
  }
  return
}

// CHECK-LABEL: func.func @settle
func.func @settle(%p: index, %m: memref<?x4x64x8x256xbf16>, %s: memref<8xi32>) {
  // CHECK: %{{.*}}, %{{.*}}, %{{.*}} = monarch_tile.settle %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} programs 8 writers 3 pairs 4 : memref<?x4x64x8x256xbf16>, memref<8xi32>
  %n, %near, %into = monarch_tile.settle %p, %m, %m, %s programs 8 writers 3 pairs 4 : memref<?x4x64x8x256xbf16>, memref<8xi32>
  // CHECK: monarch_tile.alloc_ring : <2, tensor<32x256xbf16, #swizzled{{[0-9]*}}>>
  %r = monarch_tile.alloc_ring : <2, tensor<32x256xbf16, #monarch_tile.layout<swizzled, warps = 4, rows = 8>>>
  return
}

// CHECK-LABEL: func.func @teams
func.func @teams(%v: tensor<16xf32>, %n: index) {
  // CHECK: monarch_tile.role "consumer" warps 1 from 8 registers 192 teams 4 {
  monarch_tile.role "consumer" warps 1 from 8 registers 192 teams 4 {
  ^bb0(%team: index):
    // CHECK: monarch_tile.reduce_teams "max" %{{.*}} : tensor<16xf32>
    %m = monarch_tile.reduce_teams "max" %v : tensor<16xf32>
    // CHECK: monarch_tile.raise %{{.*}}[%{{.*}}] parts 4 : <4>
    %s = monarch_tile.alloc_signal : <4>
    monarch_tile.raise %s[%n] parts 4 : <4>
  }
  return
}

// CHECK-LABEL: func.func @raise_maximum
func.func @raise_maximum(%m: tensor<64xf32>, %s: tensor<64x16xf32>, %o: tensor<64x128xf32>) {
  // CHECK: monarch_tile.raise_maximum %{{.*}}, %{{.*}} slack 8.000000e+00 : tensor<64xf32>, tensor<64x16xf32>{{$}}
  // CHECK: %{{.*}}, %{{.*}}:2 = monarch_tile.raise_maximum %{{.*}}, %{{.*}} slack 8.000000e+00 rescaling %{{.*}}, %{{.*}} : tensor<64xf32>, tensor<64x16xf32>, tensor<64x16xf32>, tensor<64x128xf32>
  %x = monarch_tile.raise_maximum %m, %s slack 8.0 : tensor<64xf32>, tensor<64x16xf32>
  %n, %r:2 = monarch_tile.raise_maximum %m, %s slack 8.0 rescaling %s, %o : tensor<64xf32>, tensor<64x16xf32>, tensor<64x16xf32>, tensor<64x128xf32>
  return
}

// CHECK-LABEL: func.func @fold
func.func @fold(%p: tensor<64x32xf32>) {
  // CHECK: monarch_tile.fold %{{.*}} : tensor<64x32xf32> -> tensor<64x8xf32>
  %z = monarch_tile.fold %p : tensor<64x32xf32> -> tensor<64x8xf32>
  return
}
