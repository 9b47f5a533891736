// RUN: monarch-opt %s --monarch-tile-specialize-warps --split-input-file --verify-diagnostics | FileCheck %s
// RUN: monarchc --grid=3,4,40 --heads=2 --target=sm_90a --emit=mapped | FileCheck %s --check-prefix=PLAN
// RUN: monarchc --grid=6,15,52 --heads=2 --target=sm_90a --schedule=r_step.producer=0 --emit=mapped | FileCheck %s --check-prefix=TEAMS
// RUN: monarchc --grid=6,15,52 --heads=2 --target=sm_90a --emit=mapped | FileCheck %s --check-prefix=PRODUCER
// RUN: monarchc --grid=6,15,52 --heads=2 --target=sm_90a --schedule=r_step.warps=4 --emit=mapped | FileCheck %s --check-prefix=SINGLE
// RUN: monarchc --workload=wan-720p-97 --target=sm_90a --emit=mapped | FileCheck %s --check-prefix=PERSISTENT
// RUN: monarchc --workload=wan-720p-98 --target=sm_90a --schedule=r_step.ring=0 --emit=mapped | FileCheck %s --check-prefix=LSTEP
// RUN: monarchc --workload=wan-720p-98 --target=sm_90a --emit=mapped | FileCheck %s --check-prefix=MANY

// The launch plan learns the box of each tensor map: frame, row, token, head, channel.
// PLAN: {box = array<i64: 1, 1, 40, 1, 64>, buffer = "key", offset = 0 : i64}, {box = array<i64: 1, 1, 40, 1, 64>, buffer = "value", offset = 0 : i64}

// Beside warps that hold L's outputs two teams take turns at R, each starting
// its own copies, `stages` turns ahead; a turn of the exchange is reserved before
// its first row is sent, and released after the last use.
// TEAMS: monarch_tile.role "consumer" warps 4 from 0 registers 104 {
// TEAMS-COUNT-2: monarch_tile.copy_bulk {{.*}}[%c0] if
// TEAMS: scf.for %[[T:.+]] = %c0 to %{{.*}} step %c2
// TEAMS: scf.if {{.*}} -> (tensor<64x128xbf16, #swizzled>)
// TEAMS: monarch_tile.reserve %[[X:.+]][%[[T]]]
// TEAMS: monarch_tile.send {{.*}} to %[[X]][%[[T]]] limit %{{.*}} part 2
// TEAMS: monarch_tile.release %[[K:.+]][%[[T]]] : !monarch_tile.ring
// TEAMS: %[[NEXT:.+]] = arith.addi %[[T]], %c2
// TEAMS: monarch_tile.copy_bulk {{.*}} to %[[K]][%[[NEXT]]] if
// TEAMS: monarch_tile.role "consumer" warps 4 from 4 registers 104 {
// TEAMS: scf.for {{.*}} = %c1{{.*}} to %{{.*}} step %c2
// TEAMS: monarch_tile.role beside "consumer" warps 8 from 8 registers 152 {
// TEAMS: monarch_tile.receive %[[X]][%[[R:.+]]] limit
// TEAMS: monarch_tile.dot {{.*}} transposed_rhs {groups = 8 : i64}
// TEAMS: monarch_tile.release %[[X]][%[[R]]] : !monarch_tile.exchange
// What parts of a slab hand to each other is f32, as it is in registers.
// TEAMS: monarch_tile.await_count {{.*}} reset
// TEAMS: monarch_tile.load {{.*}} -> tensor<128xf32, #rows{{[0-9]*}}>
// TEAMS: monarch_tile.load {{.*}} : memref<30x8x128x128xf32> -> tensor<128x128xf32, #acc{{[0-9]*}}>
// TEAMS: monarch_tile.store {{.*}} interleave {{.*}} memref<1x6x15x52x2x128xbf16,
// TEAMS: monarch_tile.store {{[^ ]+}}, {{[^ ]+}} {{.*}} tensor<128x128xf32, #acc{{[0-9]*}}>, memref<30x8x128x128xf32>
// TEAMS: monarch_tile.add_count

