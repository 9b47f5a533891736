// RUN: monarch-opt %s --convert-monarch-tile-to-nvvm --split-input-file | FileCheck %s

// Of rows of up to 160 columns a sum is formed when it is asked for: the sum of
// p first, which forms p, and the one of p * x when its row is stored.
#rows = #monarch_tile.layout<rows, warps = 1>
#acc = #monarch_tile.layout<acc, warps = 1>
#tile = affine_map<(d0, d1) -> (d0, d1)>
#sum = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
// CHECK-LABEL: llvm.func @narrow
// CHECK-NOT: trap
// CHECK: llvm.intr.fma
// CHECK-NOT: arith.addf %{{.+}}, %{{.+}} : f32
// CHECK: llvm.intr.fma
// CHECK-NOT: trap
func.func @narrow(%x: memref<?x16x160xf32>, %y: memref<?x2x16xf32>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 160, warps = 1, stages = 1, chunk = 64, element = bf16>} {
  scf.forall (%i) in (%n) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %t = monarch_tile.load %x[%i] {in_bounds = array<i1: true, true>, map = #tile} : memref<?x16x160xf32> -> tensor<16x160xf32, #acc>
    %p = math.exp2 %t : tensor<16x160xf32, #acc>
    %pt = arith.mulf %p, %t : tensor<16x160xf32, #acc>
    %z = monarch_tile.reduce "sum" %p axis 1 : tensor<16x160xf32, #acc> -> tensor<16xf32, #rows>
    %e = monarch_tile.reduce "sum" %pt axis 1 : tensor<16x160xf32, #acc> -> tensor<16xf32, #rows>
    monarch_tile.store %z, %y[%i, %c0] {in_bounds = array<i1: true, true, true>, map = #sum} : tensor<16xf32, #rows>, memref<?x2x16xf32>
    monarch_tile.store %e, %y[%i, %c1] {in_bounds = array<i1: true, true, true>, map = #sum} : tensor<16xf32, #rows>, memref<?x2x16xf32>
  }
  return
}

// -----

// Of wider rows both sums are formed together, row by row: x is dead once it has
// been added, and a block ends before the next row.
#rows = #monarch_tile.layout<rows, warps = 1>
#acc = #monarch_tile.layout<acc, warps = 1>
#tile = affine_map<(d0, d1) -> (d0, d1)>
#sum = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
// CHECK-LABEL: llvm.func @wide
// Columns 0 and 1, of which a product is a sum's first term; then those of 8.
// CHECK: %[[P0:.+]] = llvm.inline_asm "ex2.approx{{.+}} %[[X0:.+]] : (f32) -> f32
// CHECK: %[[E0:.+]] = arith.mulf %[[P0]], %[[X0]]
// CHECK: %[[P1:.+]] = llvm.inline_asm "ex2.approx{{.+}} %[[X1:.+]] : (f32) -> f32
// CHECK: %[[E1:.+]] = arith.mulf %[[P1]], %[[X1]]
// CHECK: %[[P2:.+]] = llvm.inline_asm "ex2.approx{{.+}} %[[X2:.+]] : (f32) -> f32
// CHECK-NEXT: %[[Z2:.+]] = arith.addf %[[P0]], %[[P2]]
// CHECK-NEXT: %[[E2:.+]] = llvm.intr.fma(%[[P2]], %[[X2]], %[[E0]])
// CHECK: %[[P3:.+]] = llvm.inline_asm "ex2.approx{{.+}} %[[X3:.+]] : (f32) -> f32
// CHECK-NEXT: arith.addf %[[P1]], %[[P3]]
// CHECK-NEXT: llvm.intr.fma(%[[P3]], %[[X3]], %[[E1]])
// CHECK-NOT: trap
// CHECK-COUNT-4: nvvm.shfl.sync bfly
// CHECK: llvm.inline_asm has_side_effects {{.+}}@p trap
// CHECK-COUNT-4: nvvm.shfl.sync bfly
// CHECK: llvm.inline_asm has_side_effects {{.+}}@p trap
// CHECK-NOT: trap
// CHECK-NOT: nvvm.shfl.sync
func.func @wide(%x: memref<?x16x168xf32>, %y: memref<?x2x16xf32>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 168, warps = 1, stages = 1, chunk = 64, element = bf16>} {
  scf.forall (%i) in (%n) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %t = monarch_tile.load %x[%i] {in_bounds = array<i1: true, true>, map = #tile} : memref<?x16x168xf32> -> tensor<16x168xf32, #acc>
    %p = math.exp2 %t : tensor<16x168xf32, #acc>
    %pt = arith.mulf %p, %t : tensor<16x168xf32, #acc>
    %z = monarch_tile.reduce "sum" %p axis 1 : tensor<16x168xf32, #acc> -> tensor<16xf32, #rows>
    %e = monarch_tile.reduce "sum" %pt axis 1 : tensor<16x168xf32, #acc> -> tensor<16xf32, #rows>
    monarch_tile.store %z, %y[%i, %c0] {in_bounds = array<i1: true, true, true>, map = #sum} : tensor<16xf32, #rows>, memref<?x2x16xf32>
    monarch_tile.store %e, %y[%i, %c1] {in_bounds = array<i1: true, true, true>, map = #sum} : tensor<16xf32, #rows>, memref<?x2x16xf32>
  }
  return
}

// -----

// A product with anything but the exponent may need the first sum: it waits.
#rows = #monarch_tile.layout<rows, warps = 1>
#acc = #monarch_tile.layout<acc, warps = 1>
#tile = affine_map<(d0, d1) -> (d0, d1)>
// CHECK-LABEL: llvm.func @after
// CHECK-COUNT-8: nvvm.shfl.sync bfly
// CHECK-NOT: trap
func.func @after(%x: memref<?x16x168xf32>, %y: memref<?x16xf32>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 168, warps = 1, stages = 1, chunk = 64, element = bf16>} {
  scf.forall (%i) in (%n) {
    %t = monarch_tile.load %x[%i] {in_bounds = array<i1: true, true>, map = #tile} : memref<?x16x168xf32> -> tensor<16x168xf32, #acc>
    %p = math.exp2 %t : tensor<16x168xf32, #acc>
    %z = monarch_tile.reduce "sum" %p axis 1 : tensor<16x168xf32, #acc> -> tensor<16xf32, #rows>
    %b = monarch_tile.broadcast %z axis 1 : tensor<16xf32, #rows> -> tensor<16x168xf32, #acc>
    %w = arith.addf %t, %b : tensor<16x168xf32, #acc>
    %pw = arith.mulf %p, %w : tensor<16x168xf32, #acc>
    %e = monarch_tile.reduce "sum" %pw axis 1 : tensor<16x168xf32, #acc> -> tensor<16xf32, #rows>
    monarch_tile.store %e, %y[%i] {in_bounds = array<i1: true, true>, map = #tile} : tensor<16xf32, #rows>, memref<?x16xf32>
  }
  return
}
