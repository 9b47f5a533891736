// Which schedule is chosen, per chip and shape. How it lowers is tested apart.
// RUN: monarchc --workload=wan-480p-95 --target=host --emit=fused | FileCheck %s --check-prefix=HOST
// RUN: monarchc --workload=wan-480p-95 --target=sm_80 --emit=fused | FileCheck %s --check-prefix=SM80
// RUN: monarchc --workload=wan-480p-95 --target=sm_89 --emit=fused | FileCheck %s --check-prefix=SM89
// RUN: monarchc --workload=wan-720p-97 --target=sm_90a --schedule=r_step.ring=0 --emit=fused | FileCheck %s --check-prefix=SM90
// RUN: monarchc --workload=wan-720p-97 --target=sm_90a --emit=fused --print-remarks 2>&1 | FileCheck %s --check-prefix=RING
// RUN: monarchc --workload=wan-14b-720p-97 --target=sm_90a --emit=fused | FileCheck %s --check-prefix=RING14
// RUN: monarchc --workload=wan-720p-97 --target=sm_90a --schedule=r_step.ring=77,r_step.slots=224 --emit=fused | FileCheck %s --check-prefix=DEALT
// RUN: monarchc --grid=3,45,80 --heads=1 --target=sm_90a --emit=fused | FileCheck %s --check-prefix=SHORT
// RUN: monarchc --workload=wan-720p-98 --target=sm_90a --emit=fused --print-remarks 2>&1 | FileCheck %s --check-prefix=MANY
// RUN: monarchc --workload=wan-720p-98 --target=sm_90a --schedule=l_step.rows=192,l_step.warps=12,l_step.stages=3,l_step.rest=0 --emit=fused | FileCheck %s --check-prefix=NOREST
// RUN: monarchc --grid=6,24,40 --tile=6,24,40 --target=sm_90a --emit=fused | FileCheck %s --check-prefix=TOOMANY
// RUN: monarchc --workload=wan-720p-98 --target=sm_90a --schedule=r_step.ring=0 --emit=fused | FileCheck %s --check-prefix=WIDE
// RUN: monarchc --workload=wan-720p-98 --target=sm_90a --schedule=l_step.kind=mma_sync --emit=fused | FileCheck %s --check-prefix=SYNC
// RUN: monarchc --workload=wan-720p-97 --target=sm_90a --schedule=r_step.ring=0,l_step.kind=wgmma --emit=fused | FileCheck %s --check-prefix=FEWER
// RUN: monarchc --workload=vmonarch-480p --iterations=1 --recompute-frames=0 --target=sm_90a --emit=fused | FileCheck %s --check-prefix=LONG
// RUN: monarchc --workload=wan-480p-95 --target=sm_90a --emit=fused --print-remarks 2>&1 | FileCheck %s --check-prefix=CLUSTER
// RUN: monarchc --workload=self-forcing-480p-step-90 --target=sm_90a --emit=fused | FileCheck %s --check-prefix=STEP
// RUN: monarchc --workload=self-forcing-480p-step-90 --target=sm_90a --schedule=r_step.clusters=9 --emit=fused | FileCheck %s --check-prefix=NINE
// RUN: monarchc --grid=100,30,52 --query-frames=1 --heads=1 --target=sm_90a --emit=fused --print-remarks 2>&1 | FileCheck %s --check-prefix=ONE
// RUN: monarchc --grid=200,30,52 --query-frames=1 --heads=5 --target=sm_90a --emit=fused --print-remarks 2>&1 | FileCheck %s --check-prefix=FIVE
// RUN: monarchc --workload=wan-480p-95 --causal-frames=3 --target=sm_90a --emit=fused | FileCheck %s --check-prefix=CAUSAL
// RUN: monarchc --workload=wan-480p-95 --target=sm_90a --schedule=r_step.cluster=1 --emit=fused | FileCheck %s --check-prefix=ALONE
// RUN: monarchc --grid=1,40,40 --heads=1 --target=sm_90a --emit=fused | FileCheck %s --check-prefix=FEW
// RUN: monarchc --grid=3,4,128 --heads=1 --target=sm_90a --emit=fused | FileCheck %s --check-prefix=COLUMNS
// RUN: monarchc --grid=3,4,256 --heads=1 --target=sm_90a --emit=fused | FileCheck %s --check-prefix=WIDEST
// RUN: monarchc --grid=3,8,12 --tile=3,8,12 --blocks=f,hw --heads=1 --target=sm_90a --emit=fused | FileCheck %s --check-prefix=AXES
// RUN: monarchc --workload=wan-720p-97 --target=sm_90a --schedule=r_step.ring=0 --emit=fused --print-remarks 2>&1 | FileCheck %s --check-prefix=REMARK
// RUN: monarchc --workload=wan-720p-97 --target=sm_90a --schedule=r_step.ring=0,r_step.stages=3,l_step.columns=16 --emit=fused --print-remarks 2>&1 | FileCheck %s --check-prefix=ASKED
// RUN: monarchc --workload=wan-480p-95 --target=sm_90a --schedule=r_step.kind=mma_sync --emit=fused | FileCheck %s --check-prefix=KIND
// RUN: monarch-opt %s --monarch-select-schedule --verify-diagnostics --split-input-file

