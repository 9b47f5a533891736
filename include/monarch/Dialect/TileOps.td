//===- TileOps.td - tiles, products and running state ------*- tablegen -*-===//
//
// Levels `tiled` and `mapped`. A tile is a builtin tensor, so that arith and
// math ops are its elementwise ops; at `mapped` its encoding is a layout.
//
//===----------------------------------------------------------------------===//
#ifndef MONARCH_TILE_OPS
#define MONARCH_TILE_OPS

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/IR/OpBase.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Tile_Dialect : Dialect {
  let name = "monarch_tile";
  let cppNamespace = "::monarch::tile";
  let summary = "Tiles of scores, keys and outputs, and how they are mapped";
  let description = [{
    A kernel is a function of memrefs whose body is one `scf.forall` over
    independent programs. Tiles move between memory and values by `load` and
    `store`, which address rows through an affine map; products and reductions
    are ops here, elementwise arithmetic is arith and math on tensors. There
    are no thread ids. Ring ops (`alloc_ring`, `copy_async`, ...) belong to the
    `mapped` level.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}

def Tile_LayoutAttr : AttrDef<Tile_Dialect, "Layout"> {
  let mnemonic = "layout";
  let summary = "where the elements of a tile live on a GPU";
  let description = [{
    `kind` is one of

    - `shared`: shared memory, rows of 16-byte chunks, chunk index XORed with
      the row's low bits so that neither product order meets bank conflicts;
    - `swizzled`: shared memory, halves of 64 channels, a row's 128 bytes in
      16-byte chunks XORed with the row's low bits: the 128-byte swizzle of TMA
      and wgmma. With `rows` = 8 all halves of 8 rows lie together, then those
      of the next 8. With `rows` = 1, for rows on their way out only, those of
      each row, as in memory: lines of 128 bytes, XORed with the low bits of their
      number in the tile;
    - `staged`: shared memory, rows as they lie in memory; on their way out,
      written and copied by the warp that holds them;
    - `exchanged`: shared memory, rows that members of a cluster have sent each
      other (`monarch_tile.receive`), in 16-byte chunks XORed with the sender's
      number and, in bit 2, with the lowest bit of the row's place among those
      for one receiver;
    - `lhs`: registers, the A operand of mma.m16n8k16, rows dealt to warps;
    - `acc`: registers, the accumulator of mma.m16n8k16, rows dealt to warps;
    - `rows`: one value a row, held by the threads that hold the row in `acc`;
    - `columns`: one value a column, held by the threads that hold the column.

    The accumulators and A fragments of wgmma.m64 are those of four warps with
    16 rows each. `warps` is the number of warps that share the rows.

    ```mlir
    tensor<128x56xf32, #monarch_tile.layout<acc, warps = 4>>
    ```
  }];
  let parameters = (ins StringRefParameter<>:$kind, "int64_t":$warps,
                    "int64_t":$rows);
  let builders = [
    AttrBuilder<(ins "::llvm::StringRef":$kind, "int64_t":$warps), [{
      return $_get($_ctxt, kind, warps, /*rows=*/int64_t(0));
    }]>
  ];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Tile_RingType : TypeDef<Tile_Dialect, "Ring"> {
  let mnemonic = "ring";
  let summary = "stages of one tile in shared memory";
  let parameters = (ins "int64_t":$stages, "::mlir::RankedTensorType":$tile);
  let assemblyFormat = "`<` $stages `,` $tile `>`";
}

def Tile_ExchangeType : TypeDef<Tile_Dialect, "Exchange"> {
  let mnemonic = "exchange";
  let summary = "rows that the programs of a cluster hand each other";
  let description = [{
    Each of `members` programs sends a tile of every type in `parts`, all with
    the same number of rows, and receives one of the same type: with
    n = rows / members, row s*n + p of what member r receives is row r*n + p of
    what member s sent. At most `stages` turns are under way.

    ```mlir
    !monarch_tile.exchange<8, 2, [tensor<64x128xbf16>, tensor<64xf32>]>
    ```
  }];
  let parameters = (ins "int64_t":$members, "int64_t":$stages,
                    ArrayRefParameter<"::mlir::RankedTensorType">:$parts);
  let assemblyFormat = "`<` $members `,` $stages `,` `[` $parts `]` `>`";
  let genVerifyDecl = 1;
}

def Tile_SignalType : TypeDef<Tile_Dialect, "Signal"> {
  let mnemonic = "signal";
  let summary = "turns that some warps of a program have come to, for others";
  let description = [{
    Those that raise it are less than `stages` turns ahead of those that await
    it, or than `stages` / `parts` where each part has turns of its own.
  }];
  let parameters = (ins "int64_t":$stages);
  let assemblyFormat = "`<` $stages `>`";
}

class Tile_Op<string mnemonic, list<Trait> traits = []>
    : Op<Tile_Dialect, mnemonic, traits>;

def Tile_LoadOp : Tile_Op<"load", [AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "rows of memory as a tile";
  let description = [{
    Row r of the result is what `map(indices..., r)` addresses in the source:
    all of its indices for a rank-1 tile, all but the last for a rank-2 tile,
    whose columns are the last dimension. A row outside the source's bounds, or
    r at or past `limit`, reads as zero; `in_bounds` promises for each index
    that it needs no check. Elements are converted to the tile's type.

    With a `period` the rows come in runs of that many, and `limit` counts from
    the start of each run.

    `interleave` permutes the columns by the involution that takes channel
    32g+8t+2c+e to 32g+8c+2t+e (docs/rationale-tile.md).

    With `into`, a tile of layout `swizzled` that is read no more, the rows take
    its place, and are only on their way: a `monarch_tile.wait` comes before they
    are read.

    Each warpgroup loads those rows of a `swizzled` tile that it holds.
  }];
  let arguments = (ins AnyMemRef:$source, Variadic<Index>:$indices,
      Optional<Index>:$limit, AffineMapAttr:$map, DenseBoolArrayAttr:$in_bounds,
      UnitAttr:$interleave, DefaultValuedAttr<I64Attr, "0">:$period,
      Optional<AnyRankedTensor>:$into);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $source `[` $indices `]` (`limit` $limit^)? (`interleave` $interleave^)?
    (`into` $into^ `:` type($into))? attr-dict `:` type($source) `->`
    type($result)
  }];
  let hasVerifier = 1;
}

def Tile_StoreOp : Tile_Op<"store", [AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "a tile to rows of memory";
  let description = [{
    The inverse of `monarch_tile.load`: rows outside the bounds, or at or past
    `limit` (of their run, with a `period`), are not written. Columns `column_offset` onwards of the destination
    receive the tile's columns.
  }];
  let arguments = (ins AnyRankedTensor:$value, AnyMemRef:$dest,
      Variadic<Index>:$indices, Optional<Index>:$limit, AffineMapAttr:$map,
      DenseBoolArrayAttr:$in_bounds,
      DefaultValuedAttr<I64Attr, "0">:$column_offset, UnitAttr:$interleave,
      DefaultValuedAttr<I64Attr, "0">:$period);
  let assemblyFormat = [{
    $value `,` $dest `[` $indices `]` (`limit` $limit^)?
    (`interleave` $interleave^)? attr-dict `:` type($value) `,` type($dest)
  }];
  let hasVerifier = 1;
}

def Tile_InBoundsOp : Tile_Op<"in_bounds", [Pure, AttrSizedOperandSegments]> {
  let summary = "which rows a load with this address would find in bounds";
  let arguments = (ins AnyMemRef:$source, Variadic<Index>:$indices,
      Optional<Index>:$limit, AffineMapAttr:$map, DenseBoolArrayAttr:$in_bounds);
  let results = (outs RankedTensorOf<[I1]>:$result);
  let assemblyFormat = [{
    $source `[` $indices `]` (`limit` $limit^)? attr-dict `:` type($source)
    `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_DotOp : Tile_Op<"dot", [Pure]> {
  let summary = "product of two tiles, accumulated in f32";
  let description = [{
    `result = acc + lhs x rhs`, with `transpose_rhs` `lhs x rhs^T`, with
    `transpose_lhs` `lhs^T x rhs`. Only columns `rhs_offset` onwards of rhs take
    part, as many as the result has; of the rows of rhs^T the first ones, as many
    as lhs has columns.

    With `groups` = g the rows of lhs are g runs of equal length, of which run i
    meets rows i, i + g, i + 2g, ... of rhs: g products side by side.
  }];
  let arguments = (ins AnyRankedTensor:$lhs, AnyRankedTensor:$rhs,
      Optional<AnyRankedTensor>:$acc, UnitAttr:$transpose_lhs,
      UnitAttr:$transpose_rhs, DefaultValuedAttr<I64Attr, "0">:$rhs_offset,
      DefaultValuedAttr<I64Attr, "1">:$groups);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $lhs (`transposed` $transpose_lhs^)? `,` $rhs (`transposed_rhs` $transpose_rhs^)?
    (`acc` $acc^ `:` type($acc))? attr-dict `:`
    type($lhs) `,` type($rhs) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_ReduceOp : Tile_Op<"reduce", [Pure]> {
  let summary = "maximum or sum along rows or columns";
  let description = [{
    `kind` is `max` or `sum`. Along `axis` 1 every row gives one value, along
    axis 0 every column.
  }];
  let arguments = (ins AnyRankedTensor:$source, StrAttr:$kind, I64Attr:$axis);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $kind $source `axis` $axis attr-dict `:` type($source) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_FoldOp : Tile_Op<"fold", [Pure]> {
  let summary = "columns added up, every eighth";
  let description = [{
    Column j of the result is the sum of columns j, j + 8, j + 16, ... of the
    source: a sum of rows that threads need not meet for.

    ```mlir
    %z = monarch_tile.fold %p : tensor<64x32xf32> -> tensor<64x8xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$source);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$source attr-dict `:` type($source) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_ReduceTeamsOp : Tile_Op<"reduce_teams",
    [AllTypesMatch<["value", "result"]>]> {
  let summary = "maximum or sum of what the teams of a role have";
  let description = [{
    `kind` is `max` or `sum`. All teams of the role meet, and each gets every
    element's maximum or sum over them, added up in the order of the teams.

    ```mlir
    %most = monarch_tile.reduce_teams "max" %max : tensor<16xf32>
    ```
  }];
  let arguments = (ins StrAttr:$kind, AnyRankedTensor:$value);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$kind $value attr-dict `:` type($value)";
  let hasVerifier = 1;
}

def Tile_BroadcastOp : Tile_Op<"broadcast", [Pure]> {
  let summary = "one value a row, or a column, as a whole tile";
  let description = [{
    With `axis` 1 the source holds a value for every row and is repeated along
    the columns; with axis 0 the other way round, and with `groups` = g column j
    of run i of g runs of rows is element i + g*j of the source.
  }];
  let arguments = (ins AnyRankedTensor:$source, I64Attr:$axis,
      DefaultValuedAttr<I64Attr, "1">:$groups);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $source `axis` $axis attr-dict `:` type($source) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_RaiseMaximumOp : Tile_Op<"raise_maximum",
    [Pure, AllTypesMatch<["maximum", "raised"]>,
     AllTypesMatch<["tiles", "rescaled"]>]> {
  let summary = "a running maximum that scores have outgrown, and what is in "
                "terms of it";
  let description = [{
    Where the largest of a row's scores exceeds the row's maximum by more than
    `slack` it takes its place, and the row of every other tile is multiplied
    with 2^(maximum - raised). Other rows stay as they are: their scores give
    powers of 2^`slack` at most. A warp none of whose scores is that large
    passes by (FlashAttention-4 has this).

    ```mlir
    %m, %z, %y = monarch_tile.raise_maximum %max, %scores slack 8.0
        rescaling %sum, %acc : tensor<64xf32>, tensor<64x16xf32>,
        tensor<64x16xf32>, tensor<64x128xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$maximum, AnyRankedTensor:$scores,
      F64Attr:$slack, Variadic<AnyRankedTensor>:$tiles);
  let results = (outs AnyRankedTensor:$raised,
      Variadic<AnyRankedTensor>:$rescaled);
  let assemblyFormat = [{
    $maximum `,` $scores `slack` $slack (`rescaling` $tiles^)? attr-dict `:`
    type($maximum) `,` type($scores) (`,` type($tiles)^)?
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Programs of a cluster
//===----------------------------------------------------------------------===//

def Tile_AllocExchangeOp : Tile_Op<"alloc_exchange"> {
  let summary = "a way for the programs of a cluster to hand each other rows";
  let results = (outs Tile_ExchangeType:$exchange);
  let assemblyFormat = "attr-dict `:` type($exchange)";
}

def Tile_SendOp : Tile_Op<"send"> {
  let summary = "send columns of a part of an exchange";
  let description = [{
    Columns `column_offset` onwards of the part receive the tile's columns,
    rounded to its type; at `mapped` channels are interleaved as by
    `monarch_tile.store ... interleave`. A member has sent its turn when it has sent all columns
    of all parts. Rows at or past `limit` are not sent, but for parts of one
    element a row: a member whose rows are all past it hears of every turn and
    keeps in step with the others.
  }];
  let arguments = (ins AnyRankedTensor:$value, Tile_ExchangeType:$exchange,
      Index:$turn, Optional<Index>:$limit, I64Attr:$part,
      DefaultValuedAttr<I64Attr, "0">:$column_offset);
  let assemblyFormat = [{
    $value `to` $exchange `[` $turn `]` (`limit` $limit^)? `part` $part attr-dict
    `:` type($value) `->` type($exchange)
  }];
  let hasVerifier = 1;
}

def Tile_ReceiveOp : Tile_Op<"receive"> {
  let summary = "what all members have sent to this one in a turn";
  let description = [{
    `limit` is that of all members' sends; rows that were not sent are undefined.
  }];
  let arguments = (ins Tile_ExchangeType:$exchange, Index:$turn,
      Optional<Index>:$limit);
  let results = (outs Variadic<AnyRankedTensor>:$parts);
  let assemblyFormat = [{
    $exchange `[` $turn `]` (`limit` $limit^)? attr-dict `:` type($exchange) `->`
    type($parts)
  }];
  let hasVerifier = 1;
}

def Tile_RoleOp : Tile_Op<"role", [SingleBlock, NoTerminator]> {
  let summary = "what some of a program's warps do";
  let description = [{
    `warps` warps of a program, numbered from `first`, take a role of their own:
    `consumer`, which computes and holds the rows of its tiles, or `producer`,
    one warpgroup of which one thread starts the copies; roles inside it are for
    warps of its own, one thread each, or with `lanes` that many, which share
    the parts of a copy. `registers` is what each thread of the role gets of the
    multiprocessor's registers, 0 to leave them as they are at launch. Roles have
    warps of their own, run side by side and meet at their rings, exchanges and
    signals only. With `teams` that many of them, numbered by the block's
    argument, do the same side by side, `warps` each, and meet nowhere but to put
    together what they have in the end (`reduce_teams`). `beside` marks those
    that the kernel's second schedule is for. Roles in the two branches of an
    `scf.if` are for different programs, which use the same warps and the same
    shared memory.
  }];
  let arguments = (ins StrAttr:$kind, I64Attr:$warps, I64Attr:$first,
      I64Attr:$registers, UnitAttr:$beside,
      DefaultValuedAttr<I64Attr, "1">:$teams,
      DefaultValuedAttr<I64Attr, "1">:$lanes);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    (`beside` $beside^)? $kind `warps` $warps `from` $first
    `registers` $registers (`teams` $teams^)? (`lanes` $lanes^)? $body attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The warpgroups of the role, or of each of its teams; 0 where it is single
    /// warps.
    int64_t getWarpgroups() { return getWarps() % 4 ? 0 : getWarps() / 4; }
  }];
}

//===----------------------------------------------------------------------===//
// Programs of a persistent kernel
//===----------------------------------------------------------------------===//

def Tile_AwaitCountOp : Tile_Op<"await_count"> {
  let summary = "wait for other programs to have counted so far";
  let description = [{
    Waits until counter `index` is at least `least`. What was written before the
    counts by `monarch_tile.add_count` that made it so can be read. Programs
    that wait for each other are resident together (docs/abi.md), and a wait
    that takes seconds stops the kernel with an error instead of hanging. At
    `mapped` a producer waits for a role's warps, or a consumer's first thread
    for the others. With `reset` the counter is zero afterwards, for the next
    launch: nobody else may wait for it.
  }];
  let arguments = (ins MemRefOf<[I32]>:$counters, Index:$index, Index:$least,
      UnitAttr:$reset);
  let assemblyFormat = [{
    $counters `[` $index `]` `least` $least (`reset` $reset^)? attr-dict `:`
    type($counters)
  }];
}

def Tile_AddCountOp : Tile_Op<"add_count"> {
  let summary = "count for other programs, after all that came before";
  let description = [{
    Adds one to counter `index` when all warps of the role have done what comes
    before, and their writes are visible to other programs. At `mapped` a
    producer counts for them, or their first thread; with `reads` what came
    before are copies that it has seen arrive, and no writes.
  }];
  let arguments = (ins MemRefOf<[I32]>:$counters, Index:$index,
      UnitAttr:$reads);
  let assemblyFormat = [{
    $counters `[` $index `]` (`reads` $reads^)? attr-dict `:` type($counters)
  }];
}

def Tile_SettleOp : Tile_Op<"settle",
    [AllTypesMatch<["memory", "into", "near", "nearInto"]>]> {
  let summary = "bring readers of a ring and what they read to one half of the L2";
  let description = [{
    The L2 cache has two halves, and what crosses from one to the other is what
    limits a ring (docs/performance.md). `memory` is [.., blocks, pairs, 8,
    channels] in 4 KiB chunks of 8 rows, and so is `into`, the same memory as
    rows are copied out to it; `program` is one of `programs`, of which those
    from `writers` on read `pairs` pairs each (1, 2 or 4), in order. Every program measures which
    half it is near and, for some of the 64 KiB of 16 pairs' chunks, whether the
    first is, and tells the others by way of `scratch`, which was zero. Then each
    has its `number`, so that readers of pairs 8n .. 8n+3 are in one half and
    those of 8n+4 .. 8n+7 in the other. `near` and `nearInto` are the same memory
    with the chunks of 16 pairs so placed that those of a pair are in its
    reader's half, and that those of 4 pairs are 16 KiB apart: a box of a tensor
    map. Where programs are found in too uneven halves they keep their numbers.
    Right whatever is measured; only the speed depends on it.

    ```mlir
    %number, %near, %nearInto =
        monarch_tile.settle %program, %rows, %into, %scratch
        programs 132 writers 85 pairs 4 : memref<?x36x192x8x256xbf16>, memref<20xi32>
    ```
  }];
  let arguments = (ins Index:$program, AnyMemRef:$memory, AnyMemRef:$into,
      MemRefOf<[I32]>:$scratch, I64Attr:$programs, I64Attr:$writers,
      I64Attr:$pairs);
  let results = (outs Index:$number, AnyMemRef:$near, AnyMemRef:$nearInto);
  let assemblyFormat = [{
    $program `,` $memory `,` $into `,` $scratch `programs` $programs `writers`
    $writers `pairs` $pairs attr-dict `:` type($memory) `,` type($scratch)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Words of scratch memory that a settlement takes.
    static int64_t scratchWords(int64_t programs, ::mlir::MemRefType memory);
  }];
}

//===----------------------------------------------------------------------===//
// Level `mapped`
//===----------------------------------------------------------------------===//

def Tile_ConvertLayoutOp : Tile_Op<"convert_layout", [Pure]> {
  let summary = "the same tile in another layout";
  let arguments = (ins AnyRankedTensor:$source);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$source attr-dict `:` type($source) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_ColumnOp : Tile_Op<"column", [Pure]> {
  let summary = "a column of a tile in shared memory, as a row of columns";
  let description = [{
    Element i of the result is element [i, `column`] of `tile`, f32 in the layout
    `staged`: what is kept row by row beside its neighbours becomes a bias of the
    columns of a product.
  }];
  let arguments = (ins AnyRankedTensor:$tile, Index:$column);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $tile `[` $column `]` attr-dict `:` type($tile) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_AllocRingOp : Tile_Op<"alloc_ring"> {
  let summary = "a ring of tiles in shared memory";
  let results = (outs Tile_RingType:$ring);
  let assemblyFormat = "attr-dict `:` type($ring)";
}

def Tile_CopyAsyncOp : Tile_Op<"copy_async", [AttrSizedOperandSegments]> {
  let summary = "start copying rows of memory into one stage of a ring";
  let description = [{
    Addresses as `monarch_tile.load`: rows out of bounds, or at or past `limit`,
    become zero. Nothing happens when `enable` is false.
  }];
  let arguments = (ins AnyMemRef:$source, Variadic<Index>:$indices,
      Optional<Index>:$limit, Tile_RingType:$ring, Index:$stage, I1:$enable,
      AffineMapAttr:$map, DenseBoolArrayAttr:$in_bounds);
  let assemblyFormat = [{
    $source `[` $indices `]` (`limit` $limit^)? `to` $ring `[` $stage `]`
    `if` $enable attr-dict `:` type($source) `->` type($ring)
  }];
}

def Tile_CommitOp : Tile_Op<"commit"> {
  let summary = "close the group of copies started since the last commit";
  let assemblyFormat = "attr-dict";
}

def Tile_WaitOp : Tile_Op<"wait"> {
  let summary = "wait until at most `pending` groups of copies are under way";
  let description = [{
    A barrier among all threads of the program, or the role, as well: what was
    copied is visible to all, and all have finished reading the stages read
    before. With `parts`, the number of warpgroups of a consumer or of each of
    its teams, each warpgroup meets by itself: enough for rows that it has loaded.
  }];
  let arguments = (ins I64Attr:$pending, DefaultValuedAttr<I64Attr, "1">:$parts);
  let assemblyFormat = "$pending (`parts` $parts^)? attr-dict";
  let hasVerifier = 1;
}

def Tile_ReadOp : Tile_Op<"read", [MemoryEffects<[MemRead]>]> {
  let summary = "one stage of a ring as a tile";
  let arguments = (ins Tile_RingType:$ring, Index:$stage);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$ring `[` $stage `]` attr-dict `:` type($ring) `->` type($result)";
}

def Tile_CopyBulkOp : Tile_Op<"copy_bulk", [AttrSizedOperandSegments]> {
  let summary = "copy a box of memory into one stage of a ring, by TMA";
  let description = [{
    Waits until the consumers have released the stage of `turn`, then starts the
    copy; does neither when `enable` is false. In a role of consumers one thread
    does. Turn t uses stage t mod stages. The box starts at `map(indices..., 0)`
    and has the extents `box`, one for each index of the source, or but the first
    (the batch of a token), channels last; what lies outside the source becomes
    zero. A tile of layout `swizzled` with `rows` takes a box for each so many
    rows, which starts at `map(indices..., row)`. The source reaches the kernel as a tensor map as well (docs/abi.md),
    but for tiles that are not swizzled, which are one piece of memory. `evict` is
    when the L2 cache should let go of it: `normal`, `first` or `last`.
  }];
  let arguments = (ins AnyMemRef:$source, Variadic<Index>:$indices,
      Tile_RingType:$ring, Index:$turn, Optional<I1>:$enable, AffineMapAttr:$map,
      DenseI64ArrayAttr:$box, DefaultValuedAttr<StrAttr, "\"normal\"">:$evict);
  let assemblyFormat = [{
    $source `[` $indices `]` `box` $box `to` $ring `[` $turn `]`
    (`if` $enable^)? attr-dict `:`
    type($source) `->` type($ring)
  }];
  let hasVerifier = 1;
}

def Tile_AcquireOp : Tile_Op<"acquire"> {
  let summary = "wait for the copy of a turn, and use its stage as a tile";
  let arguments = (ins Tile_RingType:$ring, Index:$turn);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$ring `[` $turn `]` attr-dict `:` type($ring) `->` type($result)";
}

def Tile_ReleaseOp : Tile_Op<"release"> {
  let summary = "give the stage of a turn back to those who fill it";
  let arguments = (ins AnyTypeOf<[Tile_RingType, Tile_ExchangeType]>:$ring,
      Index:$turn);
  let assemblyFormat = "$ring `[` $turn `]` attr-dict `:` type($ring)";
}

def Tile_AwaitOp : Tile_Op<"await", [AllTypesMatch<["product", "result"]>]> {
  let summary = "wait for a product that runs beside the program";
  let description = [{
    Products of `swizzled` tiles are asynchronous: their result may be used only
    through an `await`, which leaves at most `pending` later products under way.
  }];
  let arguments = (ins AnyRankedTensor:$product, I64Attr:$pending);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$product `pending` $pending attr-dict `:` type($product)";
}

def Tile_StageOp : Tile_Op<"stage"> {
  let summary = "put columns of a tile where they will be copied out from";
  let description = [{
    Columns `column_offset` onwards of the ring's tile, of layout `staged` or,
    for rows that `monarch_tile.settle` has placed, `swizzled` row by row,
    receive the tile's columns, rounded to its type and interleaved as by
    `monarch_tile.store ... interleave`.
  }];
  let arguments = (ins AnyRankedTensor:$value, Tile_RingType:$ring,
      DefaultValuedAttr<I64Attr, "0">:$column_offset);
  let assemblyFormat = "$value `to` $ring attr-dict `:` type($value) `->` type($ring)";
  let hasVerifier = 1;
}

def Tile_CopyOutOp : Tile_Op<"copy_out", [AttrSizedOperandSegments]> {
  let summary = "start copying a staged tile to rows of memory";
  let description = [{
    Addresses as `monarch_tile.store`. Rows go in runs of 8 that are one piece
    of memory, or where `monarch_tile.settle` has put them in runs of 4, a box
    each; a run that starts at or past `limit` is not copied, one that crosses it
    is copied whole; settled rows 16 by 16, for which there is room. `evict` as in
    `monarch_tile.copy_bulk`. Warps of a consumer copy the 16 rows that each has
    staged, teams of a producer equal shares of what consumers have staged.
  }];
  let arguments = (ins Tile_RingType:$ring, AnyMemRef:$dest,
      Variadic<Index>:$indices, Optional<Index>:$limit, AffineMapAttr:$map,
      DenseBoolArrayAttr:$in_bounds,
      DefaultValuedAttr<StrAttr, "\"normal\"">:$evict);
  let assemblyFormat = [{
    $ring `to` $dest `[` $indices `]` (`limit` $limit^)? attr-dict `:`
    type($ring) `->` type($dest)
  }];
  let hasVerifier = 1;
}

def Tile_AwaitOutOp : Tile_Op<"await_out"> {
  let summary = "wait until at most `pending` copies out still read their stage";
  let description = [{
    With `complete`, until at most so many have not been written whole.
  }];
  let arguments = (ins I64Attr:$pending, UnitAttr:$complete);
  let assemblyFormat = "`pending` $pending (`complete` $complete^)? attr-dict";
}

def Tile_AllocSignalOp : Tile_Op<"alloc_signal"> {
  let summary = "a signal between roles of a program";
  let results = (outs Tile_SignalType:$signal);
  let assemblyFormat = "attr-dict `:` type($signal)";
}

def Tile_RaiseOp : Tile_Op<"raise"> {
  let summary = "a warp of the role has come to a turn";
  let description = [{
    What the warp has written, and copies out that it has waited for, is done;
    what it has staged can be copied out. With `parts` the role's warpgroups, or
    its teams, are in so many parts, each of which has turns of its own.
  }];
  let arguments = (ins Tile_SignalType:$signal, Index:$turn,
      DefaultValuedAttr<I64Attr, "1">:$parts);
  let assemblyFormat = [{
    $signal `[` $turn `]` (`parts` $parts^)? attr-dict `:` type($signal)
  }];
  let hasVerifier = 1;
}

def Tile_AwaitSignalOp : Tile_Op<"await_signal"> {
  let summary = "wait until all warps that raise a signal have come to a turn";
  let description = [{
    `parts` as in `monarch_tile.raise`: a part awaits its own turns.
  }];
  let arguments = (ins Tile_SignalType:$signal, Index:$turn,
      DefaultValuedAttr<I64Attr, "1">:$parts);
  let assemblyFormat = [{
    $signal `[` $turn `]` (`parts` $parts^)? attr-dict `:` type($signal)
  }];
  let hasVerifier = 1;
}

def Tile_ReserveOp : Tile_Op<"reserve"> {
  let summary = "wait until a turn of an exchange may be filled";
  let description = [{
    All members have released the turn that used the same stage before.
  }];
  let arguments = (ins Tile_ExchangeType:$exchange, Index:$turn);
  let assemblyFormat = "$exchange `[` $turn `]` attr-dict `:` type($exchange)";
}

#endif // MONARCH_TILE_OPS
