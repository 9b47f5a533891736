// RUN: monarchc --grid=3,4,6 --heads=2 --head-dim=64 --target=sm_80 --emit=tiled | FileCheck %s
// RUN: monarchc --grid=4,10,10 --tile=4,10,10 --blocks=f,hw --heads=2 --head-dim=64 --target=sm_89 --emit=fused \
// RUN:   | monarch-opt --monarch-tile-softmax | FileCheck %s --check-prefix=WIDE
// RUN: monarchc --grid=4,20,20 --tile=4,20,20 --blocks=f,hw --heads=2 --head-dim=64 --target=sm_89 --emit=fused \
// RUN:   | monarch-opt --monarch-tile-softmax | FileCheck %s --check-prefix=ONLINE
// RUN: monarchc --workload=wan-720p-97 --target=sm_90a --schedule=r_step.ring=77,r_step.slots=224 --emit=tiled | FileCheck %s --check-prefix=RING
// RUN: monarchc --workload=self-forcing-480p-step --target=sm_90a --emit=tiled | FileCheck %s --check-prefix=PARTS

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
// The scale comes with the difference to the largest score.
// CHECK: %[[X:.+]] = arith.select %{{.+}}, %[[S]],
// CHECK: %[[MAX:.+]] = monarch_tile.reduce "max" %[[X]] axis 1
// CHECK: %[[BELOW:.+]] = arith.mulf %[[MAX]], %cst{{[_0-9]*}} : tensor<32xf32>
// CHECK: %[[M:.+]] = monarch_tile.broadcast %[[BELOW]] axis 1
// CHECK: %[[T:.+]] = math.fma %[[X]], %cst{{[_0-9]*}}, %[[M]]
// CHECK: math.exp2 %[[T]]
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

// RING: #[[KEY:.+]] = affine_map<(d0, d1, d2) -> (d0 * 12 + d1 + d2)>
// R and L of a ring are one kernel: 77 programs write, 47 read. The ring is one
// workspace for all slabs, with counters for its groups of 32 keys.
// RING: launches = [{arguments = [{{.*}}{buffer = "counters", offset = 0 : i64}, {buffer = "scratch", offset = 0 : i64}], dynamic_frames = false, kernel = "attention", persistent = true}]
// RING-SAME: workspaces = [{bytes = 22020096 : i64, name = "ring"}, {bytes = 172032 : i64, name = "ws1"}, {bytes = 1792 : i64, name = "counters", zeroed = true}, {bytes = 64 : i64, name = "scratch", zeroed = true}]
// RING: func.func @attention
// RING: scf.forall (%[[ID:.+]]) in (124) {
// RING-NEXT: %[[P:.+]], %[[ROWS:.+]], %[[INTO:.+]] = monarch_tile.settle %[[ID]], %{{.*}}, %{{.*}}, %{{.*}} programs 124 writers 77 pairs 4 : memref<?x28x192x8x256xbf16>, memref<16xi32>
// RING: arith.cmpi slt, %[[P]], %c77
// RING: scf.if
// A writer's keys are every 77th of 960 a slab; each of 36 writers has 13 of a
// slab's, one after another, the rest 12.
// RING: monarch_tile.role "consumer" warps 12 from 0
// RING: scf.for %[[T:.+]] = %c0 {{.*}} iter_args(%[[Q:.+]] = %{{.*}}) -> (tensor<192x128xbf16>) {
// RING: %[[N:.+]] = affine.apply #{{.*}}(%[[T]], %[[P]])
// RING: %[[IN:.+]] = arith.remui %[[N]], %c960
// RING: %[[TH:.+]] = arith.divui %[[IN]], %c77
// RING: %[[W:.+]] = arith.remui %[[IN]], %c77
// RING: %[[MORE:.+]] = arith.minsi %[[W]], %c36
// RING: affine.apply #[[KEY]](%[[W]], %[[MORE]], %[[TH]])
// Query rows are those of the turn before, or read there when k changes.
// RING: monarch_tile.dot %[[Q]], {{.*}} transposed_rhs
// RING: %[[NEXT:.+]] = arith.addi %[[T]], %c1
// RING: affine.apply #{{.*}}(%[[NEXT]], %[[P]])
// RING: scf.if {{.*}} -> (tensor<192x128xbf16>) {
// RING-NEXT: affine.apply
// RING-NEXT: monarch_tile.load
// A place is free when 47 readers' four teams have read what was there before.
// RING: %[[SLOT:.+]] = arith.remui %[[N]], %c224
// RING: %[[USES:.+]] = arith.divui %[[N]], %c224
// RING: %[[LEAST:.+]] = arith.muli %[[USES]], %c188
// RING: monarch_tile.await_count %[[COUNTS:.+]][%{{.*}}] least %[[LEAST]] : memref<14xi32, strided<[32]>>
// RING: monarch_tile.store {{.*}}[%c0, %c0, %[[SLOT]]]
// RING-COUNT-4: monarch_tile.store {{.*}}, %[[INTO]][%[[SLOT]]] limit %c187
// RING: monarch_tile.add_count %[[COUNTS]]
// A reader's four warpgroups have a pair each.
// RING: monarch_tile.role beside "consumer" warps 4 from 0 registers 0 teams 4 {
// RING-NEXT: ^bb0(%[[TEAM:.+]]: index):
// RING: scf.for {{.*}} = %c0 to %c960 step %c32 iter_args
// RING: monarch_tile.await_count %[[COUNTS]]
// RING: monarch_tile.load %[[ROWS]][{{.*}} -> tensor<32x256xbf16>
// RING: monarch_tile.load {{.*}} -> tensor<32xf32>
// RING: monarch_tile.add_count %[[COUNTS]]
// RING: monarch_tile.dot {{.*}} transposed_rhs : tensor<64x128xbf16>, tensor<32x256xbf16> -> tensor<64x32xf32>
// RING: monarch_tile.dot {{.*}} {rhs_offset = 128 : i64}

