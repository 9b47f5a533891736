// RUN: monarch-opt %s --verify-diagnostics --split-input-file

// One case a check; messages cite the labels of docs/semantics.md.

// expected-error @below {{G1: expected grid frames in 1..16777216, got 0}}
#g = #monarch.geometry<grid = [0, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>

// -----

// expected-error @below {{G1: expected tile height in 1..4, got 5}}
#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 5, 6], blocks = (fh, w)>

// -----

// expected-error @below {{G1: expected query frames in 1..3 (the key frames), got 4}}
#g = #monarch.geometry<grid = [3, 4, 6], query_frames = 4, tile = [1, 4, 6], blocks = (fh, w)>

// -----

// expected-error @below {{G1: expected at most 1073741824 tokens, got grid 16777216x16777216x1}}
#g = #monarch.geometry<grid = [16777216, 16777216, 1], tile = [1, 1, 1], blocks = (fh, w)>

// -----

// expected-error @below {{G2: expected blocks (fh, w), (w, fh), (f, hw), (hw, f), (fw, h) or (h, fw), got (fh, h)}}
#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, h)>

// -----

// expected-error @below {{G1: expected 3 extents (frames, height, width), got 2}}
#g = #monarch.geometry<grid = [3, 4], tile = [1, 4, 6], blocks = (fh, w)>

// -----

// expected-error @below {{geometry lacks 'tile'}}
#g = #monarch.geometry<grid = [3, 4, 6], blocks = (fh, w)>

// -----

// expected-error @below {{field 'grid' given twice}}
#g = #monarch.geometry<grid = [3, 4, 6], grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>

// -----

// expected-error @below {{expected grid, query_frames, tile, blocks, sequence or pad_before, got 'size'}}
#g = #monarch.geometry<size = 3>

// -----

// expected-error @below {{G3: expected a sequence of 17..24 tokens on 3 blocks of 8, got 12}}
#g = #monarch.geometry<grid = [1, 3, 8], tile = [1, 3, 8], blocks = (fh, w), sequence = 12>

// -----

// expected-error @below {{G3: expected padding before the sequence of 0 or 4, got 3}}
#g = #monarch.geometry<grid = [1, 3, 8], tile = [1, 3, 8], blocks = (fh, w), sequence = 20, pad_before = 3>

// -----

