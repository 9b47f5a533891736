// RUN: monarch-opt %s --convert-monarch-tile-to-nvvm --split-input-file --verify-diagnostics | FileCheck %s
// RUN: monarchc --grid=6,15,52 --heads=2 --target=sm_90a --emit=nvvm | FileCheck %s --check-prefix=PRODUCER

// A producer beside a cluster's teams: 20 warps; a team's four warps give a stage
// back; each copy is started by a lane that is elected.
// PRODUCER: nvvm.reqntid = array<i32: 640, 1, 1>
// PRODUCER: nvvm.mbarrier.init %{{.*}}, %c1_i32
// PRODUCER: nvvm.mbarrier.init %{{.*}}, %c4_i32
// PRODUCER: nvvm.elect.sync
// PRODUCER: scf.for
// PRODUCER: nvvm.mbarrier.try_wait.parity
// PRODUCER: nvvm.mbarrier.arrive.expect_tx
// PRODUCER-COUNT-4: nvvm.cp.async.bulk.tensor.shared.cluster.global
// PRODUCER-NOT: nvvm.cp.async.bulk.tensor
// PRODUCER: wgmma.mma_async
// PRODUCER-NOT: nvvm.cp.async.bulk.tensor
// Two members, one role that sends 64 rows and one that receives them.
#acc = #monarch_tile.layout<acc, warps = 4>
#rows = #monarch_tile.layout<rows, warps = 4>
#lhs = #monarch_tile.layout<lhs, warps = 4>
#columns = #monarch_tile.layout<columns, warps = 4>
#exchanged = #monarch_tile.layout<exchanged, warps = 4>
#row = affine_map<(d0, d1) -> (0, 0, d0, d1, 0)>