// HOST: kernel "r_step" schedule <kind = "host", rows = 64, columns = 64, warps = 1, stages = 1, chunk = 128, element = f32>
// HOST: kernel "l_step" schedule <kind = "host", rows = 32, columns = 64,

// A row of 52 scores is one tile of 56 columns; 128 rows are packed over (a, j).
// SM80: kernel "r_step" schedule <kind = "mma_sync", rows = 128, columns = 56, warps = 4, stages = 2, chunk = 32, element = bf16>
// SM80: kernel "l_step" schedule <kind = "mma_sync", rows = 32, columns = 32, warps = 2, stages = 3, chunk = 128, element = bf16>
// 99 KiB: one m16 tile a warp.
// SM89: kernel "r_step" schedule <kind = "mma_sync", rows = 128, columns = 56, warps = 8, stages = 2,
// Hopper: wgmma and TMA, three consumer warpgroups of 64 rows.
// SM90: kernel "r_step" schedule <kind = "wgmma", rows = 192, columns = 80, warps = 12, stages = 2, chunk = 64, element = bf16>
// SM90: kernel "l_step" schedule <kind = "mma_sync", rows = 48, columns = 32, warps = 3, stages = 3,

// Between 33 and 64 rows in a block a pair's outputs fit a warpgroup: 47 programs
// hold a slab's 187 pairs, the others deal its keys.
// RING: remark: kernel r_step: wgmma 192 x 80 tiles, 12 warps, 2 stages: rows go to the l_step through a ring in L2, 85 programs beside its 47, an estimated 9183k clocks against 11180k apart
// RING: remark: kernel l_step: wgmma 64 x 32 tiles, 16 warps, 2 stages: rows come from the r_step through a ring in L2, a pair for every 1 warpgroups
// RING: kernel "attention" schedule <kind = "wgmma", rows = 192, columns = 80, warps = 12, stages = 2, chunk = 64, element = bf16, ring = 85, slots = 352>
// RING-SAME: beside <kind = "wgmma", rows = 64, columns = 32, warps = 16, stages = 2, chunk = 128, element = bf16, ring = 47, slots = 352>
// RING14: kernel "attention" schedule <{{.*}}, ring = 85, slots = 352> beside <{{.*}}, ring = 47, slots = 352>
// DEALT: kernel "attention" schedule <{{.*}}, ring = 77, slots = 224> beside <{{.*}}, ring = 47, slots = 224>
// Too few keys to fill and drain a ring.
// SHORT: kernel "r_step" schedule <kind = "wgmma", rows = 192, columns = 80,
// SHORT-NOT: ring