// expected-error @below {{G3: expected no padding before a video grid, got 3}}
#g = #monarch.geometry<grid = [1, 3, 8], tile = [1, 3, 8], blocks = (fh, w), pad_before = 3>

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x71x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{G1: expected query with 72 tokens, got 71}}
  %o = monarch.attention %q, %k, %v on #g {scale = 1.0 : f64} : tensor<1x71x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{expected query of static shape [B, Nq, heads, D]}}
  %o = monarch.attention %q, %k, %v on #g {scale = 1.0 : f64} : tensor<1x72x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x32xbf16>, %v: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{G1: expected key of shape [1, 72, 2, 64], got [1, 72, 2, 32]}}
  %o = monarch.attention %q, %k, %v on #g {scale = 1.0 : f64} : tensor<1x72x2x64xbf16>, tensor<1x72x2x32xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x3x64xbf16>) {
  // expected-error @below {{G1: expected value of shape [1, 72, 2, 64], got [1, 72, 3, 64]}}
  %o = monarch.attention %q, %k, %v on #g {scale = 1.0 : f64} : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x3x64xbf16> -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xf16>, %v: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{expected key elements}}
  %o = monarch.attention %q, %k, %v on #g {scale = 1.0 : f64} : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xf64>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{expected query elements f16, bf16 or f32}}
  %o = monarch.attention %q, %k, %v on #g {scale = 1.0 : f64} : tensor<1x72x2x64xf64>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{G1: expected result of shape [1, 72, 2, 64], got [1, 72, 2, 32]}}
  %o = monarch.attention %q, %k, %v on #g {scale = 1.0 : f64} : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x32xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{expected result elements}}
  %o = monarch.attention %q, %k, %v on #g {scale = 1.0 : f64} : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xf32>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{expected iterations in 1..64, got 0}}
  %o = monarch.attention %q, %k, %v on #g {scale = 1.0 : f64, iterations = 0 : i64} : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{expected a finite scale}}
  %o = monarch.attention %q, %k, %v on #g {scale = 0x7FF0000000000000 : f64} : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{A2: expected temperature_floor above 0 and at most 1, got 0.000000e+00}}
  %o = monarch.attention %q, %k, %v on #g {scale = 1.0 : f64, temperature_floor = 0.0 : f64} : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{A3: expected recompute_frames in 0..3, got 4}}
  %o = monarch.attention %q, %k, %v on #g {scale = 1.0 : f64, recompute_frames = 4 : i64} : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{A4: expected causal_offset 0 without causal_frames, got 1}}
  %o = monarch.attention %q, %k, %v on #g {scale = 1.0 : f64, causal_offset = 1 : i64} : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{A4: expected causal_offset to be a multiple}}
  %o = monarch.attention %q, %k, %v on #g {scale = 1.0 : f64, causal_frames = 1 : i64, causal_offset = 1 : i64} : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>, %m: tensor<1x71xi1>) {
  // expected-error @below {{G3: expected key_mask of shape [1, 72], got [1, 71]}}
  %o = monarch.attention %q, %k, %v key_mask(%m : tensor<1x71xi1>) on #g {scale = 1.0 : f64} : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %k: tensor<1x72x2x64xbf16>, %v: tensor<1x72x2x64xbf16>, %m: tensor<1x72xi8>) {
  // expected-error @below {{expected key_mask elements i1}}
  %o = monarch.attention %q, %k, %v key_mask(%m : tensor<1x72xi8>) on #g {scale = 1.0 : f64} : tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16>, tensor<1x72x2x64xbf16> -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [4, 4, 6], tile = [2, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x96x2x64xbf16>) {
  // expected-error @below {{A4: expected causal_frames to be 0 or a multiple of the tile's 2 frames, got 3}}
  %o = monarch.attention %q, %q, %q on #g {scale = 1.0 : f64, causal_frames = 3 : i64} : tensor<1x96x2x64xbf16>, tensor<1x96x2x64xbf16>, tensor<1x96x2x64xbf16> -> tensor<1x96x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [1, 3, 8], tile = [1, 3, 8], blocks = (fh, w), sequence = 20>
