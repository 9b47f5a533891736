// RUN: monarch-opt %s | monarch-opt | FileCheck %s
// RUN: monarch-opt %s --mlir-print-op-generic | monarch-opt | FileCheck %s

// Every op and attribute of the monarch dialect, printed and parsed.

#frame = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
#cached = #monarch.geometry<grid = [6, 4, 6], query_frames = 3, tile = [1, 4, 6], blocks = (h, fw)>
#text = #monarch.geometry<grid = [1, 3, 8], tile = [1, 3, 8], blocks = (fh, w), sequence = 20, pad_before = 4>

// CHECK-DAG: #[[$FRAME:.+]] = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
// CHECK-DAG: #[[$CACHED:.+]] = #monarch.geometry<grid = [6, 4, 6], query_frames = 3, tile = [1, 4, 6], blocks = (h, fw)>
// CHECK-DAG: #[[$TEXT:.+]] = #monarch.geometry<grid = [1, 3, 8], tile = [1, 3, 8], blocks = (fh, w), sequence = 20, pad_before = 4>

// CHECK: module attributes {monarch.target = #monarch.target<chip = "sm_80", kind = "mma_sync", ptx = 80, shared_memory = 166912, multiprocessors = 108>}
module attributes {monarch.target = #monarch.target<chip = "sm_80", kind = "mma_sync", ptx = 80, shared_memory = 166912, multiprocessors = 108>} {

// CHECK-LABEL: func.func @attention
// CHECK: monarch.attention %{{.*}}, %{{.*}}, %{{.*}} on #[[$FRAME]] {scale = 1.250000e-01 : f64} : tensor<1x72x2x64xbf16>
func.func @attention(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>) -> tensor<1x72x2x64xbf16> {
  %o = monarch.attention %q, %k, %v on #frame {scale = 0.125 : f64}
    : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return %o : tensor<1x72x2x64xbf16>
}

// CHECK-LABEL: func.func @options
// CHECK: monarch.attention %{{.*}}, %{{.*}}, %{{.*}} key_frames(%{{.*}}) key_mask(%{{.*}} : tensor<1x144xi1>) on #[[$CACHED]]
// CHECK-SAME: causal_frames = 1 : i64, causal_offset = 2 : i64, iterations = 2 : i64, recompute_frames = 1 : i64, scale = 1.250000e-01 : f64, temperature_floor = 1.000000e-01 : f64
func.func @options(%q: tensor<1x72x2x64xf16>, %k: tensor<1x144x2x64xf16>, %v: tensor<1x144x2x32xf16>, %n: index, %m: tensor<1x144xi1>) -> tensor<1x72x2x32xf16> {
  %o = monarch.attention %q, %k, %v key_frames(%n) key_mask(%m : tensor<1x144xi1>) on #cached
    {causal_frames = 1 : i64, causal_offset = 2 : i64, iterations = 2 : i64, recompute_frames = 1 : i64, scale = 0.125 : f64, temperature_floor = 0.1 : f64}
    : tensor<1x72x2x64xf16>, tensor<1x144x2x64xf16>, tensor<1x144x2x32xf16> -> tensor<1x72x2x32xf16>
  return %o : tensor<1x72x2x32xf16>
}

// CHECK-LABEL: func.func @text
// CHECK: on #[[$TEXT]]
func.func @text(%q: tensor<1x20x1x8xf32>) -> tensor<1x20x1x8xf32> {
  %o = monarch.attention %q, %q, %q on #text {scale = 1.0 : f64}
    : tensor<1x20x1x8xf32>, tensor<1x20x1x8xf32>, tensor<1x20x1x8xf32> -> tensor<1x20x1x8xf32>
  return %o : tensor<1x20x1x8xf32>
}

// CHECK-LABEL: func.func @steps
func.func @steps(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>) -> tensor<1x72x2x64xbf16> {
  // CHECK: monarch.kernel "first" schedule <kind = "host", rows = 64, columns = 16, warps = 1, stages = 1, chunk = 64, element = f32> {
  %aL, %cL = monarch.kernel "first" schedule <kind = "host", rows = 64, columns = 16, warps = 1, stages = 1, chunk = 64, element = f32> {
    // CHECK: monarch.r_step query(%{{.*}} : tensor<1x72x2x64xbf16>) key(%{{.*}} : tensor<1x72x2x64xbf16>) on #[[$FRAME]] {scale = 1.250000e-01 : f64} -> tensor<1x2x18x12x64xf32>
    %a = monarch.r_step query(%q : tensor<1x72x2x64xbf16>) key(%k : tensor<1x72x2x64xbf16>) on #frame {scale = 0.125 : f64} -> tensor<1x2x18x12x64xf32>
    // CHECK: monarch.entropy query(%{{.*}}) key(%{{.*}}) on #[[$FRAME]] {scale = 1.250000e-01 : f64} -> tensor<1x2x18x12xf32>
    %c = monarch.entropy query(%q : tensor<1x72x2x64xbf16>) key(%k : tensor<1x72x2x64xbf16>) on #frame {scale = 0.125 : f64} -> tensor<1x2x18x12xf32>
    // CHECK: monarch.yield
    monarch.yield %a, %c : tensor<1x2x18x12x64xf32>, tensor<1x2x18x12xf32>
  } -> tensor<1x2x18x12x64xf32>, tensor<1x2x18x12xf32>
  // CHECK: monarch.redistribute query(%{{.*}}) keys(%{{.*}}) bias(%{{.*}}) on #[[$FRAME]]
  %aR, %cR = monarch.redistribute query(%q : tensor<1x72x2x64xbf16>) keys(%aL : tensor<1x2x18x12x64xf32>) bias(%cL : tensor<1x2x18x12xf32>) on #frame {scale = 0.125 : f64}
    -> tensor<1x2x18x12x64xf32>, tensor<1x2x18x12xf32>
  // CHECK: monarch.r_step query(%{{.*}}) key(%{{.*}}) value(%{{.*}}) state(%{{.*}}, %{{.*}}) on #[[$FRAME]] {scale = 1.250000e-01 : f64, softmax = "online"} -> tensor<1x2x18x12x64xf32> y tensor<1x2x18x12x64xf32> cL tensor<1x2x18x12xf32>
  %aL2, %y, %cL2 = monarch.r_step query(%q : tensor<1x72x2x64xbf16>) key(%k : tensor<1x72x2x64xbf16>) value(%v : tensor<1x72x2x64xbf16>)
    state(%aR, %cR : tensor<1x2x18x12x64xf32>, tensor<1x2x18x12xf32>) on #frame {scale = 0.125 : f64, softmax = "online"}
    -> tensor<1x2x18x12x64xf32> y tensor<1x2x18x12x64xf32> cL tensor<1x2x18x12xf32>
  // CHECK: monarch.l_step query(%{{.*}}) keys(%{{.*}}) bias(%{{.*}}) values(%{{.*}}) on #[[$FRAME]]
  %l = monarch.l_step query(%q : tensor<1x72x2x64xbf16>) keys(%aL2 : tensor<1x2x18x12x64xf32>) bias(%cL2 : tensor<1x2x18x12xf32>) values(%y : tensor<1x2x18x12x64xf32>) on #frame {scale = 0.125 : f64} -> tensor<1x72x2x64xbf16>
  // CHECK: monarch.dense query(%{{.*}}) key(%{{.*}}) value(%{{.*}}) on #[[$FRAME]] {frames = 1 : i64, scale = 1.250000e-01 : f64}
  %d = monarch.dense query(%q : tensor<1x72x2x64xbf16>) key(%k : tensor<1x72x2x64xbf16>) value(%v : tensor<1x72x2x64xbf16>) on #frame {frames = 1 : i64, scale = 0.125 : f64} -> tensor<1x72x2x64xbf16>
  // CHECK: monarch.replace_frames %{{.*}}, %{{.*}} on #[[$FRAME]] {frames = 1 : i64} : tensor<1x72x2x64xbf16>
  %o = monarch.replace_frames %l, %d on #frame {frames = 1 : i64} : tensor<1x72x2x64xbf16>
  return %o : tensor<1x72x2x64xbf16>
}
}