// CHECK-LABEL: llvm.func @exchange
// CHECK-SAME: nvvm.cluster_dim = array<i32: 4, 1, 1>
// CHECK-SAME: nvvm.reqntid = array<i32: 256, 1, 1>
func.func @exchange(%q: memref<1x1x1x64x1x64xbf16>, %o: memref<1x1x1x64x1x64xbf16>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 24, warps = 4, stages = 2, chunk = 64, element = bf16, cluster = 4, clusters = 7>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %zero = arith.constant dense<0.0> : tensor<64x64xf32, #acc>
  %one = arith.constant dense<1.0> : tensor<64xf32, #rows>
  scf.forall (%i, %member) in (%n, 4) {
    // Of a full barrier one thread arrives, of an empty one every member, of a
    // third every warp that reads; of two stages.
    // CHECK: nvvm.mbarrier.init %{{.*}}, %c1_i32
    // CHECK-COUNT-2: nvvm.mbarrier.init %{{.*}}, %c4_i32
    // CHECK: nvvm.mbarrier.init %{{.*}}, %c1_i32
    // CHECK-COUNT-2: nvvm.mbarrier.init %{{.*}}, %c4_i32
    // CHECK-NOT: nvvm.mbarrier.init
    %x = monarch_tile.alloc_exchange : <4, 2, [tensor<64x64xbf16>, tensor<64xf32>]>
    // CHECK: nvvm.cluster.arrive
    // CHECK: nvvm.cluster.wait
    monarch_tile.role "consumer" warps 4 from 0 registers 0 {
      scf.for %t = %c0 to %n step %c1 {
        // CHECK: nvvm.mbarrier.try_wait.parity
        monarch_tile.reserve %x[%t] : <4, 2, [tensor<64x64xbf16>, tensor<64xf32>]>
        // A thread's 16 bytes of a row go to the member that owns the row, and
        // count on its barrier; two rows of two runs of 32 columns. Its place is
        // one number to LLVM.
        // CHECK: arith.remui
        // CHECK: llvm.inline_asm "mov.b32 $0, $1;", "=r,r"
        // CHECK: mapa.shared::cluster.u32
        // CHECK-COUNT-4: st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.b32
        // CHECK-NOT: bytes.v4.b32
        monarch_tile.send %zero to %x[%t] limit %n part 0 : tensor<64x64xf32, #acc> -> <4, 2, [tensor<64x64xbf16>, tensor<64xf32>]>
        // CHECK-COUNT-2: st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.f32
        monarch_tile.send %one to %x[%t] part 1 : tensor<64xf32, #rows> -> <4, 2, [tensor<64x64xbf16>, tensor<64xf32>]>
      }
    }
    monarch_tile.role "consumer" warps 4 from 4 registers 0 {
      %a = monarch_tile.load %q[%c0] interleave {in_bounds = array<i1: true, true, true, true, true>, map = #row} : memref<1x1x1x64x1x64xbf16> -> tensor<64x64xbf16, #lhs>
      scf.for %t = %c0 to %n step %c1 {
        // What a turn brings: of each of 16 places up to `limit` 4 rows of 128
        // bytes; and 256 bytes of the second part, always.
        // CHECK: %[[ROWS:.+]] = arith.muli %{{.*}}, %c512_i32
        // CHECK: %[[BYTES:.+]] = arith.addi %[[ROWS]], %c256_i32
        // CHECK: nvvm.mbarrier.arrive.expect_tx %{{.*}}, %[[BYTES]]
        // CHECK: nvvm.mbarrier.try_wait.parity
        %k, %b = monarch_tile.receive %x[%t] limit %n : <4, 2, [tensor<64x64xbf16>, tensor<64xf32>]> -> tensor<64x64xbf16, #exchanged>, tensor<64xf32, #exchanged>
        // One warp of the four, another each turn, waits until all have read,
        // and tells all members.
        // CHECK: nvvm.mbarrier.arrive %
        // CHECK: arith.remui %{{.*}}, %c4
        // CHECK: nvvm.mbarrier.try_wait.parity
        // CHECK: mbarrier.arrive.shared::cluster.b64
        monarch_tile.release %x[%t] : !monarch_tile.exchange<4, 2, [tensor<64x64xbf16>, tensor<64xf32>]>
      }
    }
    // No member leaves while others may write to it.
    // CHECK: nvvm.cluster.arrive
    // CHECK-NEXT: nvvm.cluster.wait
    // CHECK-NEXT: llvm.return
  }
  return
}

// -----

// A part of the size of the first has its addresses, 2 stages of 8 KiB further.
#rows = #monarch_tile.layout<rows, warps = 4>
#acc = #monarch_tile.layout<acc, warps = 4>
#exchanged = #monarch_tile.layout<exchanged, warps = 4>
// CHECK-LABEL: llvm.func @alike
// CHECK: st.async{{.*}}.v4.b32 [$0+0],
// CHECK: st.async{{.*}}.v4.b32 [$0+16384],
func.func @alike(%n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 24, warps = 4, stages = 2, chunk = 64, element = bf16, cluster = 4, clusters = 7>} {
  %zero = arith.constant dense<0.0> : tensor<64x64xf32, #acc>
  scf.forall (%i, %member) in (%n, 4) {
    %x = monarch_tile.alloc_exchange : <4, 2, [tensor<64x64xbf16>, tensor<64x64xbf16>]>
    monarch_tile.role "consumer" warps 4 from 0 registers 0 {
      monarch_tile.send %zero to %x[%i] part 0 : tensor<64x64xf32, #acc> -> <4, 2, [tensor<64x64xbf16>, tensor<64x64xbf16>]>
      monarch_tile.send %zero to %x[%i] part 1 : tensor<64x64xf32, #acc> -> <4, 2, [tensor<64x64xbf16>, tensor<64x64xbf16>]>
    }
    monarch_tile.role "consumer" warps 4 from 4 registers 0 {
      %k, %v = monarch_tile.receive %x[%i] : <4, 2, [tensor<64x64xbf16>, tensor<64x64xbf16>]> -> tensor<64x64xbf16, #exchanged>, tensor<64x64xbf16, #exchanged>
    }
  }
  return
}

// -----

func.func @unread(%n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 24, warps = 4, stages = 2, chunk = 64, element = bf16, cluster = 4, clusters = 7>} {
  scf.forall (%i, %member) in (%n, 4) {
    // expected-error @below {{expected a kernel of a cluster and a role that receives}}
    %x = monarch_tile.alloc_exchange : <4, 2, [tensor<64x64xbf16>]>
  }
  return
}

// -----

#rows = #monarch_tile.layout<rows, warps = 4>
func.func @stranger(%x: !monarch_tile.exchange<4, 2, [tensor<64xf32>]>, %a: tensor<64xf32, #rows>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 24, warps = 4, stages = 2, chunk = 64, element = bf16, cluster = 4, clusters = 7>} {
  scf.forall (%i, %member) in (%n, 4) {
    // expected-error @below {{expected an exchange that this kernel has allocated}}
    monarch_tile.send %a to %x[%i] part 0 : tensor<64xf32, #rows> -> <4, 2, [tensor<64xf32>]>
  }
  return
}

// -----

func.func @single(%n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 24, warps = 4, stages = 2, chunk = 64, element = bf16, cluster = 4, clusters = 7>} {
  scf.forall (%i, %member) in (%n, 4) {
    %x = monarch_tile.alloc_exchange : <4, 2, [tensor<64xf32>]>
    monarch_tile.role "consumer" warps 4 from 0 registers 0 {
      %b = monarch_tile.receive %x[%i] : <4, 2, [tensor<64xf32>]> -> tensor<64xf32, #monarch_tile.layout<exchanged, warps = 4>>
    }
    monarch_tile.role "producer" warps 4 from 4 registers 0 {
      // expected-error @below {{expected a consumer, whose warps give a stage back}}
      monarch_tile.release %x[%i] : !monarch_tile.exchange<4, 2, [tensor<64xf32>]>
    }
  }
  return
}
