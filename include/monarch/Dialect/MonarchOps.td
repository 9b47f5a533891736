//===- MonarchOps.td - the language of Monarch attention ---*- tablegen -*-===//
//
// Levels `problem`, `steps` and `fused`. Labels (G1, A2, ...) are those of
// docs/semantics.md.
//
//===----------------------------------------------------------------------===//
#ifndef MONARCH_OPS
#define MONARCH_OPS

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/OpBase.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"

def Monarch_Dialect : Dialect {
  let name = "monarch";
  let cppNamespace = "::monarch";
  let summary = "Attention through Monarch matrices, as a problem and as steps";
  let description = [{
    States what is computed, never how: value semantics on tensors, the video
    geometry as an attribute, the formulas as one op each.
  }];
  let useDefaultAttributePrinterParser = 1;
}

class Monarch_Attr<string name, string attrMnemonic> : AttrDef<Monarch_Dialect, name> {
  let mnemonic = attrMnemonic;
}

def Monarch_GeometryAttr : Monarch_Attr<"Geometry", "geometry"> {
  let summary = "grid, tile and blocks of a sequence (G1, G2, G3)";
  let description = [{
    The grid counts latent tokens as frames, height, width; a tile is a box of
    it; `blocks` gives the axes of block rows and of block columns.

    ```mlir
    #monarch.geometry<grid = [21, 30, 52], tile = [1, 30, 52], blocks = (fh, w)>
    #monarch.geometry<grid = [21, 30, 52], query_frames = 3, tile = [1, 30, 52],
                      blocks = (fh, w)>
    #monarch.geometry<grid = [1, 16, 64], tile = [1, 16, 64], blocks = (fh, w),
                      sequence = 1000, pad_before = 24>
    ```

    `query_frames` (default: the grid's frames) is how many frames the queries
    cover. `sequence` marks a plain sequence with that many tokens, padded at
    its end, or with `pad_before` tokens at its start.
  }];
  let parameters = (ins "::monarch::Geometry":$value);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Monarch_TargetAttr : Monarch_Attr<"Target", "target"> {
  let summary = "what a pass may know of the machine that is compiled for";
  let description = [{
    Capabilities, not names: passes look at `kind`, `shared_memory` and the
    rest, and only the target table of codegen/ knows which chip has which.

    ```mlir
    #monarch.target<chip = "host", kind = "host", ptx = 0, shared_memory = 0, multiprocessors = 1>
    #monarch.target<chip = "sm_90a", kind = "wgmma", ptx = 88, shared_memory = 232448, multiprocessors = 132>
    ```

    `shared_memory` is the largest number of bytes a block may use, `ptx` the
    PTX version times ten, `multiprocessors` a typical count for the chip.
  }];
  let parameters = (ins StringRefParameter<>:$chip, StringRefParameter<>:$kind,
                    "int64_t":$ptx, "int64_t":$shared_memory,
                    "int64_t":$multiprocessors);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def Monarch_ScheduleAttr : Monarch_Attr<"Schedule", "schedule"> {
  let summary = "how one kernel is tiled and mapped";
  let description = [{
    `kind` is `host`, `mma_sync` or `wgmma`: whose products are used. An R step
    of kind `wgmma` has a producer warpgroup beside its `warps` (Hopper).
    `rows` x `columns` is the score tile of one program: `rows` query rows
    against `columns` keys. `warps` share the rows. `stages` is the depth of the
    key and value ring. `chunk` is how many output channels are live at once
    when outputs need no accumulation. `element` is the type of products'
    operands and of the intermediates; accumulation is f32 always. `cluster`
    (default 1) is how many programs work together in a cluster of blocks and
    hand each other their rows (Hopper); with kind `wgmma` its warpgroups then
    take turns at 64 rows. `producer` (0 or 4, default 0) is how many warps beside
    them start their copies; without, they do themselves. `clusters` is how many
    clusters are expected to run at once: where the last wave has fewer, its
    slabs are cut into parts. `ring` (default 0, for
    none) is how many programs of a persistent kernel run this step, beside
    those that run the other: R's hand L's their rows through a ring of `slots`
    keys in the L2 cache, and stay until all slabs are done. `rest` (default 0)
    is how many rows past its `rows` a step of a ring has for which another
    warpgroup would be too many: four single warps take tiles of keys in turn,
    multiply by mma.sync, and put together what they have in the end. `stages`
    is then a multiple of 4, so that a warp is always at the same ones.

    ```mlir
    #monarch.schedule<kind = "mma_sync", rows = 128, columns = 56, warps = 4, stages = 3, chunk = 32, element = bf16>
    ```
  }];
  let parameters = (ins StringRefParameter<>:$kind, "int64_t":$rows,
                    "int64_t":$columns, "int64_t":$warps, "int64_t":$stages,
                    "int64_t":$chunk, "::mlir::Type":$element,
                    DefaultValuedParameter<"int64_t", "1">:$cluster,
                    DefaultValuedParameter<"int64_t", "0">:$ring,
                    DefaultValuedParameter<"int64_t", "0">:$slots,
                    DefaultValuedParameter<"int64_t", "0">:$rest,
                    DefaultValuedParameter<"int64_t", "0">:$clusters,
                    DefaultValuedParameter<"int64_t", "0">:$producer);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Single warps that share the `rest`: a warpgroup's, as registers are dealt
    /// to warpgroups.
    static constexpr int64_t restTeams = 4;
  }];
}

class Monarch_Op<string mnemonic, list<Trait> traits = []>
    : Op<Monarch_Dialect, mnemonic, traits>;

def Monarch_AttentionOp : Monarch_Op<"attention", [Pure, AttrSizedOperandSegments]> {
  let summary = "Monarch attention of one video sequence";
  let description = [{
    The whole of docs/semantics.md in one op. Shapes: query
    `[B, Nq, heads, D]`, key `[B, Nkv, heads, D]`, value `[B, Nkv, heads, Dv]`,
    result `[B, Nq, heads, Dv]`.

    Options: `iterations` T; `scale`; `temperature_floor` (A2);
    `recompute_frames`, the leading frames answered by dense attention (A3);
    `causal_frames`, the frames of a causal group, 0 for none, and
    `causal_offset`, the key frame at which the queries start (A4);
    `key_frames`, how many frames of key and value are valid at run time (A5);
    `key_mask` `[B, Nkv]`, false for keys without influence.

    ```mlir
    %o = monarch.attention %q, %k, %v
      on #monarch.geometry<grid = [21, 30, 52], tile = [1, 30, 52], blocks = (fh, w)> {scale = 0.088 : f64}
      : tensor<1x32760x12x128xbf16>, tensor<1x32760x12x128xbf16>,
        tensor<1x32760x12x128xbf16> -> tensor<1x32760x12x128xbf16>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$query, AnyRankedTensor:$key,
      AnyRankedTensor:$value, Optional<Index>:$key_frames,
      Optional<AnyRankedTensor>:$key_mask, Monarch_GeometryAttr:$geometry,
      DefaultValuedAttr<I64Attr, "1">:$iterations, F64Attr:$scale,
      DefaultValuedAttr<F64Attr, "1.0e-6">:$temperature_floor,
      DefaultValuedAttr<I64Attr, "0">:$recompute_frames,
      DefaultValuedAttr<I64Attr, "0">:$causal_frames,
      DefaultValuedAttr<I64Attr, "0">:$causal_offset);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $query `,` $key `,` $value (`key_frames` `(` $key_frames^ `)`)?
    (`key_mask` `(` $key_mask^ `:` type($key_mask) `)`)? `on` custom<Geometry>($geometry) attr-dict
    `:` type($query) `,` type($key) `,` type($value) `->` type($result)
  }];
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
}

def Monarch_RStepOp : Monarch_Op<"r_step", [Pure, AttrSizedOperandSegments, AttrSizedResultSegments]> {
  let summary = "R step: attention along block columns inside every key tile";
  let description = [{
    With query rows `q[a,k,j,:]` (or `state` aR, cR of an earlier step):

        S[a,c,k,j,l] = scale * (aR . k[c,k,l,:]) / max(cR, temperature_floor)
        R = softmax over l of S
        aL[a,c,j,k,:] = sum_l R k[c,k,l,:]        y[a,c,j,k,:] = sum_l R v[c,k,l,:]

    aL here is without the factor `scale`, which the L step applies. Results
    are `[B, heads, P, NK, D]` with pair index `p = a*b2 + j` and key index
    `c*b1 + k`: `aL`, then `y` when `value` is given, then, once
    `monarch-fuse-online-entropy` has run, `cL` `[B, heads, P, NK]`.
    `softmax` says how a row is normalised: `two_pass` (scores are read again
    for the entropy, by `monarch.entropy`), `one_tile` (the row fits one tile:
    no rescaling) or `online` (running maximum, sum and entropy, A6).
  }];
  let arguments = (ins AnyRankedTensor:$query, AnyRankedTensor:$key,
      Optional<AnyRankedTensor>:$value, Optional<AnyRankedTensor>:$state,
      Optional<AnyRankedTensor>:$state_weight, Optional<Index>:$key_frames,
      Optional<AnyRankedTensor>:$key_mask, Monarch_GeometryAttr:$geometry,
      F64Attr:$scale, DefaultValuedAttr<F64Attr, "1.0e-6">:$temperature_floor,
      DefaultValuedAttr<I64Attr, "0">:$causal_frames,
      DefaultValuedAttr<I64Attr, "0">:$causal_offset,
      DefaultValuedAttr<StrAttr, "\"two_pass\"">:$softmax);
  let results = (outs AnyRankedTensor:$aL, Optional<AnyRankedTensor>:$y,
                      Optional<AnyRankedTensor>:$cL);
  let assemblyFormat = [{
    `query` `(` $query `:` type($query) `)` `key` `(` $key `:` type($key) `)`
    (`value` `(` $value^ `:` type($value) `)`)?
    (`state` `(` $state^ `,` $state_weight `:` type($state) `,` type($state_weight) `)`)?
    (`key_frames` `(` $key_frames^ `)`)?
    (`key_mask` `(` $key_mask^ `:` type($key_mask) `)`)? `on` custom<Geometry>($geometry) attr-dict
    `->` type($aL) (`y` type($y)^)? (`cL` type($cL)^)?
  }];
  let hasVerifier = 1;
}

def Monarch_EntropyOp : Monarch_Op<"entropy", [Pure, AttrSizedOperandSegments]> {
  let summary = "minus the entropy of the R step's rows";
  let description = [{
    `cL[a,c,j,k] = sum_l R log R` for the R of the `monarch.r_step` with the
    same operands; plus infinity for a row k of a key tile without a valid key,
    which gives it weight zero in L (G3). Result `[B, heads, P, NK]`, in units
    of log2.
  }];
  let arguments = (ins AnyRankedTensor:$query, AnyRankedTensor:$key,
      Optional<AnyRankedTensor>:$state, Optional<AnyRankedTensor>:$state_weight,
      Optional<Index>:$key_frames, Optional<AnyRankedTensor>:$key_mask,
      Monarch_GeometryAttr:$geometry, F64Attr:$scale,
      DefaultValuedAttr<F64Attr, "1.0e-6">:$temperature_floor,
      DefaultValuedAttr<I64Attr, "0">:$causal_frames,
      DefaultValuedAttr<I64Attr, "0">:$causal_offset);
  let results = (outs AnyRankedTensor:$cL);
  let assemblyFormat = [{
    `query` `(` $query `:` type($query) `)` `key` `(` $key `:` type($key) `)`
    (`state` `(` $state^ `,` $state_weight `:` type($state) `,` type($state_weight) `)`)?
    (`key_frames` `(` $key_frames^ `)`)?
    (`key_mask` `(` $key_mask^ `:` type($key_mask) `)`)? `on` custom<Geometry>($geometry) attr-dict
    `->` type($cL)
  }];
  let hasVerifier = 1;
}

class Monarch_LOp<string mnemonic> : Monarch_Op<mnemonic, [Pure]> {
  let hasVerifier = 1;
}

def Monarch_LStepOp : Monarch_LOp<"l_step"> {
  let summary = "L step: attention along block rows, over all key tiles together";
  let description = [{
    The last L step (t = T, A1):

        P[a,j,i,(c,k)] = scale * q[a,i,j,:] . aL[a,c,j,k,:] - cL[a,c,j,k]
        out[a,i,j,:] = sum_(c,k) softmax(P) y[a,c,j,k,:]

    `out` is `[B, Nq, heads, Dv]`.
  }];
  let arguments = (ins AnyRankedTensor:$query, AnyRankedTensor:$aL,
      AnyRankedTensor:$cL, AnyRankedTensor:$y, Optional<Index>:$key_frames,
      Monarch_GeometryAttr:$geometry, F64Attr:$scale,
      DefaultValuedAttr<I64Attr, "0">:$causal_frames,
      DefaultValuedAttr<I64Attr, "0">:$causal_offset);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    `query` `(` $query `:` type($query) `)` `keys` `(` $aL `:` type($aL) `)`
    `bias` `(` $cL `:` type($cL) `)` `values` `(` $y `:` type($y) `)`
    (`key_frames` `(` $key_frames^ `)`)? `on` custom<Geometry>($geometry) attr-dict `->` type($result)
  }];
}

def Monarch_RedistributeOp : Monarch_LOp<"redistribute"> {
  let summary = "L step that feeds the next R step";
  let description = [{
    The L step for t < T: with L the softmax of `monarch.l_step`,

        aR[a,c,k,j,:] = sum_i L[a,j,i,(c,k)] q[a,i,j,:]
        cR[a,c,k,j]   = sum_i L[a,j,i,(c,k)]

    Padded queries add nothing (G3). `aR` is `[B, heads, P, NK, D]`, `cR`
    `[B, heads, P, NK]`.
  }];
  let arguments = (ins AnyRankedTensor:$query, AnyRankedTensor:$aL,
      AnyRankedTensor:$cL, Optional<Index>:$key_frames,
      Monarch_GeometryAttr:$geometry, F64Attr:$scale,
      DefaultValuedAttr<I64Attr, "0">:$causal_frames,
      DefaultValuedAttr<I64Attr, "0">:$causal_offset);
  let results = (outs AnyRankedTensor:$aR, AnyRankedTensor:$cR);
  let assemblyFormat = [{
    `query` `(` $query `:` type($query) `)` `keys` `(` $aL `:` type($aL) `)`
    `bias` `(` $cL `:` type($cL) `)` (`key_frames` `(` $key_frames^ `)`)?
    `on` custom<Geometry>($geometry) attr-dict `->` type($aR) `,` type($cR)
  }];
}

def Monarch_DenseOp : Monarch_Op<"dense", [Pure, AttrSizedOperandSegments]> {
  let summary = "dense softmax attention of the first query frames (A3, A7)";
  let description = [{
    `out = softmax(scale q k^T) v` for the queries of the first `frames` frames,
    over all valid keys, under the same causal rule and key mask. The result has
    the shape of a whole output; rows of later frames are zero.
  }];
  let arguments = (ins AnyRankedTensor:$query, AnyRankedTensor:$key,
      AnyRankedTensor:$value, Optional<Index>:$key_frames,
      Optional<AnyRankedTensor>:$key_mask, Monarch_GeometryAttr:$geometry,
      I64Attr:$frames, F64Attr:$scale,
      DefaultValuedAttr<I64Attr, "0">:$causal_frames,
      DefaultValuedAttr<I64Attr, "0">:$causal_offset);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    `query` `(` $query `:` type($query) `)` `key` `(` $key `:` type($key) `)`
    `value` `(` $value `:` type($value) `)` (`key_frames` `(` $key_frames^ `)`)?
    (`key_mask` `(` $key_mask^ `:` type($key_mask) `)`)? `on` custom<Geometry>($geometry) attr-dict
    `->` type($result)
  }];
  let hasVerifier = 1;
}

def Monarch_ReplaceFramesOp : Monarch_Op<"replace_frames", [Pure, AllTypesMatch<["into", "with", "result"]>]> {
  let summary = "join: the first frames of one output in place of another's (A3)";
  let description = [{
    The queries of the first `frames` frames come from `with`, all others from
    `into`.
  }];
  let arguments = (ins AnyRankedTensor:$into, AnyRankedTensor:$with,
      Monarch_GeometryAttr:$geometry, I64Attr:$frames);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $into `,` $with `on` custom<Geometry>($geometry) attr-dict `:` type($result)
  }];
  let builders = [OpBuilder<(ins "::mlir::Value":$into, "::mlir::Value":$with,
      "::monarch::GeometryAttr":$geometry, "int64_t":$frames), [{
    build($_builder, $_state, into.getType(), into, with, geometry, frames);
  }]>];
  let hasVerifier = 1;
}

def Monarch_KernelOp : Monarch_Op<"kernel", [SingleBlockImplicitTerminator<"YieldOp">, RecursiveMemoryEffects]> {
  let summary = "steps that run as one kernel";
  let description = [{
    Level `fused`: the steps in the region become one kernel of that name, with
    the schedule that `monarch-select-schedule` chose. Values of the enclosing
    function are visible inside. `beside` is the schedule of a second step,
    which runs beside the first in warps of its own and takes the rows of the
    first as they come (`monarch-fuse-exchange`).

    ```mlir
    %aL, %y, %cL = monarch.kernel "r_step" schedule <kind = "host", ...> {
      %0, %1, %2 = monarch.r_step ...
      monarch.yield %0, %1, %2 : ...
    } -> tensor<...>, tensor<...>, tensor<...>
    ```
  }];
  let arguments = (ins StrAttr:$name, OptionalAttr<Monarch_ScheduleAttr>:$schedule,
                       OptionalAttr<Monarch_ScheduleAttr>:$beside);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $name (`schedule` $schedule^)? (`beside` $beside^)? $body attr-dict (`->` type($results)^)?
  }];
  let hasVerifier = 1;
}

def Monarch_YieldOp : Monarch_Op<"yield", [Pure, Terminator, ReturnLike, HasParent<"KernelOp">]> {
  let summary = "results of a kernel";
  let arguments = (ins Variadic<AnyRankedTensor>:$operands);
  let builders = [OpBuilder<(ins), [{ (void)$_state; }]>];
  let assemblyFormat = "attr-dict ($operands^ `:` type($operands))?";
}

#endif // MONARCH_OPS