// 135 rows are two warpgroups' and 7 more, which single warps have; R's tile has
// as many rows as a slab has pairs.
// MANY: remark: kernel r_step: wgmma 64 x 80 tiles, 8 warps, 1 stages: rows go to the l_step through a ring in L2, 69 programs beside its 63, an estimated 4625k clocks against 4941k apart
// MANY: remark: kernel l_step: wgmma 128 x 64 tiles, 8 warps, 4 stages: rows come from the r_step through a ring in L2, a pair for every 2 warpgroups
// MANY: kernel "attention" schedule <kind = "wgmma", rows = 64, columns = 80, warps = 8, stages = 1, chunk = 64, element = bf16, ring = 69, slots = 704>
// MANY-SAME: beside <kind = "wgmma", rows = 128, columns = 64, warps = 8, stages = 4, chunk = 128, element = bf16, ring = 63, slots = 704, rest = 16>
// NOREST: beside <kind = "wgmma", rows = 192, columns = 64, warps = 12, stages = 3, chunk = 128, element = bf16, ring = 63, slots = 704>
// A single warp has registers for 8 rows' outputs, not for 16.
// TOOMANY-NOT: ring

// b2 = 80 still fits three warpgroups; b1 = 135: so many rows share their keys
// that L is on wgmma too.
// WIDE: kernel "r_step" schedule <kind = "wgmma", rows = 192, columns = 80, warps = 12, stages = 2,
// WIDE: kernel "l_step" schedule <kind = "wgmma", rows = 192, columns = 96, warps = 12, stages = 2, chunk = 128,
// SYNC: kernel "r_step" schedule <kind = "wgmma",
// SYNC: kernel "l_step" schedule <kind = "mma_sync", rows = 144, columns = 32, warps = 9, stages = 3,
// FEWER: kernel "l_step" schedule <kind = "wgmma", rows = 64, columns = 96, warps = 4, stages = 2,

// b2 = 1560: online softmax and entropy.
// LONG: kernel "r_step" schedule <kind = "mma_sync", rows = 64, columns = 32, warps = 4, stages = 3, chunk = 128,
// LONG: softmax = "online"

// 40 rows are one warpgroup; 128 columns leave registers for two.
// FEW: kernel "r_step" schedule <kind = "wgmma", rows = 64, columns = 40, warps = 4,
// COLUMNS: kernel "r_step" schedule <kind = "wgmma", rows = 128, columns = 128, warps = 8, stages = 2,
// b2 = 256: a stage of keys and one of values fill shared memory.
// WIDEST: kernel "r_step" schedule <kind = "wgmma", rows = 128, columns = 256, warps = 8, stages = 1,
// Keys along two axes are no box for TMA.
// AXES: kernel "r_step" schedule <kind = "mma_sync",

// REMARK: remark: kernel r_step: wgmma 192 x 80 tiles, 12 warps, 2 stages: a row of scores fits one tile, rows packed over (a,j); ring as asked
// REMARK: remark: kernel l_step: mma_sync 48 x 32 tiles, 3 warps, 3 stages: keys flattened over key tile and row