func.func @f(%q: tensor<1x20x2x64xbf16>, %n: index) {
  // expected-error @below {{A5: expected no key_frames on a sequence}}
  %o = monarch.attention %q, %q, %q key_frames(%n) on #g {scale = 1.0 : f64} : tensor<1x20x2x64xbf16>, tensor<1x20x2x64xbf16>, tensor<1x20x2x64xbf16> -> tensor<1x20x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{G1: expected result aL of shape [1, 2, 18, 12, 64]}}
  %a = monarch.r_step query(%q : tensor<1x72x2x64xbf16>) key(%q : tensor<1x72x2x64xbf16>) on #g {scale = 1.0 : f64} -> tensor<1x2x18x11x64xf32>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{expected result y exactly when value is given}}
  %a, %y = monarch.r_step query(%q : tensor<1x72x2x64xbf16>) key(%q : tensor<1x72x2x64xbf16>) on #g {scale = 1.0 : f64} -> tensor<1x2x18x12x64xf32> y tensor<1x2x18x12x64xf32>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{A6: expected softmax two_pass, one_tile or online, got 'none'}}
  %a = monarch.r_step query(%q : tensor<1x72x2x64xbf16>) key(%q : tensor<1x72x2x64xbf16>) on #g {scale = 1.0 : f64, softmax = "none"} -> tensor<1x2x18x12x64xf32>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{A6: expected result cL exactly when the entropy is fused}}
  %a = monarch.r_step query(%q : tensor<1x72x2x64xbf16>) key(%q : tensor<1x72x2x64xbf16>) on #g {scale = 1.0 : f64, softmax = "online"} -> tensor<1x2x18x12x64xf32>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %s: tensor<1x2x18x12x64xf32>, %w: tensor<1x2x18x13xf32>) {
  // expected-error @below {{G1: expected state cR of shape [1, 2, 18, 12], got [1, 2, 18, 13]}}
  %a = monarch.r_step query(%q : tensor<1x72x2x64xbf16>) key(%q : tensor<1x72x2x64xbf16>) state(%s, %w : tensor<1x2x18x12x64xf32>, tensor<1x2x18x13xf32>) on #g {scale = 1.0 : f64} -> tensor<1x2x18x12x64xf32>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{G1: expected result cL of shape [1, 2, 18, 12]}}
  %c = monarch.entropy query(%q : tensor<1x72x2x64xbf16>) key(%q : tensor<1x72x2x64xbf16>) on #g {scale = 1.0 : f64} -> tensor<1x2x18x11xf32>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %a: tensor<1x2x18x12x64xf32>, %c: tensor<1x2x18x11xf32>) {
  // expected-error @below {{A1: expected bias cL of shape [1, 2, 18, 12], got [1, 2, 18, 11]}}
  %o = monarch.l_step query(%q : tensor<1x72x2x64xbf16>) keys(%a : tensor<1x2x18x12x64xf32>) bias(%c : tensor<1x2x18x11xf32>) values(%a : tensor<1x2x18x12x64xf32>) on #g {scale = 1.0 : f64} -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>, %a: tensor<1x2x18x12x64xf32>, %c: tensor<1x2x18x12xf32>) {
  // expected-error @below {{A1: expected result cR of shape [1, 2, 18, 12], got [1, 2, 18]}}
  %r, %w = monarch.redistribute query(%q : tensor<1x72x2x64xbf16>) keys(%a : tensor<1x2x18x12x64xf32>) bias(%c : tensor<1x2x18x12xf32>) on #g {scale = 1.0 : f64} -> tensor<1x2x18x12x64xf32>, tensor<1x2x18xf32>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{A3: expected frames in 1..3, got 0}}
  %o = monarch.dense query(%q : tensor<1x72x2x64xbf16>) key(%q : tensor<1x72x2x64xbf16>) value(%q : tensor<1x72x2x64xbf16>) on #g {frames = 0 : i64, scale = 1.0 : f64} -> tensor<1x72x2x64xbf16>
  return
}

// -----

#g = #monarch.geometry<grid = [3, 4, 6], tile = [1, 4, 6], blocks = (fh, w)>
func.func @f(%q: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{A3: expected frames in 1..3, got 7}}
  %o = monarch.replace_frames %q, %q on #g {frames = 7 : i64} : tensor<1x72x2x64xbf16>
  return
}

// -----

func.func @f(%q: tensor<1x72x2x64xbf16>) {
  // expected-error @below {{expected results with the types of monarch.yield's operands}}
  %o = monarch.kernel "k" {
    monarch.yield
  } -> tensor<1x72x2x64xbf16>
  return
}

// -----

// expected-error @below {{expected kind host, mma_sync or wgmma, got 'tpu'}}
#a = #monarch.target<chip = "x", kind = "tpu", ptx = 0, shared_memory = 0, multiprocessors = 1>

// -----

// expected-error @below {{expected capabilities that are not negative}}
#a = #monarch.target<chip = "x", kind = "host", ptx = 0, shared_memory = -1, multiprocessors = 1>

// -----

// expected-error @below {{expected rows to be a multiple of 64 up to 1024, got 100}}
#a = #monarch.schedule<kind = "mma_sync", rows = 100, columns = 56, warps = 4, stages = 3, chunk = 32, element = bf16>

// -----

// expected-error @below {{expected columns to be a multiple of 8 up to 256, got 0}}
#a = #monarch.schedule<kind = "mma_sync", rows = 64, columns = 0, warps = 4, stages = 3, chunk = 32, element = bf16>

