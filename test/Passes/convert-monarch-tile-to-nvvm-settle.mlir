// How programs and rows of a ring are brought to the halves of the L2 cache that
// they are near, and what is copied to and from there.
// RUN: monarch-opt %s --convert-monarch-tile-to-nvvm --split-input-file --verify-diagnostics | FileCheck %s

#out = affine_map<(d0, d1) -> (0, d0 floordiv 8, d1, d0 mod 8)>
#in = affine_map<(d0, d1, d2) -> (0, (d0 + d2) floordiv 8, d1, (d0 + d2) mod 8)>
#staged = #monarch_tile.layout<swizzled, warps = 4, rows = 1>
#acc = #monarch_tile.layout<acc, warps = 4>
#q = #monarch_tile.layout<swizzled, warps = 4>
#rows = #monarch_tile.layout<swizzled, warps = 4, rows = 8>

// CHECK-LABEL: llvm.func @settle
func.func @settle(%ring: memref<?x4x64x8x256xbf16>, %into: memref<?x4x64x8x256xbf16>, %scratch: memref<8xi32>, %query: memref<?x4x4x4x2x128xbf16, strided<[?, ?, ?, ?, ?, 1]>>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "wgmma", rows = 64, columns = 80, warps = 4, stages = 2, chunk = 64, element = bf16, ring = 3, slots = 32>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  scf.forall (%p) in (8) {
    // The first thread times a chunk and its neighbour, in a line of its own,
    // CHECK: llvm.inline_asm has_side_effects {{.*}}%clock{{.*}}atom.relaxed.gpu.global.add.u32 v, [p + 0]{{.*}}[p + 4096]
    // CHECK: nvvm.barrier0
    // and says in which half it is itself;
    // CHECK: red.relaxed.gpu.global.or.b32
    // then a thread of every warp the pieces of 64 KiB that it is dealt.
    // CHECK: scf.for
    // CHECK: llvm.inline_asm has_side_effects {{.*}}atom.relaxed.gpu.global.add.u32
    // CHECK: red.relaxed.gpu.global.or.b32
    // CHECK: nvvm.barrier0
    // All programs meet.
    // CHECK: red.release.gpu.global.add.u32
    // CHECK: ld.acquire.gpu.global.u32
    // CHECK: nvvm.barrier0
    // A program's number follows from how many before it are in its half.
    // CHECK: ld.relaxed.gpu.global.u32
    // CHECK-COUNT-2: llvm.intr.ctpop
    // CHECK: arith.select
    // What is exchanged goes to shared memory.
    // CHECK: scf.for
    // CHECK: ld.relaxed.gpu.global.u32
    // CHECK: llvm.store
    %number, %near, %nearInto = monarch_tile.settle %p, %ring, %into, %scratch programs 8 writers 3 pairs 4 : memref<?x4x64x8x256xbf16>, memref<8xi32>
    %writes = arith.cmpi slt, %number, %c3 : index
    scf.if %writes {
      %stage = monarch_tile.alloc_ring : <1, tensor<64x256xbf16, #staged>>
      monarch_tile.role "producer" warps 4 from 4 registers 0 {
        // A warp for each of two shares, of which one thread is elected.
        // CHECK: nvvm.elect.sync
        monarch_tile.role "producer" warps 1 from 0 registers 0 teams 2 {
        ^bb0(%its: index):
          // 16 rows at a time, four boxes of 4; a bit says which of 4 chunks is
          // first.
          // CHECK: scf.for %{{.*}} = %c0{{.*}} to %c32{{.*}} step %c16
          // CHECK: llvm.load %{{.*}} : !llvm.ptr<3> -> i8
          // CHECK-COUNT-2: arith.xori
          // CHECK: nvvm.cp.async.bulk.tensor.global.shared.cta %{{.*}}, %{{.*}}, box[%c0_i32{{.*}}, %{{.*}}, %{{.*}}, %c0_i32{{.*}}, %{{.*}}]
          // CHECK-COUNT-3: nvvm.cp.async.bulk.tensor.global.shared.cta
          // CHECK: nvvm.cp.async.bulk.commit.group
          monarch_tile.copy_out %stage to %nearInto[%n] {in_bounds = array<i1: true, true, true, true>, map = #out} : <1, tensor<64x256xbf16, #staged>> -> memref<?x4x64x8x256xbf16>
          // CHECK-NEXT: nvvm.cp.async.bulk.wait_group 0
          // CHECK-NOT: nvvm.bar.warp.sync
          monarch_tile.await_out pending 0 complete
        }
      }
      monarch_tile.role "consumer" warps 4 from 0 registers 0 {
        // A row's 512 bytes are 4 lines of the swizzle. Chunk c of line l of row r
        // is at c xor (4r + l) mod 8: a thread's two, of line 1, at 1 and at 5.
        // CHECK: %[[LINES:.+]] = arith.muli %[[ROW:.+]], %c4{{.*}} : index
        // CHECK: arith.andi %[[LINES]], %c7{{.*}} : index
        // CHECK: arith.xori
        // CHECK: %[[TO:.+]] = arith.xori %[[START:.+]], %c16_i32
        // CHECK: arith.addi %[[TO]], %c128_i32
        // CHECK: llvm.store {{.*}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
        // CHECK: arith.xori %[[START]], %c80_i32
        // CHECK: llvm.store {{.*}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
        // CHECK: arith.xori %[[START]], %c16_i32
        // CHECK: arith.addi %{{.*}}, %c4224_i32
        %v = arith.constant dense<1.0> : tensor<64x64xf32, #acc>
        monarch_tile.stage %v to %stage {column_offset = 64 : i64} : tensor<64x64xf32, #acc> -> <1, tensor<64x256xbf16, #staged>>
      }
    } else {
      %tiles = monarch_tile.alloc_ring : <2, tensor<32x256xbf16, #rows>>
      monarch_tile.role "producer" warps 4 from 4 registers 0 {
        // Four boxes of a chunk each make a tile.
        // CHECK: nvvm.mbarrier.arrive.expect_tx %{{.*}}, %c16384_i32
        // CHECK: scf.for %{{.*}} = %c0{{.*}} to %c4
        // CHECK: llvm.load %{{.*}} : !llvm.ptr<3> -> i8
        // CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global {{.*}}[%c0_i32{{.*}}, %c0_i32{{.*}}, %c0_i32{{.*}}, %{{[0-9]+}}]
        monarch_tile.copy_bulk %near[%n, %number] box [1, 1, 1, 8, 64] to %tiles[%c0] {map = #in} : memref<?x4x64x8x256xbf16> -> <2, tensor<32x256xbf16, #rows>>
      }
      monarch_tile.role "consumer" warps 4 from 0 registers 0 {
        %q = monarch_tile.load %query[%c0] {in_bounds = array<i1: true, true, true, true, true>, map = affine_map<(d0, d1) -> (d0, 0, 0, d1, 0)>} : memref<?x4x4x4x2x128xbf16, strided<[?, ?, ?, ?, ?, 1]>> -> tensor<64x128xbf16, #q>
        %tile = monarch_tile.acquire %tiles[%c0] : <2, tensor<32x256xbf16, #rows>> -> tensor<32x256xbf16, #rows>
        // From 8 rows to the next 8 4096 bytes, 256 sixteenths, in bits 32-45 of
        // the second descriptor; so that the rows of a half are not together.
        // CHECK: arith.constant 4611687117939081216 : i64
        // CHECK: llvm.inline_asm has_side_effects {{.*}}wgmma.mma_async
        // Interleaved rows come by words, to four chunks from one: 4g + t becomes
        // word t of chunks 4g .. 4g + 3.
        // CHECK: %[[CHUNK:.+]] = arith.andi %{{.*}}, %c7_
        // CHECK: %[[LOW:.+]] = arith.andi %{{.*}}, %c7_
        // CHECK: %[[T:.+]] = arith.andi %[[CHUNK]], %c3_
        // CHECK: arith.muli %[[T]], %c4_
        // CHECK: %[[G:.+]] = arith.andi %[[CHUNK]], %c4_
        // CHECK: arith.xori %[[G]], %[[LOW]] : index
        // CHECK: %[[NEXT:.+]] = arith.addi %[[G]], %c1_
        // CHECK: arith.xori %[[NEXT]], %[[LOW]] : index
        // CHECK-COUNT-32: nvvm.cp.async.shared.global {{.*}}, 4, cache = ca
        // CHECK-NEXT: nvvm.cp.async.commit.group
        %s = monarch_tile.dot %q, %tile transposed_rhs : tensor<64x128xbf16, #q>, tensor<32x256xbf16, #rows> -> tensor<64x32xf32, #acc>
        %done = monarch_tile.await %s pending 0 : tensor<64x32xf32, #acc>
        %next = monarch_tile.load %query[%n] interleave into %q : tensor<64x128xbf16, #q> {in_bounds = array<i1: true, true, true, true, true>, map = affine_map<(d0, d1) -> (d0, 0, 0, d1, 0)>} : memref<?x4x4x4x2x128xbf16, strided<[?, ?, ?, ?, ?, 1]>> -> tensor<64x128xbf16, #q>
        monarch_tile.release %tiles[%c0] : !monarch_tile.ring<2, tensor<32x256xbf16, #rows>>
      }
    }
  }
  return
}
