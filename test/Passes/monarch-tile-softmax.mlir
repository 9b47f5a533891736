// RUN: monarchc --grid=3,4,6 --heads=2 --head-dim=64 --target=sm_80 --emit=tiled | FileCheck %s
// RUN: monarchc --grid=4,10,10 --tile=4,10,10 --blocks=f,hw --heads=2 --head-dim=64 --target=sm_89 --emit=fused \
// RUN:   | monarch-opt --monarch-tile-softmax | FileCheck %s --check-prefix=WIDE
// RUN: monarchc --grid=4,20,20 --tile=4,20,20 --blocks=f,hw --heads=2 --head-dim=64 --target=sm_89 --emit=fused \
// RUN:   | monarch-opt --monarch-tile-softmax | FileCheck %s --check-prefix=ONLINE

// The launches of the entry function, and the memory they share.
// CHECK: monarch.plan = {
// CHECK-SAME: arguments = [{name = "query", type = tensor<1x72x2x64xbf16>}, {name = "key"
// CHECK-SAME: launches = [{arguments = [{buffer = "query", offset = 0 : i64}, {buffer = "key", offset = 0 : i64}, {buffer = "value", offset = 0 : i64}, {buffer = "ws0", offset = 0 : i64}, {buffer = "ws0", offset = 512 : i64}, {buffer = "ws1", offset = 0 : i64}], dynamic_frames = false, kernel = "r_step"}
// CHECK-SAME: workspaces = [{bytes_per_slab = 73728 : i64, name = "ws0"}, {bytes_per_slab = 1152 : i64, name = "ws1"}]

// R: rows (a, j) packed at block row k, the query loaded once, key tiles inside.
// Pairs lie in groups of 8 in the factors: [bh, P/8, NK, 8, D].
// CHECK-LABEL: func.func @r_step
// CHECK-SAME: memref<?x3x12x8x64xbf16
// CHECK-SAME: monarch.schedule = #monarch.schedule<kind = "mma_sync"
// CHECK: scf.forall (%{{.*}}, %[[K:.+]]) in (%{{.*}}, 4) {
// CHECK: %[[Q:.+]] = monarch_tile.load
// CHECK: scf.for
// CHECK: %[[KEY:.+]] = monarch_tile.load
// CHECK: %[[VALUE:.+]] = monarch_tile.load
// CHECK: %[[S:.+]] = monarch_tile.dot %[[Q]], %[[KEY]] transposed_rhs
// A row fits the tile: no state is carried, nothing is rescaled.
// CHECK-NOT: iter_args
// CHECK: monarch_tile.reduce "max"
// CHECK: math.exp2
// CHECK: math.log2
// CHECK: monarch_tile.store
// CHECK: monarch_tile.dot %[[P:.+]], %[[KEY]] :
// CHECK: monarch_tile.dot %[[P]], %[[KEY]] {rhs_offset = 32 : i64}
// CHECK: monarch_tile.dot %[[P]], %[[VALUE]] :

// A row of 100 scores is still one tile of 104.
// WIDE-LABEL: func.func @r_step
// WIDE: tensor<112x104xf32>

// A row of 400 is not: maximum, sum, entropy and both outputs are carried.
// ONLINE-LABEL: func.func @r_step
// ONLINE: scf.for %{{.*}} iter_args(%[[MAX:.+]] = %{{.*}}, %[[SUM:.+]] = %{{.*}}, %[[E:.+]] = %{{.*}}, %[[AL:.+]] = %{{.*}}, %[[Y:.+]] = %{{.*}})
// ONLINE: %[[NEW:.+]] = arith.maximumf %[[MAX]],
// ONLINE: %[[GROWN:.+]] = arith.subf %[[MAX]], %[[NEW]]
// ONLINE: %[[ALPHA:.+]] = math.exp2 %[[GROWN]]
// ONLINE: arith.mulf %[[GROWN]], %[[SUM]]
// ONLINE: arith.mulf %[[ALPHA]], %[[SUM]]
// ONLINE: monarch_tile.dot {{.*}} acc
