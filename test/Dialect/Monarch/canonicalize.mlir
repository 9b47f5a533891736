// RUN: monarch-opt %s --canonicalize --split-input-file | FileCheck %s

// A7: T = 1 and b2 = 1 is dense attention over all keys.
#columns = #monarch.geometry<grid = [3, 4, 6], tile = [3, 4, 1], blocks = (fh, w)>
// CHECK-LABEL: @one_column
// CHECK-NOT: monarch.attention
// CHECK: monarch.dense {{.*}} {frames = 3 : i64, scale = 1.000000e+00 : f64}
func.func @one_column(%q: tensor<1x72x2x64xbf16>) -> tensor<1x72x2x64xbf16> {
  %o = monarch.attention %q, %q, %q on #columns {scale = 1.0 : f64}
    : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return %o : tensor<1x72x2x64xbf16>
}

// -----

// A7: T = 1, one key tile and b1 = 1.
#rows = #monarch.geometry<grid = [1, 4, 6], tile = [1, 4, 6], blocks = (f, hw)>
// CHECK-LABEL: @one_row
// CHECK: monarch.dense
func.func @one_row(%q: tensor<1x24x2x64xbf16>) -> tensor<1x24x2x64xbf16> {
  %o = monarch.attention %q, %q, %q on #rows {scale = 1.0 : f64}
    : tensor<1x24x2x64xbf16>, tensor<1x24x2x64xbf16>, tensor<1x24x2x64xbf16> -> tensor<1x24x2x64xbf16>
  return %o : tensor<1x24x2x64xbf16>
}

// -----

// Several key tiles with b1 = 1 are not dense: L mixes their rows.
#tiles = #monarch.geometry<grid = [2, 4, 6], tile = [1, 4, 6], blocks = (f, hw)>
// CHECK-LABEL: @two_tiles
// CHECK: monarch.attention
func.func @two_tiles(%q: tensor<1x48x2x64xbf16>) -> tensor<1x48x2x64xbf16> {
  %o = monarch.attention %q, %q, %q on #tiles {scale = 1.0 : f64}
    : tensor<1x48x2x64xbf16>, tensor<1x48x2x64xbf16>, tensor<1x48x2x64xbf16> -> tensor<1x48x2x64xbf16>
  return %o : tensor<1x48x2x64xbf16>
}

// -----

// T = 2 is not dense even with one column.
#columns = #monarch.geometry<grid = [3, 4, 6], tile = [3, 4, 1], blocks = (fh, w)>
// CHECK-LABEL: @two_iterations
// CHECK: monarch.attention
func.func @two_iterations(%q: tensor<1x72x2x64xbf16>) -> tensor<1x72x2x64xbf16> {
  %o = monarch.attention %q, %q, %q on #columns {scale = 1.0 : f64, iterations = 2 : i64}
    : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return %o : tensor<1x72x2x64xbf16>
}

// -----

// A3: nothing of the Monarch result is left when every frame is recomputed.
#frame = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
// CHECK-LABEL: @all_recomputed
// CHECK: monarch.dense
func.func @all_recomputed(%q: tensor<1x72x2x64xbf16>) -> tensor<1x72x2x64xbf16> {
  %o = monarch.attention %q, %q, %q on #frame {scale = 1.0 : f64, iterations = 2 : i64, recompute_frames = 3 : i64}
    : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return %o : tensor<1x72x2x64xbf16>
}
