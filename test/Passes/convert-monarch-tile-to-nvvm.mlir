// RUN: monarch-opt %s --convert-monarch-tile-to-nvvm --split-input-file --verify-diagnostics | FileCheck %s

#map = affine_map<(d0, d1) -> (0, 0, d0 + d1)>
#token = affine_map<(d0, d1) -> (0, 0, 0, d0 + d1, 0)>
#shared = #monarch_tile.layout<shared, warps = 2>
#lhs = #monarch_tile.layout<lhs, warps = 2>
#acc = #monarch_tile.layout<acc, warps = 2>
#row = #monarch_tile.layout<rows, warps = 2>

// CHECK: llvm.mlir.global external @monarch_shared() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>

// Arguments: pointer, dynamic sizes but the first, dynamic strides.
// CHECK-LABEL: llvm.func @kernel
// CHECK-SAME: (%{{.*}}: !llvm.ptr<1>, %{{.*}}: i64, %{{.*}}: i64, %{{.*}}: i64, %{{.*}}: i64, %{{.*}}: i64, %{{.*}}: !llvm.ptr<1>, %{{.*}}: i32)
// CHECK-SAME: monarch.programs = 3 : i64, monarch.schedule = {{.*}}, monarch.shared_bytes = 4096 : i64
// CHECK-SAME: nvvm.kernel, nvvm.minctasm = 1 : i32, nvvm.reqntid = array<i32: 64, 1, 1>
func.func @kernel(%q: memref<1x1x1x64x1x64xbf16, strided<[?, ?, ?, ?, ?, 1]>>, %x: memref<?x1x64x64xbf16>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 32, columns = 16, warps = 2, stages = 2, chunk = 32, element = bf16>} {
  %true = arith.constant true
  %c0 = arith.constant 0 : index
  // CHECK-DAG: nvvm.read.ptx.sreg.tid.x
  // CHECK-DAG: nvvm.read.ptx.sreg.ctaid.x
  // CHECK-DAG: nvvm.read.ptx.sreg.ctaid.y
  scf.forall (%bh, %i) in (%n, 3) {
    %ring = monarch_tile.alloc_ring : <2, tensor<16x64xbf16, #shared>>
    // A fragment of 4 k-steps: 16 loads of two channels.
    // CHECK-COUNT-16: llvm.load {{.*}} : !llvm.ptr<1> -> i32
    %a = monarch_tile.load %q[%i] {in_bounds = array<i1: true, true, true, true, true>, map = #token} : memref<1x1x1x64x1x64xbf16, strided<[?, ?, ?, ?, ?, 1]>> -> tensor<32x64xbf16, #lhs>
    // 128 chunks of 16 bytes over 64 threads.
    // CHECK-COUNT-2: nvvm.cp.async.shared.global {{.*}}, 16, cache =  cg
    monarch_tile.copy_async %x[%i] to %ring[%c0] if %true {in_bounds = array<i1: true, true, true>, map = #map} : memref<?x1x64x64xbf16> -> <2, tensor<16x64xbf16, #shared>>
    // CHECK: nvvm.cp.async.commit.group
    monarch_tile.commit
    // CHECK: nvvm.cp.async.wait.group 0
    // CHECK-NEXT: nvvm.barrier0
    monarch_tile.wait 0
    %k = monarch_tile.read %ring[%c0] : <2, tensor<16x64xbf16, #shared>> -> tensor<16x64xbf16, #shared>
    // 4 steps x 2 n-tiles, one ldmatrix for both n-tiles of a step.
    // CHECK: nvvm.ldmatrix {{.*}} layout = #nvvm.mma_layout<row>, num = 4 : i32
    // CHECK: nvvm.mma.sync A[{{.*}}] B[{{.*}}] C[{{.*}}] {{.*}}shape = #nvvm.shape<m = 16, n = 8, k = 16>
    // CHECK: nvvm.mma.sync
    %s = monarch_tile.dot %a, %k transposed_rhs : tensor<32x64xbf16, #lhs>, tensor<16x64xbf16, #shared> -> tensor<32x16xf32, #acc>
    // CHECK: nvvm.shfl.sync bfly
    %m = monarch_tile.reduce "max" %s axis 1 : tensor<32x16xf32, #acc> -> tensor<32xf32, #row>
    %w = monarch_tile.broadcast %m axis 1 : tensor<32xf32, #row> -> tensor<32x16xf32, #acc>
    %d = arith.subf %s, %w : tensor<32x16xf32, #acc>
    // CHECK: llvm.inline_asm {{.*}}"ex2.approx.ftz.f32 $0, $1;", "=f,f"
    %e = math.exp2 %d : tensor<32x16xf32, #acc>
    // CHECK: llvm.fptrunc {{.*}} : vector<2xf32> to vector<2xbf16>
    %p = arith.truncf %e : tensor<32x16xf32, #acc> to tensor<32x16xbf16, #acc>
    %l = monarch_tile.convert_layout %p : tensor<32x16xbf16, #acc> -> tensor<32x16xbf16, #lhs>
    // CHECK: nvvm.ldmatrix {{.*}} layout = #nvvm.mma_layout<col>, num = 4 : i32
    %o = monarch_tile.dot %l, %k : tensor<32x16xbf16, #lhs>, tensor<16x64xbf16, #shared> -> tensor<32x32xf32, #acc>
    // Interleaved channels leave as 16-byte vectors, one a row.
    // CHECK-COUNT-2: llvm.store {{.*}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<1>
    monarch_tile.store %o, %x[%i] interleave {in_bounds = array<i1: true, true, true>, map = #map} : tensor<32x32xf32, #acc>, memref<?x1x64x64xbf16>
  }
  return
}

// -----

// 8 columns more than a multiple of 16: the last step is m16n8k8.
#map = affine_map<(d0, d1) -> (0, 0, d0 + d1)>
#shared = #monarch_tile.layout<shared, warps = 1>
#lhs = #monarch_tile.layout<lhs, warps = 1>
#acc = #monarch_tile.layout<acc, warps = 1>
// CHECK-LABEL: llvm.func @tail
// CHECK: shape = #nvvm.shape<m = 16, n = 8, k = 16>
// CHECK: shape = #nvvm.shape<m = 16, n = 8, k = 8>
func.func @tail(%x: memref<?x1x64x64xf16>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 24, warps = 1, stages = 2, chunk = 32, element = f16>} {
  %c0 = arith.constant 0 : index
  scf.forall (%bh) in (%n) {
    %ring = monarch_tile.alloc_ring : <1, tensor<24x64xf16, #shared>>
    %k = monarch_tile.read %ring[%c0] : <1, tensor<24x64xf16, #shared>> -> tensor<24x64xf16, #shared>
    %z = arith.constant dense<1.0> : tensor<16x24xf32, #acc>
    %p = arith.truncf %z : tensor<16x24xf32, #acc> to tensor<16x24xf16, #acc>
    %l = monarch_tile.convert_layout %p : tensor<16x24xf16, #acc> -> tensor<16x24xf16, #lhs>
    %o = monarch_tile.dot %l, %k : tensor<16x24xf16, #lhs>, tensor<24x64xf16, #shared> -> tensor<16x32xf32, #acc>
    monarch_tile.store %o, %x[%c0] interleave {in_bounds = array<i1: true, true, true>, map = #map} : tensor<16x32xf32, #acc>, memref<?x1x64x64xf16>
  }
  return
}

// -----

#map = affine_map<(d0, d1) -> (0, 0, d0 + d1)>
func.func @unplaced(%x: memref<?x1x64x64xf16>, %n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 24, warps = 1, stages = 2, chunk = 32, element = f16>} {
  scf.forall (%bh) in (%n) {
    // expected-error @below {{expected a layout of registers that loads fill (lhs, acc, rows), or a ring from monarch-tile-pipeline}}
    %o = monarch_tile.load %x[%bh] {in_bounds = array<i1: true, true, true>, map = #map} : memref<?x1x64x64xf16> -> tensor<16x64xf16, #monarch_tile.layout<shared, warps = 1>>
  }
  return
}

// -----

// expected-error @below {{expected a schedule of kind mma_sync or wgmma, got host}}
func.func @host() attributes {monarch.schedule = #monarch.schedule<kind = "host", rows = 16, columns = 24, warps = 1, stages = 2, chunk = 32, element = f32>} {
  return
}

// -----

func.func @inside(%n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 8, warps = 1, stages = 2, chunk = 32, element = bf16>} {
  scf.forall (%i) in (%n) {
    // expected-error @below {{expected one scf.forall, directly in the kernel}}
    scf.forall (%j) in (4) {
    }
  }
  return
}

// -----

func.func @unknown(%n: index, %m: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 8, warps = 1, stages = 2, chunk = 32, element = bf16>} {
  // expected-error @below {{expected constant positive numbers of programs after the first}}
  scf.forall (%i, %j) in (%n, %m) {
  }
  return
}

// -----

func.func @none(%n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 8, warps = 1, stages = 2, chunk = 32, element = bf16>} {
  // expected-error @below {{expected programs from 0 by 1, in one dimension or more, without results}}
  scf.forall () in () {
  }
  return
}

// -----

func.func @strides(%n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 8, warps = 1, stages = 2, chunk = 32, element = bf16>} {
  // expected-error @below {{expected programs from 0 by 1, in one dimension or more, without results}}
  scf.forall (%i) = (2) to (8) step (2) {
  }
  return
}

// -----

func.func @twice(%n: index)
    attributes {monarch.schedule = #monarch.schedule<kind = "mma_sync", rows = 16, columns = 8, warps = 1, stages = 2, chunk = 32, element = bf16>} {
  // expected-error @below {{expected one scf.forall, directly in the kernel}}
  scf.forall (%i) in (4) {
  }
  scf.forall (%i) in (4) {
  }
  return
}