// Or a producer has a warp for each team, which starts the copies of its turns.
// PRODUCER: monarch_tile.role "producer" warps 4 from 16 registers 32 {
// PRODUCER-NEXT: monarch_tile.role "producer" warps 1 from 0 registers 0 teams 2 {
// PRODUCER-NEXT: ^bb0(%[[TEAM:.+]]: index):
// PRODUCER-NEXT: scf.for %[[T:.+]] = %[[TEAM]] to %{{.*}} step %c2 {
// PRODUCER-COUNT-2: monarch_tile.copy_bulk {{.*}}[%[[T]]] {evict = "last"
// PRODUCER: monarch_tile.role "consumer" warps 4 from 0 registers 80 {
// PRODUCER-NOT: copy_bulk
// PRODUCER: monarch_tile.role "consumer" warps 4 from 4 registers 80 {
// PRODUCER-NOT: copy_bulk
// PRODUCER: monarch_tile.role beside "consumer" warps 8 from 8 registers 144 {
// SINGLE: monarch_tile.role "producer" warps 4 from 12 registers 32 {
// SINGLE-NEXT: monarch_tile.role "producer" warps 1 from 0 registers 0 {
// SINGLE-NEXT: scf.for %{{.*}} = %c0 to %{{.*}} step %c1 {
// SINGLE: monarch_tile.role "consumer" warps 4 from 0 registers 192 {
// SINGLE: monarch_tile.role beside "consumer" warps 8 from 4 registers 144 {

// An L step of many rows: tensor maps of what R has written, of all slabs there
// are; queries in shared memory; what lies past the last key has no weight.
// LSTEP: box = array<i64: 1, 1, 96, 1, 64>, buffer = "ws0", extents = array<i64: 24, 945, 8, 128>, offset = 0 : i64, strides = array<i64: 46448640, 1935360, 2048, 128, 1>}
// LSTEP: func.func @l_step
// LSTEP: monarch_tile.role "producer"
// LSTEP-COUNT-3: monarch_tile.copy_bulk
// LSTEP: monarch_tile.role "consumer" warps 12
// LSTEP: monarch_tile.load {{.*}} interleave {{.*}} -> tensor<192x128xbf16, #swizzled
// LSTEP: monarch_tile.dot {{.*}} transposed_rhs
// LSTEP: %[[B:.+]] = monarch_tile.column
// LSTEP: arith.select %{{.*}}, %[[B]], %cst

