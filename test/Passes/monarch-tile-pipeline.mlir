// RUN: monarch-opt %s --monarch-tile-pipeline --split-input-file --verify-diagnostics | FileCheck %s

#map = affine_map<(d0, d1) -> (0, 0, d0 + d1)>
#twice = affine_map<(d0) -> (d0 * 2)>
#shared = #monarch_tile.layout<shared, warps = 2>
#lhs = #monarch_tile.layout<lhs, warps = 2>
#acc = #monarch_tile.layout<acc, warps = 2>

// Three stages: two copies before the loop, each turn waits for all but one
// group and starts the copy two turns ahead.
// CHECK-LABEL: func.func @loop
// CHECK: scf.forall
// CHECK: %[[RING:.+]] = monarch_tile.alloc_ring : <3, tensor<16x64xbf16, #shared>>
// CHECK: monarch_tile.copy_async %{{.*}} to %[[RING]][%{{.*}}] if
// CHECK: monarch_tile.commit
// CHECK: monarch_tile.copy_async %{{.*}} to %[[RING]][%{{.*}}] if
// CHECK: monarch_tile.commit
// CHECK: scf.for %[[I:.+]] = %{{.*}} to %[[N:.+]] step %{{.*}} iter_args(%[[STAGE:.+]] = %{{.*}}) -> (index) {
// CHECK-NEXT: monarch_tile.wait 1
// CHECK: %[[AHEAD:.+]] = arith.addi %[[I]],
// CHECK: %[[MORE:.+]] = arith.cmpi slt, %[[AHEAD]], %[[N]]
// The address of the later copy is recomputed from its own turn.
// CHECK: %[[AT:.+]] = affine.apply #{{.*}}(%[[AHEAD]])
// CHECK: monarch_tile.copy_async %{{.*}}[%[[AT]]] to %[[RING]][%{{.*}}] if %[[MORE]]
// CHECK: monarch_tile.commit
// CHECK: %[[K:.+]] = monarch_tile.read %[[RING]][%[[STAGE]]]
// CHECK: monarch_tile.dot %{{.*}}, %[[K]]
// CHECK-NOT: monarch_tile.load
// CHECK: scf.yield
func.func @loop(%x: memref<?x1x64x64xbf16>, %a: tensor<32x64xbf16, #lhs>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 32, columns = 16, warps = 2, stages = 3, chunk = 32, element = bf16>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.forall (%i) in (%n) {
    scf.for %c = %c0 to %n step %c1 {
      %at = affine.apply #twice(%c)
      %k = monarch_tile.load %x[%at] {in_bounds = array<i1: true, true, true>, map = #map} : memref<?x1x64x64xbf16> -> tensor<16x64xbf16, #shared>
      %s = monarch_tile.dot %a, %k transposed_rhs : tensor<32x64xbf16, #lhs>, tensor<16x64xbf16, #shared> -> tensor<32x16xf32, #acc>
    }
  }
  return
}

// -----

#map = affine_map<(d0, d1) -> (0, 0, d0 + d1)>
#shared = #monarch_tile.layout<shared, warps = 2>

// Without a loop one stage is filled and waited for.
// CHECK-LABEL: func.func @straight
// CHECK: %[[RING:.+]] = monarch_tile.alloc_ring : <1,
// CHECK-NEXT: monarch_tile.copy_async
// CHECK-NEXT: monarch_tile.commit
// CHECK-NEXT: monarch_tile.wait 0
// CHECK-NEXT: monarch_tile.read %[[RING]]
func.func @straight(%x: memref<?x1x64x64xbf16>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 32, columns = 16, warps = 2, stages = 3, chunk = 32, element = bf16>} {
  scf.forall (%i) in (%n) {
    %k = monarch_tile.load %x[%i] {in_bounds = array<i1: true, true, true>, map = #map} : memref<?x1x64x64xbf16> -> tensor<16x64xbf16, #shared>
  }
  return
}

// -----

// expected-error @below {{expected a schedule of at least 2 stages, got 1}}
func.func @one_stage() attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 32, columns = 16, warps = 2, stages = 1, chunk = 32, element = bf16>} {
  return
}

// -----

#rows = affine_map<(d0, d1) -> (0, 0, d0 + d1, 0)>
#swizzled = #monarch_tile.layout<swizzled, warps = 4>
#lhs = #monarch_tile.layout<lhs, warps = 4>
#acc = #monarch_tile.layout<acc, warps = 4>

// Factors that wgmma reads keep their swizzle.
// CHECK-LABEL: func.func @swizzled
// CHECK: %[[RING:.+]] = monarch_tile.alloc_ring : <2, tensor<64x128xbf16, #swizzled>>
// CHECK: monarch_tile.copy_async %{{.*}} to %[[RING]]
// CHECK: scf.for
// CHECK-NEXT: monarch_tile.wait 0
// CHECK: monarch_tile.read %[[RING]]{{.*}} -> tensor<64x128xbf16, #swizzled>
func.func @swizzled(%x: memref<?x1x256x1x128xbf16>, %a: tensor<64x128xbf16, #lhs>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 64, warps = 4, stages = 2, chunk = 64, element = bf16>} {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  scf.forall (%i) in (%n) {
    scf.for %c = %c0 to %n step %c64 {
      %k = monarch_tile.load %x[%c] {in_bounds = array<i1: true, true, true, true>, map = #rows} : memref<?x1x256x1x128xbf16> -> tensor<64x128xbf16, #swizzled>
      %s = monarch_tile.dot %a, %k transposed_rhs : tensor<64x128xbf16, #lhs>, tensor<64x128xbf16, #swizzled> -> tensor<64x64xf32, #acc>
    }
  }
  return
}
