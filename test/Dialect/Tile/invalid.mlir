// RUN: monarch-opt %s --verify-diagnostics --split-input-file

// expected-error @below {{expected layout shared, swizzled, staged, exchanged, lhs, acc, rows or columns, got 'rhs'}}
func.func private @f(tensor<8xf32, #monarch_tile.layout<rhs, warps = 1>>)

// -----

// expected-error @below {{expected warps in 1..32, got 0}}
func.func private @f(tensor<8xf32, #monarch_tile.layout<acc, warps = 0>>)

// -----

func.func @f(%m: memref<?x64xbf16>, %i: index) {
  // expected-error @below {{expected map with 2 dimensions (the indices, then the row) and no symbols, got 1 and 0}}
  %a = monarch_tile.load %m[%i] {in_bounds = array<i1: true>, map = affine_map<(d0) -> (d0)>} : memref<?x64xbf16> -> tensor<32x64xf32>
  return
}

// -----

func.func @f(%m: memref<?x64xbf16>, %i: index) {
  // expected-error @below {{expected map with 1 results for 'memref<?x64xbf16>', got 2}}
  %a = monarch_tile.load %m[%i] {in_bounds = array<i1: true>, map = affine_map<(d0, d1) -> (d0, d1)>} : memref<?x64xbf16> -> tensor<32x64xf32>
  return
}

// -----

func.func @f(%m: memref<?x64xbf16>, %i: index) {
  // expected-error @below {{expected in_bounds with 1 entries, got 2}}
  %a = monarch_tile.load %m[%i] {in_bounds = array<i1: true, true>, map = affine_map<(d0, d1) -> (d0 + d1)>} : memref<?x64xbf16> -> tensor<32x64xf32>
  return
}

// -----

func.func @f(%m: memref<?x64xbf16>, %i: index, %t: tensor<32x64xf32>) {
  // expected-error @below {{expected a tile of at most 32 columns, got 64}}
  monarch_tile.store %t, %m[%i] {column_offset = 32 : i64, in_bounds = array<i1: true>, map = affine_map<(d0, d1) -> (d0 + d1)>} : tensor<32x64xf32>, memref<?x64xbf16>
  return
}

// -----

func.func @f(%m: memref<?x64xbf16>, %i: index) {
  // expected-error @below {{expected a result of rank 1, got 'tensor<8x8xi1>'}}
  %v = monarch_tile.in_bounds %m[%i] {in_bounds = array<i1: true>, map = affine_map<(d0, d1) -> (d0 + d1)>} : memref<?x64xbf16> -> tensor<8x8xi1>
  return
}

// -----

func.func @f(%a: tensor<32x64xf32>, %b: tensor<16x32xf32>) {
  // expected-error @below {{expected rhs with 64 rows to contract with lhs, got 32}}
  %s = monarch_tile.dot %a, %b transposed_rhs : tensor<32x64xf32>, tensor<16x32xf32> -> tensor<32x16xf32>
  return
}

// -----

func.func @f(%a: tensor<32x16xf32>, %b: tensor<16x64xf32>) {
  // expected-error @below {{expected a result of 32 x at most 32, got}}
  %s = monarch_tile.dot %a, %b {rhs_offset = 32 : i64} : tensor<32x16xf32>, tensor<16x64xf32> -> tensor<32x64xf32>
  return
}

// -----

func.func @f(%a: tensor<32x16xf32>, %b: tensor<16x64xf32>) {
  // expected-error @below {{expected an f32 result}}
  %s = monarch_tile.dot %a, %b : tensor<32x16xf32>, tensor<16x64xf32> -> tensor<32x64xbf16>
  return
}

// -----

func.func @f(%a: tensor<32x16xf32>) {
  // expected-error @below {{expected kind max or sum, got 'min'}}
  %s = monarch_tile.reduce "min" %a axis 1 : tensor<32x16xf32> -> tensor<32xf32>
  return
}

// -----

func.func @f(%a: tensor<32x16xf32>) {
  // expected-error @below {{expected one value for every column}}
  %s = monarch_tile.reduce "sum" %a axis 0 : tensor<32x16xf32> -> tensor<32xf32>
  return
}

// -----

func.func @f(%a: tensor<16xf32>) {
  // expected-error @below {{expected one value for every row}}
  %s = monarch_tile.broadcast %a axis 1 : tensor<16xf32> -> tensor<32x16xf32>
  return
}

// -----

func.func @f(%a: tensor<16x16xf32>) {
  // expected-error @below {{expected the same tile on both sides}}
  %s = monarch_tile.convert_layout %a : tensor<16x16xf32> -> tensor<16x8xf32>
  return
}

// -----

func.func @role() {
  // expected-error @below {{expected kind producer or consumer, got 'painter'}}
  monarch_tile.role "painter" warps 4 from 0 registers 24 {
  }
  return
}

// -----

func.func @teams() {
  // expected-error @below {{expected warps in 0..31, got 4 x 9 from 0}}
  monarch_tile.role "consumer" warps 9 from 0 registers 24 teams 4 {
  ^bb0(%team: index):
  }
  return
}

// -----

func.func @team() {
  // expected-error @below {{expected a block with one index argument for teams, and none without}}
  monarch_tile.role "consumer" warps 4 from 0 registers 24 teams 4 {
  }
  return
}

// -----

func.func @parts(%i: index) {
  monarch_tile.role "consumer" warps 12 from 0 registers 24 {
    %s = monarch_tile.alloc_signal : <4>
    // expected-error @below {{expected parts 1 or 3, as the role has teams or warpgroups, got 2}}
    monarch_tile.raise %s[%i] parts 2 : <4>
  }
  return
}

// -----

func.func @stages(%i: index) {
  monarch_tile.role "consumer" warps 12 from 0 registers 24 {
    %s = monarch_tile.alloc_signal : <4>
    // expected-error @below {{expected stages in multiples of 3 parts, got 4}}
    monarch_tile.raise %s[%i] parts 3 : <4>
  }
  return
}

// -----

func.func @inside() {
  monarch_tile.role "producer" warps 4 from 12 registers 24 {
    // expected-error @below {{expected warps among the 4 of the role around it, got 3 x 1 from 2}}
    monarch_tile.role "producer" warps 1 from 2 registers 0 teams 3 {
    ^bb0(%its: index):
    }
  }
  return
}

// -----

func.func @into(%m: memref<?x64xbf16>, %t: tensor<16x64xbf16>, %i: index) {
  // expected-error @below {{expected into 'tensor<32x64xbf16>', got 'tensor<16x64xbf16>'}}
  %a = monarch_tile.load %m[%i] into %t : tensor<16x64xbf16> {in_bounds = array<i1: true>, map = affine_map<(d0, d1) -> (d0 + d1)>} : memref<?x64xbf16> -> tensor<32x64xbf16>
  return
}

// -----

func.func @halves() {
  monarch_tile.role "consumer" warps 8 from 0 registers 0 {
    // expected-error @below {{expected parts 1, or as many as a consumer has warpgroups, here 2, got 4}}
    monarch_tile.wait 0 parts 4
  }
  return
}

// -----

func.func @one_thread() {
  monarch_tile.role "producer" warps 8 from 0 registers 0 {
    // expected-error @below {{expected parts 1, or as many as a consumer has warpgroups, here 1, got 2}}
    monarch_tile.wait 0 parts 2
  }
  return
}

// -----

#acc = #monarch_tile.layout<acc, warps = 4>
#halves = #monarch_tile.layout<swizzled, warps = 4>
func.func @stage_halves(%v: tensor<64x64xf32, #acc>) {
  %place = monarch_tile.alloc_ring : <1, tensor<64x64xbf16, #halves>>
  // expected-error @below {{expected layout staged, or swizzled with 1 row of 64, 128, 256 ... columns, got 'tensor<64x64xbf16, #monarch_tile.layout<swizzled, warps = 4>>'}}
  monarch_tile.stage %v to %place : tensor<64x64xf32, #acc> -> <1, tensor<64x64xbf16, #halves>>
  return
}

// -----

#acc = #monarch_tile.layout<acc, warps = 4>
#lines = #monarch_tile.layout<swizzled, warps = 4, rows = 1>
func.func @stage_three_lines(%v: tensor<64x64xf32, #acc>) {
  %place = monarch_tile.alloc_ring : <1, tensor<64x192xbf16, #lines>>
  // expected-error @below {{expected layout staged, or swizzled with 1 row of 64, 128, 256 ... columns, got 'tensor<64x192xbf16, #monarch_tile.layout<swizzled, warps = 4, rows = 1>>'}}
  monarch_tile.stage %v to %place : tensor<64x64xf32, #acc> -> <1, tensor<64x192xbf16, #lines>>
  return
}

// -----

#lines = #monarch_tile.layout<swizzled, warps = 4, rows = 1>
func.func @swizzled_out(%m: memref<?x8x8x64xbf16>, %i: index) {
  %place = monarch_tile.alloc_ring : <1, tensor<64x64xbf16, #lines>>
  // expected-error @below {{expected layout staged for this memory, got 'tensor<64x64xbf16, #monarch_tile.layout<swizzled, warps = 4, rows = 1>>'}}
  monarch_tile.copy_out %place to %m[%i] {in_bounds = array<i1: true, true, true>, map = affine_map<(d0, d1) -> (d0, d1 floordiv 8, d1 mod 8)>} : <1, tensor<64x64xbf16, #lines>> -> memref<?x8x8x64xbf16>
  return
}

// -----

#staged = #monarch_tile.layout<staged, warps = 4>
func.func @staged_settled(%m: memref<?x4x64x8x256xbf16>, %s: memref<8xi32>, %p: index) {
  %n, %near, %into = monarch_tile.settle %p, %m, %m, %s programs 8 writers 3 pairs 4 : memref<?x4x64x8x256xbf16>, memref<8xi32>
  %place = monarch_tile.alloc_ring : <1, tensor<64x256xbf16, #staged>>
  // expected-error @below {{expected layout swizzled with 1 row for this memory, got 'tensor<64x256xbf16, #monarch_tile.layout<staged, warps = 4>>'}}
  monarch_tile.copy_out %place to %into[%p] {in_bounds = array<i1: true, true, true, true>, map = affine_map<(d0, d1) -> (0, d0 floordiv 8, d1, d0 mod 8)>} : <1, tensor<64x256xbf16, #staged>> -> memref<?x4x64x8x256xbf16>
  return
}

// -----

#lines = #monarch_tile.layout<swizzled, warps = 4, rows = 1>
func.func @into_lines(%m: memref<?x64xbf16>, %i: index) {
  %place = monarch_tile.alloc_ring : <1, tensor<64x64xbf16, #lines>>
  // expected-error @below {{expected no rows on their way out, got 'tensor<64x64xbf16, #monarch_tile.layout<swizzled, warps = 4, rows = 1>>'}}
  monarch_tile.copy_bulk %m[%i] box [64, 64] to %place[%i] {map = affine_map<(d0, d1) -> (d1)>} : memref<?x64xbf16> -> <1, tensor<64x64xbf16, #lines>>
  return
}

// -----

func.func @lanes() {
  // expected-error @below {{expected lanes in 1..32, and more than one of a producer of one warp only, got 8}}
  monarch_tile.role "consumer" warps 4 from 0 registers 24 lanes 8 {
  }
  return
}

// -----

func.func @beside() {
  monarch_tile.role "consumer" warps 4 from 0 registers 24 teams 2 {
  ^bb0(%team: index):
  }
  // expected-error @below {{expected warps of its own, got 7..10 beside a role of 0..7}}
  monarch_tile.role "consumer" warps 4 from 7 registers 24 {
  }
  return
}

// -----

func.func @warps() {
  // expected-error @below {{expected warps in 0..31, got 4 from 30}}
  monarch_tile.role "consumer" warps 4 from 30 registers 24 {
  }
  return
}

// -----

// expected-error @below {{expected 2, 4, 8 or 16 members, got 3}}
func.func private @members(!monarch_tile.exchange<3, 2, [tensor<48x64xbf16>]>)

// -----

// expected-error @below {{expected parts of equally many rows, 4, 8 or 16 for each of 8 members, of one f32 or a multiple of 64 bf16 or f16, got 'tensor<64x40xbf16>'}}
func.func private @channels(!monarch_tile.exchange<8, 2, [tensor<64x40xbf16>]>)

// -----

// expected-error @below {{got 'tensor<32xf32>'}}
func.func private @rows(!monarch_tile.exchange<8, 2, [tensor<64x64xbf16>, tensor<32xf32>]>)

// -----

func.func @part(%x: !monarch_tile.exchange<8, 2, [tensor<64x64xbf16>]>, %a: tensor<64x64xf32>, %i: index) {
  // expected-error @below {{expected part in 0..0, got 1}}
  monarch_tile.send %a to %x[%i] part 1 : tensor<64x64xf32> -> <8, 2, [tensor<64x64xbf16>]>
  return
}

// -----

func.func @columns(%x: !monarch_tile.exchange<8, 2, [tensor<64x64xbf16>]>, %a: tensor<64x64xf32>, %i: index) {
  // expected-error @below {{expected f32 columns of 'tensor<64x64xbf16>', in multiples of 32, got 'tensor<64x64xf32>' at 32}}
  monarch_tile.send %a to %x[%i] part 0 {column_offset = 32 : i64} : tensor<64x64xf32> -> <8, 2, [tensor<64x64xbf16>]>
  return
}

// -----

func.func @received(%x: !monarch_tile.exchange<8, 2, [tensor<64x64xbf16>]>, %i: index) {
  // expected-error @below {{expected the parts of}}
  %a = monarch_tile.receive %x[%i] : <8, 2, [tensor<64x64xbf16>]> -> tensor<64x32xbf16>
  return
}

// -----

func.func @groups(%a: tensor<32x64xbf16>, %k: tensor<24x64xbf16>) {
  // expected-error @below {{expected groups to divide the rows of lhs and rhs, got 5}}
  %s = monarch_tile.dot %a, %k transposed_rhs {groups = 5 : i64} : tensor<32x64xbf16>, tensor<24x64xbf16> -> tensor<32x8xf32>
  return
}

// -----

func.func @registers() {
  // expected-error @below {{expected registers 0 or a multiple of 8 in 24..256, got 100}}
  monarch_tile.role "producer" warps 4 from 12 registers 100 {
  }
  return
}

// -----

#row = affine_map<(d0, d1) -> (0, 0, d0, d1, 0)>
func.func @box(%k: memref<1x1x4x300x1x64xbf16>, %ring: !monarch_tile.ring<2, tensor<300x64xbf16>>, %i: index) {
  // expected-error @below {{expected box extents in 1..256, got 300}}
  monarch_tile.copy_bulk %k[%i] box [1, 1, 300, 1, 64] to %ring[%i] {map = #row} : memref<1x1x4x300x1x64xbf16> -> <2, tensor<300x64xbf16>>
  return
}

// -----

#row = affine_map<(d0, d1) -> (0, 0, d0, d1, 0)>
func.func @evict(%k: memref<1x1x4x40x1x64xbf16>, %ring: !monarch_tile.ring<2, tensor<40x64xbf16>>, %i: index) {
  // expected-error @below {{expected evict normal, first or last, got 'never'}}
  monarch_tile.copy_bulk %k[%i] box [1, 1, 40, 1, 64] to %ring[%i] {evict = "never", map = #row} : memref<1x1x4x40x1x64xbf16> -> <2, tensor<40x64xbf16>>
  return
}

// -----

func.func @stage(%a: tensor<64x64xf32>, %ring: !monarch_tile.ring<1, tensor<64x96xbf16>>) {
  // expected-error @below {{expected columns of 'tensor<64x96xbf16>', in multiples of 32, got 'tensor<64x64xf32>' at 64}}
  monarch_tile.stage %a to %ring {column_offset = 64 : i64} : tensor<64x64xf32> -> <1, tensor<64x96xbf16>>
  return
}

// -----

#row = affine_map<(d0, d1) -> (d0, d1 floordiv 8, d1 mod 8)>
func.func @apart(%m: memref<?x8x8x64xbf16, strided<[8192, 1024, 128, 1]>>, %ring: !monarch_tile.ring<1, tensor<64x64xbf16>>, %i: index) {
  // expected-error @below {{expected runs of 8 rows of 'tensor<64x64xbf16>' that are one piece of memory}}
  monarch_tile.copy_out %ring to %m[%i] {in_bounds = array<i1: true, true, true>, map = #row} : <1, tensor<64x64xbf16>> -> memref<?x8x8x64xbf16, strided<[8192, 1024, 128, 1]>>
  return
}

// -----

#zero = affine_map<(d0) -> (d0 floordiv 0)>
func.func @divisor(%m: memref<8x64xbf16>) {
  // expected-error @below {{expected quotients and remainders by positive constants}}
  %t = monarch_tile.load %m[] {in_bounds = array<i1: true>, map = #zero} : memref<8x64xbf16> -> tensor<8x64xbf16>
  return
}

// -----

#row = affine_map<(d0) -> (d0)>
func.func @period(%m: memref<8x64xbf16>) {
  // expected-error @below {{expected a period of at least 0, and a limit with it, got 4}}
  %t = monarch_tile.load %m[] {in_bounds = array<i1: true>, map = #row, period = 4 : i64} : memref<8x64xbf16> -> tensor<8x64xbf16>
  return
}

// -----

func.func @column(%t: tensor<16x8xf32>, %i: index) {
  // expected-error @below {{expected an f32 tile and its rows as the result, got 'tensor<16x8xf32>' and 'tensor<8xf32>'}}
  %c = monarch_tile.column %t[%i] : tensor<16x8xf32> -> tensor<8xf32>
  return
}

// -----

// expected-error @below {{expected 1 or 8 rows, of a swizzled tile, got 16}}
func.func private @f(tensor<32x128xbf16, #monarch_tile.layout<swizzled, warps = 4, rows = 16>>)

// -----

func.func @f(%p: index, %m: memref<?x4x60x8x256xbf16>, %s: memref<8xi32>) {
  // expected-error @below {{expected memory of [.., blocks, pairs, 8, channels] in chunks of 4096 bytes and whole groups of 16 pairs, got 'memref<?x4x60x8x256xbf16>'}}
  %n, %near, %into = monarch_tile.settle %p, %m, %m, %s programs 8 writers 3 pairs 4 : memref<?x4x60x8x256xbf16>, memref<8xi32>
  return
}

// -----

func.func @f(%p: index, %m: memref<?x4x64x8x256xbf16>, %s: memref<8xi32>) {
  // expected-error @below {{expected programs that write and others that read 1, 2 or 4 of the pairs each, got 8 of which 8 write and others read 4}}
  %n, %near, %into = monarch_tile.settle %p, %m, %m, %s programs 8 writers 8 pairs 4 : memref<?x4x64x8x256xbf16>, memref<8xi32>
  return
}

// -----

func.func @f(%p: index, %m: memref<?x4x64x8x256xbf16>, %s: memref<2xi32>) {
  // expected-error @below {{expected scratch memory of 3 words, got 'memref<2xi32>'}}
  %n, %near, %into = monarch_tile.settle %p, %m, %m, %s programs 8 writers 3 pairs 4 : memref<?x4x64x8x256xbf16>, memref<2xi32>
  return
}

// -----

func.func @f(%p: index, %m: memref<?x4x64x8x256xbf16>, %s: memref<8xi32>) {
  // expected-error @below {{expected programs that write and others that read 1, 2 or 4 of the pairs each, got 8 of which 3 write and others read 3}}
  %n, %near, %into = monarch_tile.settle %p, %m, %m, %s programs 8 writers 3 pairs 3 : memref<?x4x64x8x256xbf16>, memref<8xi32>
  return
}

// -----

func.func @f(%v: tensor<16xf32>) {
  monarch_tile.role "consumer" warps 1 from 0 registers 0 teams 4 {
  ^bb0(%team: index):
    // expected-error @below {{expected kind max or sum, got 'min'}}
    %m = monarch_tile.reduce_teams "min" %v : tensor<16xf32>
  }
  return
}

// -----

func.func @f(%v: tensor<16xf32>) {
  monarch_tile.role "consumer" warps 1 from 0 registers 0 {
    // expected-error @below {{expected a consumer's role of two teams or more around it}}
    %m = monarch_tile.reduce_teams "max" %v : tensor<16xf32>
  }
  return
}

// -----

func.func @f(%v: tensor<16xbf16>) {
  monarch_tile.role "consumer" warps 1 from 0 registers 0 teams 4 {
  ^bb0(%team: index):
    // expected-error @below {{expected a tile of f32, got 'tensor<16xbf16>'}}
    %m = monarch_tile.reduce_teams "max" %v : tensor<16xbf16>
  }
  return
}

// -----

func.func @f(%m: tensor<32xf32>, %s: tensor<64x16xf32>) {
  // expected-error @below {{expected f32 scores and tiles of 32 rows and a multiple of 8 columns, got 'tensor<64x16xf32>'}}
  %n, %r = monarch_tile.raise_maximum %m, %s slack 8.0 rescaling %s : tensor<32xf32>, tensor<64x16xf32>, tensor<64x16xf32>
  return
}

// -----

func.func @f(%m: tensor<64xf32>, %s: tensor<64x16xf32>, %o: tensor<64x128xbf16>) {
  // expected-error @below {{expected f32 scores and tiles of 64 rows and a multiple of 8 columns, got 'tensor<64x128xbf16>'}}
  %n, %r = monarch_tile.raise_maximum %m, %s slack 8.0 rescaling %o : tensor<64xf32>, tensor<64x16xf32>, tensor<64x128xbf16>
  return
}

// -----

func.func @f(%m: tensor<64xf32>, %s: tensor<64x16xf32>) {
  // expected-error @below {{expected a slack from 0 to 64, got -1}}
  %n, %r = monarch_tile.raise_maximum %m, %s slack -1.0 rescaling %s : tensor<64xf32>, tensor<64x16xf32>, tensor<64x16xf32>
  return
}

// -----

func.func @f(%p: tensor<64x20xf32>) {
  // expected-error @below {{expected an f32 tile of a multiple of 8 columns and 8 columns of as many rows as the result, got 'tensor<64x20xf32>' and 'tensor<64x8xf32>'}}
  %z = monarch_tile.fold %p : tensor<64x20xf32> -> tensor<64x8xf32>
  return
}

// -----

func.func @f(%m: tensor<16xf32>, %s: tensor<16x12xf32>) {
  // expected-error @below {{expected f32 scores and tiles of 16 rows and a multiple of 8 columns, got 'tensor<16x12xf32>'}}
  %n, %r = monarch_tile.raise_maximum %m, %s slack 8.0 rescaling %s : tensor<16xf32>, tensor<16x12xf32>, tensor<16x12xf32>
  return
}

// -----

func.func @f(%m: tensor<16xbf16>, %s: tensor<16x8xf32>) {
  // expected-error @below {{expected an f32 maximum for every row, got 'tensor<16xbf16>'}}
  %n = monarch_tile.raise_maximum %m, %s slack 8.0 : tensor<16xbf16>, tensor<16x8xf32>
  return
}

// -----

func.func @f(%p: tensor<16x0xf32>) {
  // expected-error @below {{expected an f32 tile of a multiple of 8 columns}}
  %z = monarch_tile.fold %p : tensor<16x0xf32> -> tensor<16x8xf32>
  return
}
