// RUN: monarch-opt %s --convert-monarch-tile-to-nvvm --split-input-file --verify-diagnostics | FileCheck %s
// RUN: monarchc --grid=6,15,52 --heads=2 --target=sm_90a --emit=tiled | FileCheck %s --check-prefix=TILED

// L raises its maximum now and then; every score is in terms of the one that there
// is then.
// TILED: monarch_tile.receive
// TILED: %[[M:.+]], %[[R:.+]]:2 = monarch_tile.raise_maximum %{{.+}}, %[[X:.+]] slack 8.000000e+00 rescaling %{{.+}}, %{{.+}} : tensor<128xf32>, tensor<128x8xf32>, tensor<128x8xf32>, tensor<128x128xf32>
// TILED: %[[B:.+]] = monarch_tile.broadcast %[[M]] axis 1
// TILED: %[[T:.+]] = arith.subf %[[X]], %[[B]]
// TILED: %[[P:.+]] = math.exp2 %[[T]]
// TILED: arith.addf %[[R]]#0, %[[P]]
// TILED: monarch_tile.dot %{{.+}}, %{{.+}} acc %[[R]]#1

#rows = #monarch_tile.layout<rows, warps = 1>
#acc = #monarch_tile.layout<acc, warps = 1>
#row = affine_map<(d0, d1) -> (d0, d1)>
// CHECK-LABEL: llvm.func @raise
func.func @raise(%x: memref<?x16xf32>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 8, warps = 1, stages = 1, chunk = 32, element = bf16>} {
  scf.forall (%i) in (%n) {
    // A thread's part of two rows, 2 scores each, against a bound of its row.
    // CHECK: %[[X:.+]] = arith.maximumf
    // CHECK: %[[Y:.+]] = arith.maximumf
    // CHECK: %[[BOUND:.+]] = arith.addf
    // CHECK: arith.cmpf ogt, %[[X]], %[[BOUND]]
    // CHECK: arith.cmpf ogt, %[[Y]],
    // CHECK: %[[ANY:.+]] = nvvm.vote.sync any
    // CHECK: scf.if %[[ANY]] -> (f32, f32, f32, f32, f32, f32, f32, f32, f32, f32, f32, f32, f32, f32) {
    // Only there do the four threads of a row meet. Registers 0 and 1 of four are
    // the first row's, 2 and 3 the second's.
    // CHECK-COUNT-2: nvvm.shfl.sync bfly
    // CHECK: %[[F0:.+]] = llvm.inline_asm "ex2.approx
    // CHECK-COUNT-2: nvvm.shfl.sync bfly
    // CHECK: %[[F1:.+]] = llvm.inline_asm "ex2.approx
    // CHECK-COUNT-2: arith.mulf %{{.+}}, %[[F0]]
    // CHECK-COUNT-2: arith.mulf %{{.+}}, %[[F1]]
    // CHECK-COUNT-2: arith.mulf %{{.+}}, %[[F0]]
    // CHECK-COUNT-2: arith.mulf %{{.+}}, %[[F1]]
    // CHECK-COUNT-2: arith.mulf %{{.+}}, %[[F0]]
    // CHECK-COUNT-2: arith.mulf %{{.+}}, %[[F1]]
    // CHECK: } else {
    // CHECK-NEXT: scf.yield
    // CHECK: llvm.store
    %m = monarch_tile.load %x[%i] {in_bounds = array<i1: true, true>, map = #row} : memref<?x16xf32> -> tensor<16xf32, #rows>
    %s = arith.constant dense<1.0> : tensor<16x8xf32, #acc>
    %p = arith.constant dense<1.0> : tensor<16x16xf32, #acc>
    %r, %o:2 = monarch_tile.raise_maximum %m, %s slack 8.0 rescaling %s, %p : tensor<16xf32, #rows>, tensor<16x8xf32, #acc>, tensor<16x8xf32, #acc>, tensor<16x16xf32, #acc>
    monarch_tile.store %r, %x[%i] {in_bounds = array<i1: true, true>, map = #row} : tensor<16xf32, #rows>, memref<?x16xf32>
    // Columns 8 apart are one thread's: two sums, and theirs, before the four of
    // a row meet.
    // CHECK: llvm.store
    // CHECK-COUNT-3: arith.addf
    // CHECK-NEXT: arith.constant
    // CHECK: nvvm.shfl.sync bfly
    %z = monarch_tile.fold %p : tensor<16x16xf32, #acc> -> tensor<16x8xf32, #acc>
    %t = monarch_tile.reduce "sum" %z axis 1 : tensor<16x8xf32, #acc> -> tensor<16xf32, #rows>
    monarch_tile.store %t, %x[%i] {in_bounds = array<i1: true, true>, map = #row} : tensor<16xf32, #rows>, memref<?x16xf32>
  }
  return
}

// -----

#rows = #monarch_tile.layout<rows, warps = 1>
#acc = #monarch_tile.layout<acc, warps = 1>
func.func @rows(%x: memref<?x8xf32>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 8, warps = 1, stages = 1, chunk = 32, element = bf16>} {
  scf.forall (%i) in (%n) {
    %m = arith.constant dense<1.0> : tensor<8xf32, #rows>
    %s = arith.constant dense<1.0> : tensor<8x8xf32, #acc>
    // expected-error @below {{expected multiples of 16 rows for each of 1 warps, got 'tensor<8xf32}}
    %r, %o = monarch_tile.raise_maximum %m, %s slack 8.0 rescaling %s : tensor<8xf32, #rows>, tensor<8x8xf32, #acc>, tensor<8x8xf32, #acc>
  }
  return
}

// -----

func.func @layouts(%x: memref<?x8xf32>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 8, warps = 1, stages = 1, chunk = 32, element = bf16>} {
  scf.forall (%i) in (%n) {
    %m = arith.constant dense<1.0> : tensor<16xf32, #monarch_tile.layout<columns, warps = 1>>
    %s = arith.constant dense<1.0> : tensor<16x8xf32, #monarch_tile.layout<acc, warps = 1>>
    // expected-error @below {{expected a maximum in layout rows and tiles in layout acc}}
    %r, %o = monarch_tile.raise_maximum %m, %s slack 8.0 rescaling %s : tensor<16xf32, #monarch_tile.layout<columns, warps = 1>>, tensor<16x8xf32, #monarch_tile.layout<acc, warps = 1>>, tensor<16x8xf32, #monarch_tile.layout<acc, warps = 1>>
  }
  return
}
