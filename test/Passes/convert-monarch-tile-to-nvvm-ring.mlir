// How a persistent kernel lowers: counts between programs, signals between
// roles, roles in the branches of a program, teams, roles inside a role.
// RUN: monarch-opt %s --convert-monarch-tile-to-nvvm --split-input-file --verify-diagnostics | FileCheck %s
// RUN: monarchc --workload=wan-720p-97 --target=sm_90a --emit=nvvm | FileCheck %s --check-prefix=WHOLE

// One block a program; launched whole or not at all.
// WHOLE: llvm.func @attention
// WHOLE-SAME: monarch.programs = 132 : i64
// WHOLE-SAME: nvvm.reqntid = array<i32: 640, 1, 1>

#pair = affine_map<(d0, d1) -> (0, 0, d0 + d1, 0)>
#shared = #monarch_tile.layout<shared, warps = 4>
#columns = #monarch_tile.layout<columns, warps = 4>

// CHECK-LABEL: llvm.func @counts
// CHECK-SAME: %[[BIAS:[^:]+]]: !llvm.ptr<1>, %[[COUNTS:[^:]+]]: !llvm.ptr<1>
// CHECK-SAME: nvvm.reqntid = array<i32: 640, 1, 1>
func.func @counts(%bias: memref<?x1x64x1xf32>, %counts: memref<4xi32, strided<[32]>>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 192, columns = 80, warps = 12, stages = 2, chunk = 64, element = bf16, ring = 3, slots = 64>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  scf.forall (%p) in (4) {
    %writes = arith.cmpi slt, %p, %c3 : index
    // CHECK: scf.if
    scf.if %writes {
      // A signal is a barrier a stage: one thread raises this one,
      // CHECK-COUNT-2: nvvm.mbarrier.init %{{.*}}, %c1_i32
      %free = monarch_tile.alloc_signal : <2>
      // 12 warps that one.
      // CHECK-COUNT-2: nvvm.mbarrier.init %{{.*}}, %c12_i32
      %written = monarch_tile.alloc_signal : <2>
      // CHECK: nvvm.setmaxregister decrease 24
      monarch_tile.role "producer" warps 8 from 12 registers 24 {
        // The first thread of a warp of its own.
        // CHECK: %[[WARP:.+]] = arith.subi %{{.*}}, %c12
        // CHECK: arith.cmpi uge, %[[WARP]], %c1
        // CHECK: arith.cmpi ult, %[[WARP]], %c2
        // CHECK: scf.if
        // CHECK: arith.cmpi ult, %{{.*}}, %c1
        // CHECK-NEXT: scf.if
        // CHECK-NOT: nvvm.setmaxregister
        monarch_tile.role "producer" warps 1 from 1 registers 0 {
          scf.for %t = %c0 to %n step %c1 {
            // A wait acquires, for the copy engine too; after some seconds it traps.
            // CHECK: llvm.inline_asm has_side_effects {{.*}}ld.acquire.gpu.global.u32 count, [$0];{{.*}}setp.ge.u32 done, count, $1;{{.*}}trap;
            // CHECK-NEXT: llvm.inline_asm has_side_effects {{.*}}fence.proxy.async.global;
            monarch_tile.await_count %counts[%c2] least %n : memref<4xi32, strided<[32]>>
            // CHECK: nvvm.mbarrier.arrive
            monarch_tile.raise %free[%t] : <2>
          }
        }
        monarch_tile.role "producer" warps 1 from 2 registers 0 {
          scf.for %t = %c0 to %n step %c1 {
            // CHECK: nvvm.mbarrier.try_wait.parity
            monarch_tile.await_signal %written[%t] : <2>
            // Counters have 128 bytes each.
            // CHECK: llvm.getelementptr
            // CHECK: llvm.inline_asm has_side_effects {{.*}}red.release.gpu.global.add.u32 [$0], 1;
            monarch_tile.add_count %counts[%c1] : memref<4xi32, strided<[32]>>
          }
        }
      }
      // CHECK: nvvm.setmaxregister increase 144
      monarch_tile.role "consumer" warps 12 from 0 registers 144 {
        scf.for %t = %c0 to %n step %c1 {
          // CHECK: nvvm.mbarrier.try_wait.parity
          monarch_tile.await_signal %free[%t] : <2>
          // Complete is more than read.
          // CHECK: nvvm.cp.async.bulk.wait_group 0{{$}}
          monarch_tile.await_out pending 0 complete
          // CHECK: nvvm.bar.warp.sync
          // CHECK: nvvm.mbarrier.arrive
          monarch_tile.raise %written[%t] : <2>
        }
      }
    } else {
      // The other branch has the same shared memory: four teams release a stage
      // each, all threads of one, for they read it themselves.
      // CHECK: nvvm.mbarrier.init %{{.*}}, %c128_i32
      %ring = monarch_tile.alloc_ring : <4, tensor<32xf32, #shared>>
      // CHECK: nvvm.setmaxregister decrease 32
      monarch_tile.role "producer" warps 4 from 16 registers 32 {
        // A warp for each team, of which two lanes wait; the first starts the copy.
        // CHECK: arith.cmpi ult, %{{.*}}, %c2
        // CHECK-NEXT: scf.if
        monarch_tile.role "producer" warps 1 from 0 registers 0 teams 4 lanes 2 {
        ^bb0(%its: index):
          scf.for %t = %c0 to %n step %c1 {
            // 128 bytes as they lie. Lanes meet, or one could miss two phases.
            // CHECK: %[[BOTH:.+]] = arith.constant 3 : i32
            // CHECK-NEXT: nvvm.bar.warp.sync %[[BOTH]]
            // CHECK: nvvm.mbarrier.try_wait.parity
            // CHECK: arith.cmpi ult, %{{.*}}, %c1
            // CHECK-NEXT: scf.if
            // CHECK: nvvm.mbarrier.arrive.expect_tx %{{.*}}, %c128_i32
            // CHECK: nvvm.cp.async.bulk.shared.cluster.global %{{.*}}, %{{.*}}, %{{.*}}, %c128_i32
            monarch_tile.copy_bulk %bias[%t] box [1, 32, 1] to %ring[%its] {map = #pair} : memref<?x1x64x1xf32> -> <4, tensor<32xf32, #shared>>
          }
        }
      }
      // CHECK: nvvm.setmaxregister increase 112
      monarch_tile.role beside "consumer" warps 4 from 0 registers 112 teams 4 {
      ^bb0(%team: index):
        // A team's number does not wait in what is made of it.
        // CHECK: scf.for
        // CHECK: llvm.inline_asm has_side_effects "mov.b32 $0, $1;", "=r,r"
        scf.for %t = %c0 to %n step %c1 {
          %b = monarch_tile.acquire %ring[%team] : <4, tensor<32xf32, #shared>> -> tensor<32xf32, #shared>
          // What has come needs no release: the team's first thread counts.
          // CHECK: arith.cmpi eq, %{{.*}}, %c0
          // CHECK-NEXT: scf.if
          // CHECK: llvm.inline_asm has_side_effects {{.*}}red.relaxed.gpu.global.add.u32 [$0], 1;
          monarch_tile.add_count %counts[%c1] reads : memref<4xi32, strided<[32]>>
          // CHECK: llvm.load %{{.*}} : !llvm.ptr<3> -> vector<2xf32>
          %v = monarch_tile.convert_layout %b : tensor<32xf32, #shared> -> tensor<32xf32, #columns>
          // The copy engine may write again when each thread has read.
          // CHECK: nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>
          // CHECK-NEXT: %[[EMPTY:.+]] = llvm.inttoptr
          // CHECK-NEXT: nvvm.mbarrier.arrive %[[EMPTY]]
          monarch_tile.release %ring[%team] : !monarch_tile.ring<4, tensor<32xf32, #shared>>
        }
      }
    }
  }
  return
}

// -----

// Of a consumer one thread waits, and counts when all have come so far; with reset
// it leaves the counter as it was.
// CHECK-LABEL: llvm.func @all
// CHECK: %[[FIRST:.+]] = arith.cmpi eq, %{{.*}}, %c0{{.*}} : index
// CHECK: scf.if %{{.*}} {
// CHECK: ld.acquire.gpu.global.u32
// CHECK: st.relaxed.gpu.global.u32 [$0], 0;
// CHECK: nvvm.barrier id =
// CHECK: nvvm.barrier id =
// CHECK: scf.if %{{.*}} {
// CHECK: red.release.gpu.global.add.u32
func.func @all(%counts: memref<4xi32, strided<[32]>>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 80, warps = 4, stages = 2, chunk = 64, element = bf16, ring = 3, slots = 64>} {
  %c1 = arith.constant 1 : index
  scf.forall (%p) in (4) {
    monarch_tile.role "consumer" warps 4 from 0 registers 0 {
      monarch_tile.await_count %counts[%c1] least %n reset : memref<4xi32, strided<[32]>>
      monarch_tile.add_count %counts[%c1] : memref<4xi32, strided<[32]>>
    }
  }
  return
}

// -----

func.func @alone(%counts: memref<4xi32, strided<[32]>>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 80, warps = 4, stages = 2, chunk = 64, element = bf16, ring = 3, slots = 64>} {
  %c1 = arith.constant 1 : index
  scf.forall (%p) in (4) {
    // expected-error @below {{expected a role around it}}
    monarch_tile.await_count %counts[%c1] least %n : memref<4xi32, strided<[32]>>
  }
  return
}

// -----

func.func @reset(%counts: memref<4xi32, strided<[32]>>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 80, warps = 4, stages = 2, chunk = 64, element = bf16, ring = 3, slots = 64>} {
  %c1 = arith.constant 1 : index
  scf.forall (%p) in (4) {
    monarch_tile.role "producer" warps 4 from 4 registers 0 {
      // expected-error @below {{expected a consumer's for reset}}
      monarch_tile.await_count %counts[%c1] least %n reset : memref<4xi32, strided<[32]>>
    }
  }
  return
}

// -----

#rows = affine_map<(d0, d1) -> (0, d0, 0, d1, 0)>
#query = #monarch_tile.layout<swizzled, warps = 12>

// Parts of a role have turns of their own: a warpgroup's 4 warps raise them, or
// one of a producer's teams. Rows for a later turn are only started.
// CHECK-LABEL: llvm.func @parts
func.func @parts(%q: memref<?x4x4x192x2x64xbf16, strided<[?, ?, ?, ?, ?, 1]>>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 192, columns = 80, warps = 12, stages = 2, chunk = 64, element = bf16, ring = 3, slots = 64>} {
  %c0 = arith.constant 0 : index
  scf.forall (%p) in (4) {
    // CHECK-COUNT-6: nvvm.mbarrier.init %{{.*}}, %c4_i32
    %staged = monarch_tile.alloc_signal : <6>
    // CHECK-COUNT-6: nvvm.mbarrier.init %{{.*}}, %c1_i32
    %taken = monarch_tile.alloc_signal : <6>
    monarch_tile.role "producer" warps 4 from 12 registers 0 {
      monarch_tile.role "producer" warps 1 from 0 registers 0 teams 3 {
      ^bb0(%its: index):
        // CHECK: %[[TURN:.+]] = arith.muli %{{.*}}, %c3
        // CHECK-NEXT: arith.addi %[[TURN]], %{{.*}}
        monarch_tile.raise %taken[%n] parts 3 : <6>
      }
    }
    monarch_tile.role "consumer" warps 12 from 0 registers 0 {
      // CHECK: nvvm.cp.async.wait.group 0
      %rows = monarch_tile.load %q[%c0] {in_bounds = array<i1: true, true, true, true, true>, map = #rows} : memref<?x4x4x192x2x64xbf16, strided<[?, ?, ?, ?, ?, 1]>> -> tensor<192x64xbf16, #query>
      // A warpgroup has read its rows, which it overwrites: it meets at a barrier of
      // its own.
      // CHECK: %[[GROUP:.+]] = arith.shrui %{{.*}}, %c2{{.*}} : index
      // CHECK-NEXT: %[[NUMBER:.+]] = arith.index_cast %[[GROUP]] : index to i32
      // CHECK: %[[OWN:.+]] = arith.addi %[[NUMBER]], %c8_i32
      // CHECK: nvvm.barrier id = %[[OWN]] number_of_threads = %c128_i32
      // CHECK: nvvm.cp.async.shared.global
      // CHECK: nvvm.cp.async.commit.group
      // CHECK-NOT: nvvm.cp.async.wait.group
      %next = monarch_tile.load %q[%n] into %rows : tensor<192x64xbf16, #query> {in_bounds = array<i1: true, true, true, true, true>, map = #rows} : memref<?x4x4x192x2x64xbf16, strided<[?, ?, ?, ?, ?, 1]>> -> tensor<192x64xbf16, #query>
      // CHECK: %[[PART:.+]] = arith.divui %{{.*}}, %c4
      // CHECK: nvvm.mbarrier.try_wait.parity
      monarch_tile.await_signal %taken[%n] parts 3 : <6>
      // What the warp has staged is visible to the copy engine.
      // CHECK: nvvm.fence.proxy
      // CHECK: nvvm.bar.warp.sync
      // CHECK: nvvm.mbarrier.arrive
      monarch_tile.raise %staged[%n] parts 3 : <6>
      // CHECK: nvvm.cp.async.wait.group 0
      // CHECK-NEXT: nvvm.fence.proxy
      // CHECK: nvvm.barrier id = %c1_i32{{.*}} number_of_threads = %c384_i32
      monarch_tile.wait 0
      // CHECK: nvvm.cp.async.wait.group 0
      // CHECK-NEXT: nvvm.fence.proxy
      // CHECK: nvvm.barrier id = %{{.*}} number_of_threads = %c128_i32
      monarch_tile.wait 0 parts 3
    }
  }
  return
}

// -----

// Lanes share copies, and would count more than once.
func.func @lanes(%counts: memref<4xi32, strided<[32]>>)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 80, warps = 4, stages = 2, chunk = 64, element = bf16, ring = 3, slots = 64>} {
  %c1 = arith.constant 1 : index
  scf.forall (%p) in (4) {
    monarch_tile.role "producer" warps 4 from 4 registers 0 {
      monarch_tile.role "producer" warps 1 from 0 registers 0 lanes 2 {
        // expected-error @below {{expected a role around it, and one thread of a producer's}}
        monarch_tile.add_count %counts[%c1] : memref<4xi32, strided<[32]>>
      }
    }
  }
  return
}

// -----

func.func @silent(%n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 80, warps = 4, stages = 2, chunk = 64, element = bf16, ring = 3, slots = 64>} {
  scf.forall (%p) in (4) {
    // expected-error @below {{expected a role that raises the signal, after this}}
    %free = monarch_tile.alloc_signal : <2>
    monarch_tile.role "consumer" warps 4 from 0 registers 0 {
      monarch_tile.await_signal %free[%n] : <2>
    }
  }
  return
}

// -----

// A lane that is elected need not be the first, which counts.
func.func @reads(%counts: memref<4xi32, strided<[32]>>)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 80, warps = 4, stages = 2, chunk = 64, element = bf16, ring = 3, slots = 64>} {
  %c1 = arith.constant 1 : index
  scf.forall (%p) in (4) {
    monarch_tile.role "producer" warps 4 from 4 registers 0 {
      monarch_tile.role "producer" warps 1 from 0 registers 0 teams 2 {
      ^bb0(%its: index):
        // expected-error @below {{expected a consumer's count of what it has read}}
        monarch_tile.add_count %counts[%c1] reads : memref<4xi32, strided<[32]>>
      }
    }
  }
  return
}