// Up to 32 rows in a block, R and L work in clusters: 16 members hold 32 rows a
// pair, 8 hold 16.
// CLUSTER: remark: kernel r_step: wgmma 64 x 56 tiles, 8 warps, 2 stages: rows go to the l_step through a cluster of 16, an estimated 3447k clocks against 4918k apart
// CLUSTER: remark: kernel l_step: mma_sync 128 x 16 tiles, 8 warps, 3 stages: rows come from the r_step through a cluster of 16
// CLUSTER: kernel "attention" schedule <kind = "wgmma", rows = 64, columns = 56, warps = 8, stages = 2, chunk = 64, element = bf16, cluster = 16, clusters = 7, producer = 4>
// CLUSTER-SAME: beside <kind = "mma_sync", rows = 128, columns = 16, warps = 8, stages = 3, chunk = 128, element = bf16, cluster = 16, clusters = 7>
// NINE: kernel "attention" schedule <{{.*}}, cluster = 8, clusters = 9, producer = 4> beside <{{.*}}, cluster = 8, clusters = 9>
// The teams of R have a producer.
// STEP: kernel "attention" schedule <{{.*}}, cluster = 8, clusters = 15, producer = 4> beside <{{.*}}, rows = 128, columns = 8, warps = 8, stages = 3, {{.*}}, cluster = 8, clusters = 15>
// Four parts of the one slab use most of the chip; five slabs are not cut.
// ONE: remark: kernel r_step: {{.*}} cluster of 16, an estimated 164k clocks against 220k apart
// FIVE: remark: no cluster of 16, an estimated 1043k clocks against 1035k apart
// FIVE: kernel "r_step" schedule <kind = "wgmma", rows = 64,
// FIVE-NOT: cluster
// Pairs of a slab may see different keys; or apart as asked.
// CAUSAL: kernel "r_step" schedule <kind = "wgmma", rows = 192,
// ALONE: kernel "r_step" schedule <kind = "wgmma", rows = 192,
// ALONE: kernel "l_step" schedule <kind = "mma_sync", rows = 32,

// A part that is asked for replaces the chosen one; the request is used up.
// ASKED: remark: kernel r_step: wgmma 192 x 80 tiles, 12 warps, 3 stages: {{.*}}; stages as asked
// ASKED: remark: kernel l_step: mma_sync 48 x 16 tiles, {{.*}}; columns as asked
// ASKED-NOT: monarch.schedule_request
// ASKED: rows = 192, columns = 80, warps = 12, stages = 3, chunk = 64,
// ASKED: rows = 48, columns = 16, warps = 3, stages = 3, chunk = 128,
// The rest follows the kind.
// KIND: kernel "r_step" schedule <kind = "mma_sync", rows = 128, columns = 56, warps = 4, stages = 3, chunk = 32,

// expected-error @below {{expected module attribute 'monarch.target' with the target to schedule for}}
module {}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
module attributes {monarch.target = #monarch.target<chip = "sm_80", kind = "mma_sync", ptx = 80, shared_memory = 166912, multiprocessors = 108>} {
func.func @f(%q: tensor<1x72x2x32xbf16>) -> tensor<1x72x2x32xbf16> {
  %o = monarch.kernel "dense" {
    // expected-error @below {{head_dim 32 with value dim 32 is not supported on target sm_80 (expected both 64 or both 128); use target host}}
    %d = monarch.dense query(%q : tensor<1x72x2x32xbf16>) key(%q : tensor<1x72x2x32xbf16>) value(%q : tensor<1x72x2x32xbf16>) on #g {frames = 3 : i64, scale = 0.5 : f64} -> tensor<1x72x2x32xbf16>
    monarch.yield %d : tensor<1x72x2x32xbf16>
  } -> tensor<1x72x2x32xbf16>
  return %o : tensor<1x72x2x32xbf16>
}
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
module attributes {monarch.target = #monarch.target<chip = "sm_80", kind = "mma_sync", ptx = 80, shared_memory = 166912, multiprocessors = 108>} {
func.func @f(%q: tensor<1x72x2x64xf32>) -> tensor<1x72x2x64xf32> {
  %o = monarch.kernel "dense" {
    // expected-error @below {{dtype f32 is not supported on target sm_80 (expected bf16 or f16); use target host}}
    %d = monarch.dense query(%q : tensor<1x72x2x64xf32>) key(%q : tensor<1x72x2x64xf32>) value(%q : tensor<1x72x2x64xf32>) on #g {frames = 3 : i64, scale = 0.5 : f64} -> tensor<1x72x2x64xf32>
    monarch.yield %d : tensor<1x72x2x64xf32>
  } -> tensor<1x72x2x64xf32>
  return %o : tensor<1x72x2x64xf32>
}
}