// A ring. Beside a writer's consumers single threads: one starts copies, one waits
// for readers, three copy out for a warpgroup each, one counts; consumers exchange
// signals with the others.
// PERSISTENT: #[[OUT:.+]] = #monarch_tile.layout<swizzled, warps = 12, rows = 1>
// A box that is read is a chunk: 8 keys' rows of a pair.
// PERSISTENT: {box = array<i64: 1, 4, 8, 64>, buffer = "ring", extents = array<i64: 8448, 4, 8, 64>, offset = 0 : i64, strides = array<i64: 2048, 64, 256, 1>}
// Rows go out by 4 pairs, 64 channels to a line of the swizzle.
// PERSISTENT: {box = array<i64: 1, 4, 1, 4, 64>, buffer = "ring", extents = array<i64: 528, 4, 4, 32, 64>, offset = 0 : i64, strides = array<i64: 32768, 8192, 2048, 64, 1>}
// PERSISTENT: %[[FREE:.+]] = monarch_tile.alloc_signal : <8>
// PERSISTENT: monarch_tile.alloc_ring : <1, tensor<192x256xbf16, #[[OUT]]>>
// PERSISTENT: monarch_tile.alloc_signal : <3>
// PERSISTENT-NEXT: %[[STORED:.+]] = monarch_tile.alloc_signal : <3>
// PERSISTENT-NEXT: %[[WRITTEN:.+]] = monarch_tile.alloc_signal : <8>
// PERSISTENT-NEXT: monarch_tile.role "producer" warps 8 from 12 registers 24 {
// PERSISTENT-NEXT: monarch_tile.role "producer" warps 1 from 0 registers 0 {
// PERSISTENT-COUNT-2: monarch_tile.copy_bulk {{.*}} {evict = "first"
// PERSISTENT: monarch_tile.role "producer" warps 1 from 1 registers 0 {
// PERSISTENT: scf.for %[[T:.+]] =
// The four teams of 47 readers count.
// PERSISTENT: %[[LEAST:.+]] = arith.muli %{{.*}}, %c188 :
// PERSISTENT: monarch_tile.await_count %{{.*}}[%{{.*}}] least %[[LEAST]]
// PERSISTENT-NEXT: monarch_tile.raise %[[FREE]][%[[T]]]
// PERSISTENT: monarch_tile.role "producer" warps 1 from 2 registers 0 {
// PERSISTENT: scf.for %[[T:.+]] =
// PERSISTENT: monarch_tile.await_signal %[[WRITTEN]][%[[T]]]
// PERSISTENT: monarch_tile.add_count
// PERSISTENT: monarch_tile.role "producer" warps 1 from 3 registers 0 teams 3 {
// PERSISTENT: scf.for %[[T:.+]] =
// PERSISTENT: monarch_tile.await_signal %[[STORED]][%[[T]]] parts 3
// PERSISTENT: monarch_tile.raise %[[WRITTEN]][%[[T]]] :
// PERSISTENT: monarch_tile.role "consumer" warps 12 from 0 registers 144 {
// Rows that the next turn wants come beside this turn's products.
// PERSISTENT: scf.for %[[T:.+]] = {{.*}} iter_args(%[[Q:.+]] = %{{.*}}, %[[NEW:.+]] = %false
// PERSISTENT-NEXT: scf.if %[[NEW]] {
// PERSISTENT-NEXT: monarch_tile.wait 0 parts 3
// PERSISTENT-NOT: _count
// PERSISTENT: monarch_tile.dot %[[Q]],
// PERSISTENT: monarch_tile.load {{.*}} into %[[Q]]
// PERSISTENT: monarch_tile.await_signal %[[FREE]][
// PERSISTENT-NOT: _count
// PERSISTENT: monarch_tile.raise %[[STORED]][%[[T]]] parts 3
// Beside a reader's four teams a warp each starts copies, of which 4 lanes take a
// chunk each. Rows of the ring are read once. A team counts what has come. Query
// rows of the next slab come beside what this one's last scores lead to.
// PERSISTENT: monarch_tile.alloc_ring : <8, tensor<32x256xbf16, #swizzled{{.*}}>>
// PERSISTENT: monarch_tile.role "producer" warps 4 from 16 registers 32 {
// PERSISTENT-NEXT: monarch_tile.role "producer" warps 1 from 0 registers 0 teams 4 lanes 4 {
// PERSISTENT: monarch_tile.await_count
// PERSISTENT: monarch_tile.copy_bulk {{.*}} box [1, 1, 1, 8, 64] to %[[K:.+]][{{.*}} {evict = "first"
// PERSISTENT: monarch_tile.copy_bulk {{.*}} box [1, 1, 32, 8] to %[[B:.+]][{{.*}} {evict = "first"
// PERSISTENT: monarch_tile.role beside "consumer" warps 4 from 0 registers 112 teams 4 {
// PERSISTENT: %[[FIRST:.+]] = monarch_tile.load
// PERSISTENT: scf.for {{.*}} iter_args(%[[SLABS:.+]] = %[[FIRST]])
// PERSISTENT-NEXT: monarch_tile.wait 0{{$}}
// PERSISTENT-NOT: _count
// PERSISTENT: scf.for {{.*}} iter_args({{.*}}, %[[Q:.+]] = %[[SLABS]])
// PERSISTENT-NOT: _count
// PERSISTENT: monarch_tile.acquire %[[K]][
// PERSISTENT: %[[S:.+]] = monarch_tile.dot %[[Q]],
// PERSISTENT-NEXT: monarch_tile.await %[[S]]
// PERSISTENT: arith.cmpi eq, %{{.*}}, %c928
// PERSISTENT: scf.if
// PERSISTENT: monarch_tile.load {{.*}} interleave into %[[Q]]
// PERSISTENT-NOT: _count
// PERSISTENT: monarch_tile.acquire %[[B]][
// PERSISTENT-NEXT: monarch_tile.add_count %{{.*}}[%{{.*}}] reads
// PERSISTENT-NOT: _count