// -----

// A barrier waits for one number of threads.
func.func @unequal(%n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 80, warps = 12, stages = 2, chunk = 64, element = bf16, ring = 3, slots = 64>} {
  scf.forall (%p) in (4) {
    %done = monarch_tile.alloc_signal : <3>
    monarch_tile.role "consumer" warps 12 from 0 registers 0 {
      // expected-error @below {{expected as many threads a turn as elsewhere, 12, got 4}}
      monarch_tile.raise %done[%n] parts 3 : <3>
      monarch_tile.raise %done[%n] : <3>
    }
  }
  return
}

// -----

func.func @several(%n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 80, warps = 4, stages = 2, chunk = 64, element = bf16, ring = 3, slots = 64>} {
  scf.forall (%p) in (4) {
    %done = monarch_tile.alloc_signal : <2>
    monarch_tile.role "producer" warps 4 from 4 registers 0 {
      monarch_tile.role "producer" warps 1 from 0 registers 0 lanes 2 {
        // expected-error @below {{expected a role around it, and one thread of a producer's}}
        monarch_tile.raise %done[%n] : <2>
      }
    }
  }
  return
}

// -----

// The barrier counts roles' threads only.
func.func @uncounted(%n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 80, warps = 4, stages = 2, chunk = 64, element = bf16, ring = 3, slots = 64>} {
  scf.forall (%p) in (4) {
    %done = monarch_tile.alloc_signal : <2>
    monarch_tile.role "consumer" warps 4 from 0 registers 0 {
      monarch_tile.raise %done[%n] : <2>
    }
    // expected-error @below {{expected a role around it, and one thread of a producer's}}
    monarch_tile.raise %done[%n] : <2>
  }
  return
}