// A cluster: a slab, or a part of its turns. Twice as many parts as clusters that
// run at once have room for what they have.
// PARTS: workspaces = [{bytes = 14680064 : i64, name = "part_outputs"}, {bytes = 229376 : i64, name = "part_rows"}, {bytes = 28672 : i64, name = "counters", zeroed_once = true}]
// PARTS: func.func @attention({{.*}}, %[[SLABS:[^:]+]]: index, %[[CLUSTERS:[^:]+]]: index, %[[WHOLE:[^:]+]]: index, %[[COUNT:[^:]+]]: index)
// PARTS: scf.forall (%[[CLUSTER:.+]], %[[MEMBER:.+]]) in (%[[CLUSTERS]], 16) {
// PARTS: %[[CUT:.+]] = arith.subi %[[SLABS]], %[[WHOLE]]
// PARTS: %[[PART:.+]] = arith.subi %[[CLUSTER]], %[[WHOLE]]
// PARTS: arith.cmpi sge, %[[CLUSTER]], %[[WHOLE]]
// PARTS: monarch_tile.role "consumer"
// PARTS: scf.for %{{.*}} = %c0 to %[[TURNS:.+]] step %c1
// PARTS: monarch_tile.role beside "consumer"
// PARTS: scf.for %{{.*}} = %c0 to %[[TURNS]] step %c1
// PARTS: monarch_tile.receive
// The last part puts to its own what those before it have, in one order.
// PARTS: scf.if %{{.*}} {
// PARTS: scf.for %[[I:.+]] = %c1 to %c4 step %c1
// PARTS-NEXT: %[[FAR:.+]] = arith.muli %[[I]], %[[CUT]]
// PARTS-NEXT: %[[OTHER:.+]] = arith.subi %[[PART]], %[[FAR]]
// PARTS-NEXT: %[[IS:.+]] = arith.cmpi sge, %[[OTHER]], %c0
// PARTS-NEXT: scf.if %[[IS]]
// PARTS: monarch_tile.await_count %{{.*}} least %c1 reset :
// PARTS-COUNT-3: monarch_tile.load %{{.*}}[%[[OTHER]], %[[MEMBER]]]
// PARTS: monarch_tile.store {{.*}} : tensor<128x128xf32>, memref<1x3x30x52x12x128xbf16,
// Others store theirs, and count, where they have turns.
// PARTS: } else {
// PARTS-NEXT: scf.if
// PARTS-COUNT-3: monarch_tile.store %{{.*}}[%[[PART]], %[[MEMBER]]]
// PARTS: monarch_tile.add_count