// A ring for many block rows. R's warpgroups are teams, each with turns, single
// threads and stages of its own; of keys there is one more, as values come while
// scores are made.
// MANY: monarch_tile.settle {{.*}} programs 132 writers 69 pairs 1 :
// MANY: monarch_tile.alloc_ring : <4, tensor<80x128xbf16, #swizzled>>
// MANY-NEXT: monarch_tile.alloc_ring : <2, tensor<80x128xbf16, #swizzled>>
// MANY-NEXT: %[[FREE:.+]] = monarch_tile.alloc_signal : <16>
// MANY: monarch_tile.alloc_signal : <2>
// MANY-NEXT: %[[STORED:.+]] = monarch_tile.alloc_signal : <2>
// MANY-NEXT: %[[WRITTEN:.+]] = monarch_tile.alloc_signal : <16>
// MANY-NEXT: monarch_tile.role "producer" warps 8 from 8 registers 24 {
// MANY-NEXT: monarch_tile.role "producer" warps 1 from 0 registers 0 teams 2 {
// MANY: scf.for %[[T:.+]] =
// MANY-NEXT: %[[TWO:.+]] = arith.muli %[[T]], %c2
// MANY-NEXT: %[[AT:.+]] = arith.addi %[[TWO]], %{{.*}}
// MANY-COUNT-2: monarch_tile.copy_bulk {{.*}}[%[[AT]]]
// MANY: monarch_tile.role "producer" warps 1 from 2 registers 0 teams 2 {
// MANY: monarch_tile.await_count
// MANY-NEXT: monarch_tile.raise %[[FREE]][%{{.*}}] parts 2
// MANY: monarch_tile.role "producer" warps 1 from 4 registers 0 teams 2 {
// MANY: monarch_tile.await_signal %[[WRITTEN]][%{{.*}}] parts 2
// MANY: monarch_tile.role "producer" warps 1 from 6 registers 0 teams 2 {
// MANY: monarch_tile.await_signal %[[STORED]][%{{.*}}] parts 2
// MANY: monarch_tile.raise %[[WRITTEN]][%{{.*}}] parts 2
// MANY: monarch_tile.role "consumer" warps 4 from 0 registers 232 teams 2 {
// MANY: monarch_tile.await_signal %[[FREE]][%{{.*}}] parts 2
// MANY: monarch_tile.raise %[[STORED]][%{{.*}}] parts 2
// L's two warpgroups, and four single warps for its other rows: they read the
// same stages, every fourth, by mma.sync. Only the warpgroups count.
// MANY: %[[ROWS:.+]] = monarch_tile.alloc_ring : <4, tensor<64x256xbf16, #swizzled{{.*}}>>
// MANY: monarch_tile.role "producer" warps 4 from 12 registers 32 {
// MANY-NEXT: monarch_tile.role "producer" warps 1 from 0 registers 0 lanes 8 {
// MANY: monarch_tile.role beside "consumer" warps 8 from 0 registers 144 {
// Each has query rows of its own, and does not wait for the other.
// MANY: monarch_tile.wait 0 parts 2
// MANY: scf.for %{{.*}} = %c0 to %c960 step %c64
// MANY: monarch_tile.acquire %[[ROWS]][
// MANY: arith.cmpi eq, %{{.*}}, %c896
// MANY: monarch_tile.load {{.*}} interleave into
// MANY: monarch_tile.add_count %{{.*}}[%{{.*}}] reads
// MANY: monarch_tile.role beside "consumer" warps 1 from 8 registers 192 teams 4 {
// MANY-NOT: _count
// MANY: scf.for %{{.*}} = %{{.*}} to %c960 step %c256
// MANY: monarch_tile.acquire %[[ROWS]][%[[TURN:.+]]] : {{.*}} -> tensor<64x256xbf16,
// MANY-NEXT: monarch_tile.dot %{{.*}} transposed_rhs
// MANY-NOT: monarch_tile.await
// MANY: monarch_tile.dot %{{.*}} acc %{{.*}} {rhs_offset = 128 : i64}
// MANY-NEXT: monarch_tile.release %[[ROWS]][%[[TURN]]]
// What they have is put together, and the first one's rows are stored.
// MANY-COUNT-3: monarch_tile.reduce_teams
// MANY: monarch_tile.store

#key = affine_map<(d0, d1, d2) -> (0, d0, d1, d2, 0)>
#row = affine_map<(d0, d1) -> (0, d0, 0, d1, 0)>
#next = affine_map<(d0) -> (d0 * 2)>
#swizzled = #monarch_tile.layout<swizzled, warps = 12>
#lhs = #monarch_tile.layout<lhs, warps = 12>
#acc = #monarch_tile.layout<acc, warps = 12>

