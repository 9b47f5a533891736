// How a kernel of kind wgmma lowers: tensor maps, barriers, roles, products.
// RUN: monarch-opt %s --convert-monarch-tile-to-nvvm --split-input-file --verify-diagnostics | FileCheck %s

#key = affine_map<(d0, d1) -> (0, 0, d0, d1, 0)>
#row = affine_map<(d0, d1) -> (0, 0, 0, d0 + d1, 0)>
#swizzled = #monarch_tile.layout<swizzled, warps = 4>
#lhs = #monarch_tile.layout<lhs, warps = 4>
#acc = #monarch_tile.layout<acc, warps = 4>

// The key's tensor map follows its pointer; a producer warpgroup beside the
// consumers' four warps. 2 stages of 2 halves of 32 rows of 128 bytes, then 256
// bytes of barriers.
// CHECK-LABEL: llvm.func @kernel
// CHECK-SAME: %[[KEY:.+]]: !llvm.ptr<1>, %[[MAP:.+]]: !llvm.ptr {llvm.align = 64 : i64, llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant}, %
// CHECK-SAME: monarch.shared_bytes = 16640 : i64
// CHECK-SAME: nvvm.reqntid = array<i32: 256, 1, 1>
func.func @kernel(%q: memref<1x1x1x64x1x128xbf16>, %k: memref<1x1x4x20x1x128xbf16>, %m: memref<?x64x1x1x64xbf16>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 24, warps = 4, stages = 2, chunk = 64, element = bf16>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.forall (%bh) in (%n) {
    // Rows 20 to 31 of a stage are never copied to: zero once.
    // CHECK: scf.for
    // CHECK: llvm.store %{{.*}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
    // CHECK: nvvm.mbarrier.init
    // CHECK: nvvm.mbarrier.init
    %ring = monarch_tile.alloc_ring : <2, tensor<24x128xbf16, #swizzled>>
    // CHECK: nvvm.fence.mbarrier.init
    // CHECK: nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
    // CHECK: nvvm.barrier0
    // One thread: wait for the release, expect 2 halves of 20 rows, copy both.
    // CHECK: arith.cmpi uge
    // CHECK: scf.if
    // CHECK: nvvm.setmaxregister decrease 24
    // CHECK: scf.for
    // CHECK: nvvm.mbarrier.try_wait.parity
    // CHECK: nvvm.mbarrier.arrive.expect_tx %{{.*}}, %c5120_i32
    // CHECK-COUNT-2: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.*}}, %[[MAP]], %{{.*}}, box
    monarch_tile.role "producer" warps 4 from 4 registers 24 {
      scf.for %c = %c0 to %n step %c1 {
        monarch_tile.copy_bulk %k[%c] box [1, 1, 20, 1, 64] to %ring[%c] {map = #key} : memref<1x1x4x20x1x128xbf16> -> <2, tensor<24x128xbf16, #swizzled>>
      }
    }
    // Who has another role is asked where this one is not taken.
    // CHECK: } else {
    // CHECK: scf.if
    // CHECK: nvvm.setmaxregister decrease 240
    // CHECK: nvvm.mbarrier.try_wait.parity
    // 8 steps of 16 channels, keys K-major; no step comes between.
    // CHECK: llvm.inline_asm has_side_effects {{.*}}wgmma.fence{{.*}}m64n24k16.f32.bf16.bf16 {{.*}}first, 1, 1, 0;{{.*}}more, 1, 1, 0;{{.*}}wgmma.commit_group
    // CHECK: llvm.inline_asm has_side_effects {{.*}}"wgmma.wait_group.sync.aligned 0;", "=f,=f,=f,=f,=f,=f,=f,=f,=f,=f,=f,=f,0,1,2
    // 2 steps of 16 keys, the second half's channels, MN-major.
    // CHECK: llvm.inline_asm has_side_effects {{.*}}m64n64k16.f32.bf16.bf16 {{.*}}first, 1, 1, 1;
    // The release is one arrival a warp.
    // CHECK: nvvm.mbarrier.arrive
    monarch_tile.role "consumer" warps 4 from 0 registers 240 {
      %a = monarch_tile.load %q[%c0] {in_bounds = array<i1: true, true, true, true, true>, map = #row} : memref<1x1x1x64x1x128xbf16> -> tensor<64x128xbf16, #lhs>
      scf.for %c = %c0 to %n step %c1 {
        %t = monarch_tile.acquire %ring[%c] : <2, tensor<24x128xbf16, #swizzled>> -> tensor<24x128xbf16, #swizzled>
        %s = monarch_tile.dot %a, %t transposed_rhs : tensor<64x128xbf16, #lhs>, tensor<24x128xbf16, #swizzled> -> tensor<64x24xf32, #acc>
        %w = monarch_tile.await %s pending 0 : tensor<64x24xf32, #acc>
        %h = arith.truncf %w : tensor<64x24xf32, #acc> to tensor<64x24xbf16, #acc>
        %p = monarch_tile.convert_layout %h : tensor<64x24xbf16, #acc> -> tensor<64x24xbf16, #lhs>
        %o = monarch_tile.dot %p, %t {rhs_offset = 64 : i64} : tensor<64x24xbf16, #lhs>, tensor<24x128xbf16, #swizzled> -> tensor<64x64xf32, #acc>
        %x = monarch_tile.await %o pending 0 : tensor<64x64xf32, #acc>
        monarch_tile.release %ring[%c] : !monarch_tile.ring<2, tensor<24x128xbf16, #swizzled>>
      }
    }
  }
  return
}

// -----

#rows = affine_map<(d0, d1) -> (d0, d1 floordiv 8, 0, d1 mod 8)>
#acc = #monarch_tile.layout<acc, warps = 4>
#staged = #monarch_tile.layout<staged, warps = 4>

// Two lanes of a warp copy its two runs of 8 rows.
// CHECK-LABEL: llvm.func @outputs
// CHECK: scf.if
// CHECK-NEXT: nvvm.cp.async.bulk.wait_group 1 {read}
// CHECK: nvvm.bar.warp.sync
// CHECK-COUNT-4: llvm.store {{.*}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
// CHECK: nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>
// CHECK: nvvm.bar.warp.sync
// 0x12F0000000000000: evict first.
// CHECK: nvvm.cp.async.bulk.global.shared.cta %{{.*}}, %{{.*}}, %c1024_i32{{.*}} l2_cache_hint = %c1364590687093260288_i64
// CHECK: nvvm.cp.async.bulk.commit.group
func.func @outputs(%m: memref<?x8x9x8x64xbf16>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 24, warps = 4, stages = 2, chunk = 64, element = bf16>} {
  scf.forall (%bh) in (%n) {
    %place = monarch_tile.alloc_ring : <1, tensor<64x64xbf16, #staged>>
    %v = arith.constant dense<1.0> : tensor<64x64xf32, #acc>
    monarch_tile.await_out pending 1
    monarch_tile.stage %v to %place : tensor<64x64xf32, #acc> -> <1, tensor<64x64xbf16, #staged>>
    monarch_tile.copy_out %place to %m[%bh] limit %n {evict = "first", in_bounds = array<i1: true, true, true, true>, map = #rows} : <1, tensor<64x64xbf16, #staged>> -> memref<?x8x9x8x64xbf16>
  }
  return
}

// -----

// Teams have a place each.
#acc = #monarch_tile.layout<acc, warps = 4>
#staged = #monarch_tile.layout<staged, warps = 4>
func.func @places(%n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 24, warps = 4, stages = 2, chunk = 64, element = bf16>} {
  scf.forall (%bh) in (%n) {
    %place = monarch_tile.alloc_ring : <2, tensor<64x64xbf16, #staged>>
    %v = arith.constant dense<1.0> : tensor<64x64xf32, #acc>
    // expected-error @below {{expected a ring with a stage for each of the role's teams, 1, got 2}}
    monarch_tile.stage %v to %place : tensor<64x64xf32, #acc> -> <2, tensor<64x64xbf16, #staged>>
  }
  return
}

// -----

#rows = affine_map<(d0, d1) -> (d0, d1 floordiv 8, 0, d1 mod 8)>
#staged = #monarch_tile.layout<staged, warps = 4>
func.func @out(%m: memref<?x8x9x8x64xbf16>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 24, warps = 4, stages = 2, chunk = 64, element = bf16>} {
  scf.forall (%bh) in (%n) {
    %place = monarch_tile.alloc_ring : <3, tensor<64x64xbf16, #staged>>
    // expected-error @below {{expected a ring with a stage for each of the role's teams, 1, got 3}}
    monarch_tile.copy_out %place to %m[%bh] limit %n {in_bounds = array<i1: true, true, true, true>, map = #rows} : <3, tensor<64x64xbf16, #staged>> -> memref<?x8x9x8x64xbf16>
  }
  return
}

// -----

#swizzled = #monarch_tile.layout<swizzled, warps = 4>
func.func @given_back(%n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 24, warps = 4, stages = 2, chunk = 64, element = bf16>} {
  scf.forall (%bh) in (%n) {
    %ring = monarch_tile.alloc_ring : <2, tensor<24x64xbf16, #swizzled>>
    monarch_tile.role "producer" warps 4 from 4 registers 0 {
      // expected-error @below {{expected a consumer, whose warps give a stage back}}
      monarch_tile.release %ring[%n] : !monarch_tile.ring<2, tensor<24x64xbf16, #swizzled>>
    }
  }
  return
}

// -----

#swizzled = #monarch_tile.layout<swizzled, warps = 4>
func.func @width(%n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 24, warps = 4, stages = 2, chunk = 64, element = bf16>} {
  scf.forall (%bh) in (%n) {
    // expected-error @below {{expected a swizzled tile of 16-bit elements and a multiple of 64 channels}}
    %ring = monarch_tile.alloc_ring : <2, tensor<24x32xbf16, #swizzled>>
  }
  return
}

// -----

#rows = affine_map<(d0, d1) -> (0, 0, d0 + d1, 0)>
#swizzled = #monarch_tile.layout<swizzled, warps = 4>
#lhs = #monarch_tile.layout<lhs, warps = 4>
#acc = #monarch_tile.layout<acc, warps = 4>

// Threads fill a swizzled tile themselves: no barriers, 16 bytes of a row go to
// its half, and before all meet the copy is visible to wgmma.
// CHECK-LABEL: llvm.func @threads
// CHECK-SAME: monarch.shared_bytes = 16384 : i64
// CHECK-NOT: mbarrier
// CHECK: nvvm.cp.async.shared.global {{.*}} 16, cache = cg
// CHECK: nvvm.cp.async.wait.group 0
// CHECK-NEXT: nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>
// CHECK-NEXT: nvvm.barrier0
// Accumulators go in and out of the same registers; all steps add, and a
// product of 128 channels crosses the halves, 8192 bytes apart.
// CHECK: 4611686293338849280
// CHECK: llvm.inline_asm has_side_effects {{.*}}m64n128k16.f32.bf16.bf16 {{.*}}more, 1, 1, 1;{{.*}}l,0,1,2,
func.func @threads(%x: memref<?x1x256x1x128xbf16>, %p: memref<?x64x1x1x64xbf16>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 64, warps = 4, stages = 2, chunk = 64, element = bf16>} {
  %c0 = arith.constant 0 : index
  %true = arith.constant true
  %zero = arith.constant dense<0.0> : tensor<64x128xf32, #acc>
  scf.forall (%i) in (%n) {
    %ring = monarch_tile.alloc_ring : <1, tensor<64x128xbf16, #swizzled>>
    monarch_tile.copy_async %x[%c0] to %ring[%c0] if %true {in_bounds = array<i1: true, true, true, true>, map = #rows} : memref<?x1x256x1x128xbf16> -> <1, tensor<64x128xbf16, #swizzled>>
    monarch_tile.commit
    monarch_tile.wait 0
    %v = monarch_tile.read %ring[%c0] : <1, tensor<64x128xbf16, #swizzled>> -> tensor<64x128xbf16, #swizzled>
    %a = monarch_tile.load %p[%c0] {in_bounds = array<i1: true, true, true, true>, map = #rows} : memref<?x64x1x1x64xbf16> -> tensor<64x64xbf16, #lhs>
    %o = monarch_tile.dot %a, %v acc %zero : tensor<64x128xf32, #acc> : tensor<64x64xbf16, #lhs>, tensor<64x128xbf16, #swizzled> -> tensor<64x128xf32, #acc>
    %w = monarch_tile.await %o pending 0 : tensor<64x128xf32, #acc>
  }
  return
}

// -----

#rows = affine_map<(d0, d1, d2) -> (d0, 2, d1 + d2, 3)>
#bias = affine_map<(d0, d1, d2) -> (d0, 2, d1 + d2)>
#swizzled = #monarch_tile.layout<swizzled, warps = 4>
#staged = #monarch_tile.layout<staged, warps = 4>
#columns = #monarch_tile.layout<columns, warps = 4>

// Factors: the map has the slab as well, so that five numbers say where. A bias
// comes as 64 rows of 32 bytes, a thread's products need 2 rows of 8, and all
// 128 threads say that they have read.
// CHECK-LABEL: llvm.func @factors
func.func @factors(%x: memref<?x4x256x8x128xbf16>, %y: memref<?x4x256x8xf32>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 64, warps = 4, stages = 2, chunk = 64, element = bf16>} {
  %c0 = arith.constant 0 : index
  %c3 = arith.constant 3 : index
  scf.forall (%i) in (%n) {
    // CHECK-COUNT-2: nvvm.mbarrier.init %{{.*}}, %c4_i32
    %keys = monarch_tile.alloc_ring : <2, tensor<64x128xbf16, #swizzled>>
    // CHECK-COUNT-2: nvvm.mbarrier.init %{{.*}}, %c128_i32
    %pairs = monarch_tile.alloc_ring : <2, tensor<64x8xf32, #staged>>
    monarch_tile.role "producer" warps 4 from 4 registers 24 {
      // CHECK: nvvm.mbarrier.arrive.expect_tx %{{.*}}, %c2048_i32
      // CHECK: nvvm.cp.async.bulk.shared.cluster.global
      monarch_tile.copy_bulk %y[%i, %c0] box [1, 1, 64, 8] to %pairs[%c0] {map = #bias} : memref<?x4x256x8xf32> -> <2, tensor<64x8xf32, #staged>>
      // CHECK: nvvm.mbarrier.arrive.expect_tx %{{.*}}, %c16384_i32
      // CHECK-COUNT-2: nvvm.cp.async.bulk.tensor.shared.cluster.global {{.*}} box[%{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}]
      monarch_tile.copy_bulk %x[%i, %c0] box [1, 1, 64, 1, 64] to %keys[%c0] {map = #rows} : memref<?x4x256x8x128xbf16> -> <2, tensor<64x128xbf16, #swizzled>>
    }
    monarch_tile.role "consumer" warps 4 from 0 registers 240 {
      %k = monarch_tile.acquire %keys[%c0] : <2, tensor<64x128xbf16, #swizzled>> -> tensor<64x128xbf16, #swizzled>
      monarch_tile.release %keys[%c0] : !monarch_tile.ring<2, tensor<64x128xbf16, #swizzled>>
      %p = monarch_tile.acquire %pairs[%c0] : <2, tensor<64x8xf32, #staged>> -> tensor<64x8xf32, #staged>
      // CHECK-COUNT-16: llvm.load %{{.*}} {alignment = 4 : i64} : !llvm.ptr<3> -> f32
      // CHECK-NOT: llvm.load
      %b = monarch_tile.column %p[%c3] : tensor<64x8xf32, #staged> -> tensor<64xf32, #columns>
      // CHECK: nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>
      // CHECK-NOT: scf.if
      // CHECK: nvvm.mbarrier.arrive
      monarch_tile.release %pairs[%c0] : !monarch_tile.ring<2, tensor<64x8xf32, #staged>>
    }
  }
  return
}

// -----

// What follows roles is for all warps again.
#rows = #monarch_tile.layout<rows, warps = 4>
#row = affine_map<(d0, d1) -> (d0, d1)>
// CHECK-LABEL: llvm.func @after
// CHECK: {{^    }}scf.if
// CHECK-NEXT: {{^    }}} else {
// CHECK: {{^      }}scf.if
// CHECK: {{^    }}}
// CHECK: {{^    }}scf.if
// CHECK-NEXT: llvm.store
func.func @after(%y: memref<?x64xf32>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 24, warps = 4, stages = 2, chunk = 64, element = bf16>} {
  %z = arith.constant dense<0.0> : tensor<64xf32, #rows>
  scf.forall (%i) in (%n) {
    monarch_tile.role "consumer" warps 4 from 0 registers 0 {
    }
    monarch_tile.role "consumer" warps 4 from 4 registers 0 {
    }
    monarch_tile.store %z, %y[%i] {in_bounds = array<i1: true, true>, map = #row} : tensor<64xf32, #rows>, memref<?x64xf32>
  }
  return
}

// -----

// Barriers are made before any warp may wait at one.
#rows = affine_map<(d0, d1) -> (d0, d1, 0)>
#swizzled = #monarch_tile.layout<swizzled, warps = 4>
func.func @late(%m: memref<?x256x1x128xbf16>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 24, warps = 4, stages = 2, chunk = 64, element = bf16>} {
  scf.forall (%i) in (%n) {
    monarch_tile.role "consumer" warps 4 from 0 registers 0 {
    }
    // expected-error @below {{expected a ring of bulk copies before all roles}}
    %ring = monarch_tile.alloc_ring : <2, tensor<24x128xbf16, #swizzled>>
    monarch_tile.copy_bulk %m[%i] box [1, 24, 1, 64] to %ring[%i] {map = #rows} : memref<?x256x1x128xbf16> -> <2, tensor<24x128xbf16, #swizzled>>
  }
  return
}