// -----

// expected-error @below {{expected stages to be a multiple of 1 up to 16, got 0}}
#a = #monarch.schedule<kind = "mma_sync", rows = 64, columns = 8, warps = 4, stages = 0, chunk = 32, element = bf16>

// -----

// expected-error @below {{expected element bf16 or f16 for kind mma_sync, got 'f32'}}
#a = #monarch.schedule<kind = "mma_sync", rows = 64, columns = 8, warps = 4, stages = 2, chunk = 32, element = f32>

// -----

// expected-error @below {{expected warps to be a multiple of 4 up to 12, got 16}}
#a = #monarch.schedule<kind = "wgmma", rows = 256, columns = 56, warps = 16, stages = 3, chunk = 64, element = bf16>

// -----

// expected-error @below {{expected rows to be a multiple of 192 up to 192, got 384}}
#a = #monarch.schedule<kind = "wgmma", rows = 384, columns = 56, warps = 12, stages = 3, chunk = 64, element = bf16>

// -----

// expected-error @below {{expected ring 0, or up to 1024 with kind wgmma and no cluster, got 8}}
#a = #monarch.schedule<kind = "mma_sync", rows = 64, columns = 56, warps = 4, stages = 3, chunk = 32, element = bf16, ring = 8, slots = 64>

// -----

// expected-error @below {{expected slots up to 65536 with a ring, and 0 without, got 64}}
#a = #monarch.schedule<kind = "wgmma", rows = 64, columns = 56, warps = 4, stages = 3, chunk = 64, element = bf16, slots = 64>

// -----

// expected-error @below {{expected teams of 192 rows, 16 a warp, got 16 warps}}
#a = #monarch.schedule<kind = "wgmma", rows = 192, columns = 80, warps = 16, stages = 1, chunk = 64, element = bf16, ring = 69, slots = 64>

// -----

// expected-error @below {{expected producer 0, or 4 with kind wgmma in a cluster, got 4}}
#a = #monarch.schedule<kind = "wgmma", rows = 192, columns = 56, warps = 12, stages = 3, chunk = 64, element = bf16, producer = 4>

// -----

// expected-error @below {{expected rest 0, or 16 in a ring beside one team of all warps, got 8}}
#a = #monarch.schedule<kind = "wgmma", rows = 128, columns = 64, warps = 8, stages = 4, chunk = 128, element = bf16, ring = 63, slots = 64, rest = 8>

// -----

// expected-error @below {{expected rest 0, or 16 in a ring beside one team of all warps, got 16}}
#a = #monarch.schedule<kind = "wgmma", rows = 64, columns = 64, warps = 8, stages = 4, chunk = 128, element = bf16, ring = 63, slots = 64, rest = 16>

// -----

// expected-error @below {{expected rest 0, or 16 in a ring beside one team of all warps, got 16}}
#a = #monarch.schedule<kind = "wgmma", rows = 128, columns = 64, warps = 8, stages = 4, chunk = 128, element = bf16, rest = 16>

// -----

// expected-error @below {{expected stages in multiples of 4 with a rest, got 3}}
#a = #monarch.schedule<kind = "wgmma", rows = 128, columns = 64, warps = 8, stages = 3, chunk = 128, element = bf16, ring = 63, slots = 64, rest = 16>

// -----

// expected-error @below {{expected 1 to 128 clusters of a cluster's programs, and 0 without a cluster, got 0}}
#a = #monarch.schedule<kind = "wgmma", rows = 64, columns = 56, warps = 8, stages = 2, chunk = 64, element = bf16, cluster = 16>

// -----

// expected-error @below {{expected 1 to 128 clusters of a cluster's programs, and 0 without a cluster, got 7}}
#a = #monarch.schedule<kind = "wgmma", rows = 64, columns = 56, warps = 4, stages = 2, chunk = 64, element = bf16, clusters = 7>