// CHECK-LABEL: func.func @loop
// CHECK: scf.forall
// CHECK: %[[RING:.+]] = monarch_tile.alloc_ring : <3, tensor<56x128xbf16, #swizzled>>
// One warpgroup starts the copies; what an address is made of is made again.
// CHECK: monarch_tile.role "producer" warps 4 from 12 registers 32 {
// CHECK-NEXT: scf.for %[[TURN:.+]] = %{{.*}} to %{{.*}} step
// CHECK-NEXT: %[[AT:.+]] = affine.apply #{{.*}}(%[[TURN]])
// CHECK-NEXT: monarch_tile.copy_bulk %{{.*}}[%[[AT]], %{{.*}}] box [1, 1, 52, 1, 64] to %[[RING]][%[[TURN]]]
// The others wait for them, and give a stage back after its last use.
// CHECK: monarch_tile.role "consumer" warps 12 from 0 registers 160 {
// CHECK: monarch_tile.load {{.*}} -> tensor<192x128xbf16, #lhs>
// CHECK: scf.for %[[C:.+]] =
// CHECK: %[[K:.+]] = monarch_tile.acquire %[[RING]][%[[C]]]
// CHECK-NEXT: monarch_tile.dot %{{.*}}, %[[K]] transposed_rhs
// CHECK-NEXT: monarch_tile.dot
// CHECK-NEXT: monarch_tile.release %[[RING]][%[[C]]]
func.func @loop(%q: memref<1x3x4x52x1x128xbf16>, %k: memref<1x3x4x52x1x128xbf16>, %p: tensor<192x56xbf16, #lhs>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 192, columns = 56, warps = 12, stages = 3, chunk = 64, element = bf16>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c52 = arith.constant 52 : index
  scf.forall (%i) in (%n) {
    %a = monarch_tile.load %q[%i] {in_bounds = array<i1: true, true, true, true, true>, map = #row} : memref<1x3x4x52x1x128xbf16> -> tensor<192x128xbf16, #lhs>
    scf.for %c = %c0 to %n step %c1 {
      %at = affine.apply #next(%c)
      %t = monarch_tile.load %k[%at, %i] limit %c52 {in_bounds = array<i1: true, true, true, true, true>, map = #key} : memref<1x3x4x52x1x128xbf16> -> tensor<56x128xbf16, #swizzled>
      %s = monarch_tile.dot %a, %t transposed_rhs : tensor<192x128xbf16, #lhs>, tensor<56x128xbf16, #swizzled> -> tensor<192x56xf32, #acc>
      %o = monarch_tile.dot %p, %t : tensor<192x56xbf16, #lhs>, tensor<56x128xbf16, #swizzled> -> tensor<192x64xf32, #acc>
    }
  }
  return
}

// -----

#key = affine_map<(d0, d1) -> (0, 0, d0, d1, 0)>
#swizzled = #monarch_tile.layout<swizzled, warps = 8>
#lhs = #monarch_tile.layout<lhs, warps = 8>
#acc = #monarch_tile.layout<acc, warps = 8>

// A single key tile has no loop: its turn is 0. Two consumers get 240 registers.
// CHECK-LABEL: func.func @straight
// CHECK: monarch_tile.role "producer" warps 4 from 8 registers 24 {
// CHECK-NEXT: monarch_tile.copy_bulk %{{.*}} to %{{.*}}[%c0
// CHECK: monarch_tile.role "consumer" warps 8 from 0 registers 240 {
// CHECK: monarch_tile.acquire %{{.*}}[%c0
func.func @straight(%k: memref<1x1x4x40x1x128xbf16>, %a: tensor<128x128xbf16, #lhs>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 128, columns = 40, warps = 8, stages = 2, chunk = 64, element = bf16>} {
  scf.forall (%i) in (%n) {
    %t = monarch_tile.load %k[%i] {in_bounds = array<i1: true, true, true, true, true>, map = #key} : memref<1x1x4x40x1x128xbf16> -> tensor<40x128xbf16, #swizzled>
    %s = monarch_tile.dot %a, %t transposed_rhs : tensor<128x128xbf16, #lhs>, tensor<40x128xbf16, #swizzled> -> tensor<128x40xf32, #acc>
  }
  return
}

// -----

// Rows that cross from one line of the grid to the next are no box.
#key = affine_map<(d0, d1) -> (0, d0, d1 floordiv 20, d1 mod 20, 0)>
#swizzled = #monarch_tile.layout<swizzled, warps = 4>
#lhs = #monarch_tile.layout<lhs, warps = 4>
#acc = #monarch_tile.layout<acc, warps = 4>
func.func @no_box(%k: memref<1x3x4x20x1x64xbf16>, %a: tensor<64x64xbf16, #lhs>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 40, warps = 4, stages = 2, chunk = 64, element = bf16>} {
  scf.forall (%i) in (%n) {
    // expected-error @below {{expected rows along one axis for a bulk copy}}
    %t = monarch_tile.load %k[%i] {in_bounds = array<i1: true, true, true, true, true>, map = #key} : memref<1x3x4x20x1x64xbf16> -> tensor<40x64xbf16, #swizzled>
    %s = monarch_tile.dot %a, %t transposed_rhs : tensor<64x64xbf16, #lhs>, tensor<40x64xbf16, #swizzled> -> tensor<64x40xf32, #acc>
  }
  return
}

// -----

// A launch plan that does not know the argument.
#key = affine_map<(d0, d1) -> (0, 0, d0, d1, 0)>
#swizzled = #monarch_tile.layout<swizzled, warps = 4>
#lhs = #monarch_tile.layout<lhs, warps = 4>
#acc = #monarch_tile.layout<acc, warps = 4>
module attributes {monarch.plan = {launches = [{kernel = "forged", arguments = []}]}} {
  // expected-error @below {{expected argument 0 in this kernel's launch in monarch.plan}}
  func.func @forged(%k: memref<1x1x4x40x1x128xbf16>, %a: tensor<64x128xbf16, #lhs>, %n: index)
      attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 40, warps = 4, stages = 2, chunk = 64, element = bf16>} {
    scf.forall (%i) in (%n) {
      %t = monarch_tile.load %k[%i] {in_bounds = array<i1: true, true, true, true, true>, map = #key} : memref<1x1x4x40x1x128xbf16> -> tensor<40x128xbf16, #swizzled>
      %s = monarch_tile.dot %a, %t transposed_rhs : tensor<64x128xbf16, #lhs>, tensor<40x128xbf16, #swizzled> -> tensor<64x40xf32, #acc>
    }
    return
  }
}

// -----

#rows = affine_map<(d0, d1) -> (0, 0, d0 + d1, 0)>
#swizzled = #monarch_tile.layout<swizzled, warps = 4>
#lhs = #monarch_tile.layout<lhs, warps = 4>
#acc = #monarch_tile.layout<acc, warps = 4>

// Factors with a limit are no boxes of a tensor map: all warps copy, none is
// special.
// CHECK-LABEL: func.func @limited
// CHECK-NOT: monarch_tile.role
// CHECK: monarch_tile.load
func.func @limited(%x: memref<?x1x256x1x128xbf16>, %a: tensor<64x128xbf16, #lhs>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 64, warps = 4, stages = 2, chunk = 64, element = bf16>} {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  scf.forall (%i) in (%n) {
    scf.for %c = %c0 to %n step %c64 {
      %k = monarch_tile.load %x[%c] limit %n {in_bounds = array<i1: true, true, true, true>, map = #rows} : memref<?x1x256x1x128xbf16> -> tensor<64x128xbf16, #swizzled>
      %s = monarch_tile.dot %a, %k transposed_rhs : tensor<64x128xbf16, #lhs>, tensor<64x128xbf16, #swizzled> -> tensor<64x64xf32, #acc>
    }
  }
  return
}

// -----

#rows = affine_map<(d0, d1) -> (0, 0, d0 + d1, 0)>
#bias = affine_map<(d0, d1) -> (0, 0, d0 + d1, 3)>
#swizzled = #monarch_tile.layout<swizzled, warps = 4>
#lhs = #monarch_tile.layout<lhs, warps = 4>
#acc = #monarch_tile.layout<acc, warps = 4>
#columns = #monarch_tile.layout<columns, warps = 4>

// Without a limit they are: of a slab, and the map says which. The bias of 8
// pairs lies together: it is copied as it lies and a column of it read. Threads
// read it, so that it is given back at the end, when that is long done.
// CHECK-LABEL: func.func @factors
// CHECK: %[[BIAS:.+]] = monarch_tile.alloc_ring : <2, tensor<64x8xf32, #staged>>
// CHECK: %[[KEYS:.+]] = monarch_tile.alloc_ring : <2, tensor<64x128xbf16, #swizzled>>
// CHECK: monarch_tile.role "producer"
// CHECK: scf.for %[[C:.+]] = %{{.*}} step %c64
// CHECK: %[[T:.+]] = arith.divui %[[C]], %c64
// CHECK: monarch_tile.copy_bulk %{{.*}}[%[[C]]] box [1, 1, 64, 8] to %[[BIAS]][%[[T]]]
// CHECK: monarch_tile.copy_bulk %{{.*}}[%[[C]]] box [1, 1, 64, 1, 64] to %[[KEYS]][%[[T]]]
// CHECK: monarch_tile.role "consumer"
// CHECK: monarch_tile.acquire %[[KEYS]]
// CHECK-NEXT: monarch_tile.dot
// CHECK-NEXT: monarch_tile.release %[[KEYS]]
// CHECK: %[[B:.+]] = monarch_tile.acquire %[[BIAS]]
// CHECK: monarch_tile.column %[[B]][%{{.*}}] : tensor<64x8xf32, #staged> -> tensor<64xf32, #columns>
// CHECK: arith.subf
// CHECK-NEXT: monarch_tile.release %[[BIAS]]
// CHECK-NEXT: }
module attributes {monarch.plan = {launches = [{kernel = "factors", arguments = [{buffer = "ws0", offset = 0 : i64}, {buffer = "ws1", offset = 0 : i64}]}]}} {
  func.func @factors(%x: memref<?x1x256x1x128xbf16>, %y: memref<?x1x256x8xf32>, %a: tensor<64x128xbf16, #lhs>, %n: index)
      attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 64, warps = 4, stages = 2, chunk = 64, element = bf16>} {
    %c0 = arith.constant 0 : index
    %c64 = arith.constant 64 : index
    scf.forall (%i) in (%n) {
      scf.for %c = %c0 to %n step %c64 {
        %b = monarch_tile.load %y[%c] {in_bounds = array<i1: true, true, true, true>, map = #bias} : memref<?x1x256x8xf32> -> tensor<64xf32, #columns>
        %k = monarch_tile.load %x[%c] {in_bounds = array<i1: true, true, true, true>, map = #rows} : memref<?x1x256x1x128xbf16> -> tensor<64x128xbf16, #swizzled>
        %s = monarch_tile.dot %a, %k transposed_rhs : tensor<64x128xbf16, #lhs>, tensor<64x128xbf16, #swizzled> -> tensor<64x64xf32, #acc>
        %w = monarch_tile.broadcast %b axis 0 : tensor<64xf32, #columns> -> tensor<64x64xf32, #acc>
        %d = arith.subf %s, %w : tensor<64x64xf32, #acc>
      }
    }
    return
  }
}

// -----

#key = affine_map<(d0, d1, d2) -> (0, d0, d1, d2, 0)>
#swizzled = #monarch_tile.layout<swizzled, warps = 12>
#lhs = #monarch_tile.layout<lhs, warps = 12>
#acc = #monarch_tile.layout<acc, warps = 12>
// A writer of a ring loads query rows in a branch, a turn ahead.
func.func @ahead(%k: memref<1x3x4x52x1x128xbf16>, %p: tensor<192x56xbf16, #lhs>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 192, columns = 56, warps = 12, stages = 2, chunk = 64, element = bf16, ring = 85, slots = 320>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.forall (%i) in (132) {
    monarch_tile.role "consumer" warps 12 from 0 registers 0 {
      // expected-error @below {{expected a loop that carries the rows which a branch loads}}
      scf.for %c = %c0 to %n step %c1 {
        %t = monarch_tile.load %k[%c, %i] {in_bounds = array<i1: true, true, true, true, true>, map = #key} : memref<1x3x4x52x1x128xbf16> -> tensor<56x128xbf16, #swizzled>
        %o = monarch_tile.dot %p, %t : tensor<192x56xbf16, #lhs>, tensor<56x128xbf16, #swizzled> -> tensor<192x64xf32, #acc>
      }
    }
  }
  return
}
