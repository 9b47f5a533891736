//===- Passes.td - the passes between the levels -----------*- tablegen -*-===//
//
// Alphabetical. Every pass is one file of passes/ and one lit test of
// test/Passes/, both named after it.
//
//===----------------------------------------------------------------------===//
#ifndef MONARCH_PASSES
#define MONARCH_PASSES

include "mlir/Pass/PassBase.td"

def ConvertMonarchTileToNvvm : Pass<"convert-monarch-tile-to-nvvm", "::mlir::ModuleOp"> {
  let summary = "Lower mapped kernels to NVVM: mma.sync, ldmatrix, cp.async";
  let description = [{
    Every tile value becomes the registers of one thread, as its layout says;
    the programs of the `scf.forall` become blocks. Dot products become
    `nvvm.mma.sync` on fragments that `ldmatrix` reads from the ring, copies
    become predicated 16-byte `cp.async`, memrefs become a pointer and their
    dynamic sizes and strides.

    Before:

    ```mlir
    %s = monarch_tile.dot %q, %k transposed_rhs
      : tensor<16x8xbf16, #monarch_tile.layout<lhs, warps = 1>>, ...
    ```

    After:

    ```mlir
    %r:4 = nvvm.ldmatrix %address {...}
    %d = nvvm.mma.sync A[%a0, %a1, %a2, %a3] B[%b0, %b1] C[%c0, %c1, %c2, %c3] ...
    ```
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect", "::mlir::scf::SCFDialect"];
  let statistics = [Statistic<"products", "mma", "mma.sync instructions emitted">];
}

def MonarchFactorize : Pass<"monarch-factorize", "::mlir::ModuleOp"> {
  let summary = "Write an attention problem as its steps";
  let description = [{
    `monarch.attention` becomes R steps, entropies and L steps, one op a
    formula of docs/semantics.md, for t = 1..T; recomputed frames become a dense
    step and a join.

    Before:

    ```mlir
    %o = monarch.attention %q, %k, %v on #g {scale = 0.125 : f64} : ...
    ```

    After:

    ```mlir
    %aL, %y = monarch.r_step query(%q : ...) key(%k : ...) value(%v : ...) on #g ...
    %cL = monarch.entropy query(%q : ...) key(%k : ...) on #g ...
    %o = monarch.l_step query(%q : ...) keys(%aL : ...) bias(%cL : ...) values(%y : ...) on #g ...
    ```
  }];
  let dependentDialects = ["::monarch::MonarchDialect"];
  let statistics = [Statistic<"factorized", "factorized", "attention ops rewritten">];
}

def MonarchFuseExchange : Pass<"monarch-fuse-exchange", "::mlir::ModuleOp"> {
  let summary = "R and L that run together as one kernel";
  let description = [{
    Where the schedules of an `monarch.r_step` and of the `monarch.l_step` that
    reads it say that their programs work in clusters, the two become one
    kernel: L runs in warps beside R's and takes each row from the program that
    made it, so that aL, y and cL never reach global memory. With schedules of a
    ring they become one persistent kernel: some programs are R's and some L's,
    and rows go through a ring that the L2 cache holds.

    Before:

    ```mlir
    %aL, %y, %cL = monarch.kernel "r_step" schedule <..., cluster = 8> { %0, %1, %2 = monarch.r_step ... }
    %o = monarch.kernel "l_step" schedule <..., cluster = 8> { %0 = monarch.l_step ... keys(%aL : ...) ... }
    ```

    After:

    ```mlir
    %o = monarch.kernel "attention" schedule <..., cluster = 8> beside <..., cluster = 8> {
      %0, %1, %2 = monarch.r_step ...
      %3 = monarch.l_step ... keys(%0 : ...) ...
    }
    ```
  }];
  let dependentDialects = ["::monarch::MonarchDialect"];
  let statistics = [Statistic<"fused", "fused", "pairs of kernels made one">];
}

def MonarchFuseOnlineEntropy : Pass<"monarch-fuse-online-entropy", "::mlir::ModuleOp"> {
  let summary = "One pass over the scores gives softmax, products and entropy (A6)";
  let description = [{
    An `monarch.entropy` over the same scores as an `monarch.r_step` becomes its
    result `cL`. A row that fits one tile is normalised there (`one_tile`: no
    rescaling is emitted); a longer one carries its maximum, sum and entropy
    from tile to tile (`online`).

    Before:

    ```mlir
    %aL, %y = monarch.r_step query(%q : ...) key(%k : ...) value(%v : ...) on #g {scale = 0.1 : f64} -> ... y ...
    %cL = monarch.entropy query(%q : ...) key(%k : ...) on #g {scale = 0.1 : f64} -> ...
    ```

    After:

    ```mlir
    %aL, %y, %cL = monarch.r_step query(%q : ...) key(%k : ...) value(%v : ...) on #g
      {scale = 0.1 : f64, softmax = "one_tile"} -> ... y ... cL ...
    ```
  }];
  let options = [Option<"maxTileColumns", "max-tile-columns", "int64_t", "256",
    "Longest row of scores that is held in one tile; a target with little "
    "shared memory lowers it">];
  let dependentDialects = ["::monarch::MonarchDialect"];
  let statistics = [Statistic<"fusedSteps", "fused", "entropies fused into their R step">];
}

def MonarchFuseSteps : Pass<"monarch-fuse-steps", "::mlir::ModuleOp"> {
  let summary = "Decide which steps share a kernel";
  let description = [{
    Wraps steps in `monarch.kernel`. A join shares the kernel of the dense step
    that feeds it, which then writes its frames in place. R and L steps stay
    apart here: L needs every R row of its (a, j) (A1). Where a schedule keeps
    them on chip, `monarch-fuse-exchange` joins them.

    Before:

    ```mlir
    %d = monarch.dense query(%q : ...) key(%k : ...) value(%v : ...) on #g {frames = 1 : i64, ...} -> ...
    %o = monarch.replace_frames %l, %d on #g {frames = 1 : i64} : ...
    ```

    After:

    ```mlir
    %o = monarch.kernel "dense" {
      %d = monarch.dense ...
      %j = monarch.replace_frames %l, %d ...
      monarch.yield %j : ...
    } -> ...
    ```
  }];
  let dependentDialects = ["::monarch::MonarchDialect"];
  let statistics = [Statistic<"kernels", "kernels", "kernels made">,
                    Statistic<"fusedJoins", "joins", "joins fused with their producer">];
}

def MonarchSelectSchedule : Pass<"monarch-select-schedule", "::mlir::ModuleOp"> {
  let summary = "Give every kernel its schedule, from target and shape";
  let description = [{
    Reads the module's `monarch.target` and the shape of each kernel's step and
    sets `#monarch.schedule`. Deterministic; nothing is measured. Whether R and L
    are apart, in clusters or beside a ring follows from an estimate of clocks
    (docs/performance.md, "What a schedule costs"). A remark says why. What the
    target does not support is an error that names the option.

    Parts that the module attribute `monarch.schedule_request` asks for
    (`monarchc --schedule=`) replace what the rules give, and are checked.

    Before:

    ```mlir
    module attributes {monarch.target = #monarch.target<chip = "sm_90a", ...>} {
      ... monarch.kernel "r_step" { ... }
    ```

    After:

    ```mlir
      ... monarch.kernel "r_step" schedule <kind = "mma_sync", rows = 128,
            columns = 56, warps = 4, stages = 3, chunk = 32, element = bf16> { ... }
    ```
  }];
  let dependentDialects = ["::monarch::MonarchDialect"];
  let statistics = [Statistic<"scheduled", "kernels", "kernels scheduled">];
}

def MonarchTileAssignLayouts : Pass<"monarch-tile-assign-layouts", "::mlir::ModuleOp"> {
  let summary = "Give every tile of a GPU kernel its place";
  let description = [{
    Tiles that are the right side of a product go to shared memory, left sides
    and accumulators to registers in the fragment layouts of mma.m16n8k16,
    statistics to the threads that hold their row or column. Where an op needs
    another layout than its operand has, `monarch_tile.convert_layout` says so.

    Intermediates are stored with interleaved channels, so that accumulators
    leave as 16-byte vectors; the L step loads its queries interleaved the same
    way, which leaves q . aL as it is, and its outputs come back in true order.

    Before:

    ```mlir
    %s = monarch_tile.dot %q, %k transposed_rhs : tensor<128x128xbf16>, tensor<56x128xbf16> -> tensor<128x56xf32>
    ```

    After:

    ```mlir
    %s = monarch_tile.dot %q, %k transposed_rhs
      : tensor<128x128xbf16, #monarch_tile.layout<lhs, warps = 4>>,
        tensor<56x128xbf16, #monarch_tile.layout<shared, warps = 4>>
      -> tensor<128x56xf32, #monarch_tile.layout<acc, warps = 4>>
    ```
  }];
  let dependentDialects = ["::monarch::tile::TileDialect"];
  let statistics = [Statistic<"conversions", "conversions", "layout conversions inserted">];
}

def MonarchTileOverlapProducts : Pass<"monarch-tile-overlap-products", "::mlir::ModuleOp"> {
  let summary = "Wait for asynchronous products as late as they allow";
  let description = [{
    wgmma runs beside the program. The result of a product becomes usable by
    `monarch_tile.await`; before each await the next product of the block is
    started, with the wait for its tile, unless it needs this one's result. So
    the tensor cores work while an output leaves.

    Before:

    ```mlir
    %0 = monarch_tile.dot %p, %k : ...
    monarch_tile.store %0, %aL[...] ...
    %1 = monarch_tile.dot %p, %k {rhs_offset = 64 : i64} : ...
    monarch_tile.store %1, %aL[...] ...
    ```

    After:

    ```mlir
    %0 = monarch_tile.dot %p, %k : ...
    %1 = monarch_tile.dot %p, %k {rhs_offset = 64 : i64} : ...
    %2 = monarch_tile.await %0 pending 1 : ...
    monarch_tile.store %2, %aL[...] ...
    %3 = monarch_tile.await %1 pending 0 : ...
    monarch_tile.store %3, %aL[...] ...
    ```
  }];
  let dependentDialects = ["::monarch::tile::TileDialect"];
  let statistics = [Statistic<"overlapped", "overlapped", "products started before the wait for another">];
}

def MonarchTilePipeline : Pass<"monarch-tile-pipeline", "::mlir::ModuleOp"> {
  let summary = "Make loads to shared memory asynchronous, stages ahead";
  let description = [{
    A loop that loads tiles to shared memory gets a ring for each of them with
    as many stages as the schedule says: the first copies start before the loop,
    each turn waits for its own stage and starts the copy of a later one. Tiles
    of factors that wgmma reads are copied so too, into their swizzle.

    Before:

    ```mlir
    scf.for %c = %lo to %hi step %s {
      %k = monarch_tile.load %key[%c] ... -> tensor<56x128xbf16, #monarch_tile.layout<shared, warps = 4>>
      ...
    ```

    After:

    ```mlir
    %ring = monarch_tile.alloc_ring : !monarch_tile.ring<3, ...>
    monarch_tile.copy_async %key[...] to %ring[%c0] if %first ...
    monarch_tile.commit
    scf.for %c = %lo to %hi step %s iter_args(%stage = %c0) {
      monarch_tile.wait 1
      monarch_tile.copy_async %key[...] to %ring[%ahead] if %more ...
      monarch_tile.commit
      %k = monarch_tile.read %ring[%stage] : ...
    ```
  }];
  let dependentDialects = ["::monarch::tile::TileDialect"];
  let statistics = [Statistic<"rings", "rings", "rings of stages made">];
}

def MonarchTileSoftmax : Pass<"monarch-tile-softmax", "::mlir::ModuleOp"> {
  let summary = "Turn scheduled kernels into loops over tiles";
  let description = [{
    Every `monarch.kernel` becomes a function of memrefs with one `scf.forall`
    over independent programs. Rows are packed over query tiles at a fixed block
    row in the R step, keys are flattened over key tile and block row in the L
    step; the softmax state is carried from tile to tile. What the entry
    function did, in which order, on which buffers, becomes `monarch.plan`.

    Before:

    ```mlir
    %o = monarch.kernel "l_step" schedule <kind = "host", rows = 32, columns = 64, ...> {
      %0 = monarch.l_step query(%q : ...) keys(%aL : ...) bias(%cL : ...) values(%y : ...) ...
    ```

    After:

    ```mlir
    func.func @l_step(%query: memref<...>, ...) {
      scf.forall (%bh, %pair, %rows) in (%count, 1092, 1) {
        %q = monarch_tile.load %query[...] ... -> tensor<32x128xf32>
        %state:3 = scf.for %kk = ... iter_args(%max = ..., %sum = ..., %acc = ...) {
          %s = monarch_tile.dot %q, %keys transposed_rhs : ...
          ...
    ```
  }];
  let dependentDialects = ["::monarch::tile::TileDialect", "::mlir::scf::SCFDialect",
    "::mlir::affine::AffineDialect", "::mlir::math::MathDialect",
    "::mlir::memref::MemRefDialect", "::mlir::func::FuncDialect"];
}

def MonarchTileSpecializeWarps : Pass<"monarch-tile-specialize-warps", "::mlir::ModuleOp"> {
  let summary = "Split a program's warps into a producer and consumers";
  let description = [{
    In kernels with a schedule of kind `wgmma` one thread of a warpgroup of its
    own starts the copies of key and value tiles, by TMA, as far ahead as the
    ring has stages; the other warpgroups compute. (Factors with a limit that
    changes from program to program are no boxes of a tensor map: such an L step
    is left as it is.) They meet at the barriers of the ring: a consumer waits
    for a stage's copy (`acquire`) and gives the stage back after its last
    product, or at the end of the turn where threads read it themselves
    (`release`). Registers move from the producer to the consumers. A role that
    sends rows to a cluster is cut into teams of warps that take turns; each
    starts its own copies as soon as it has released a stage, or a producer has a
    warp for each (`producer` in the schedule). Turns of the exchange are
    reserved and released. In a persistent
    kernel (`ring` in the schedule) single threads beside the consumers also wait
    for other programs, copy out and count for them: each takes a way to the L2
    cache and back, and consumers only exchange signals with those threads. Its
    query rows are loaded a turn ahead, those of its readers beside the last tile
    of a slab. The launch plan learns which arguments
    need a tensor map, and of which box.

    Before:

    ```mlir
    %q = monarch_tile.load %query[...] ...
    scf.for %c = %c0 to %c21 step %c1 {
      %k = monarch_tile.load %key[...] ... -> tensor<56x128xbf16, #monarch_tile.layout<swizzled, warps = 12>>
      %s = monarch_tile.dot %q, %k transposed_rhs : ...
    ```

    After:

    ```mlir
    %ring = monarch_tile.alloc_ring : <3, tensor<56x128xbf16, ...>>
    monarch_tile.role "producer" warps 4 from 12 registers 32 {
      scf.for %c = %c0 to %c21 step %c1 {
        monarch_tile.copy_bulk %key[...] box [1, 1, 52, 1, 64] to %ring[%c] ...
      }
    }
    monarch_tile.role "consumer" warps 12 from 0 registers 160 {
      %q = monarch_tile.load %query[...] ...
      scf.for %c = %c0 to %c21 step %c1 {
        %k = monarch_tile.acquire %ring[%c] : ...
        %s = monarch_tile.dot %q, %k transposed_rhs : ...
        monarch_tile.release %ring[%c] : ...
    ```
  }];
  let dependentDialects = [
      "::monarch::tile::TileDialect", "::mlir::affine::AffineDialect",
      "::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect"];
  let statistics = [Statistic<"specialized", "specialized", "kernels split into roles">];
}

def MonarchTileStageOutputs : Pass<"monarch-tile-stage-outputs", "::mlir::ModuleOp"> {
  let summary = "Let outputs leave through shared memory, beside the program";
  let description = [{
    A store to memory that is busy stalls the warp that issues it, and with it
    the products that would run next. The consumers of a specialised program
    put the rows of a tile into shared memory instead, each warp its own, and
    start a bulk copy of them; the place is free again when the copy has read
    it, a turn of the loop later. Where a signal is raised after them, the role
    that awaits it copies them out, and says by a signal of its own when the
    place is free. Rows that leave by a tensor map (`monarch_tile.settle`) are
    staged in its swizzle.

    Before:

    ```mlir
    monarch_tile.store %0, %aL[...] interleave ...
    monarch_tile.store %1, %aL[...] interleave {column_offset = 64 : i64, ...}
    ```

    After:

    ```mlir
    monarch_tile.await_out pending 1
    monarch_tile.stage %0 to %out : ...
    monarch_tile.stage %1 to %out {column_offset = 64 : i64} : ...
    monarch_tile.copy_out %out to %aL[...] ...
    ```
  }];
  let dependentDialects = ["::monarch::tile::TileDialect"];
  let statistics = [Statistic<"staged", "staged", "outputs that leave through shared memory">];
}

def MonarchTileToVector : Pass<"monarch-tile-to-vector", "::mlir::ModuleOp"> {
  let summary = "Lower tiled kernels to loops over vectors, for the host";
  let description = [{
    Tiles become buffers that fit in cache, elementwise ops and products loops
    over vectors of 16 floats. The programs become one loop over a range given
    by two further arguments, so that threads can share them.

    Before:

    ```mlir
    func.func @l_step(%query: memref<...>, ..., %slab_begin: index, %slab_count: index) {
      scf.forall ... { %p = math.exp2 %x : tensor<32x64xf32> ...
    ```

    After:

    ```mlir
    func.func @l_step(%query: memref<...>, ..., %begin: index, %end: index) {
      scf.for %program = %begin to %end step %c1 {
        scf.for ... { %v = vector.load %x[...] : ..., vector<16xf32> ...
    ```
  }];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect",
    "::mlir::memref::MemRefDialect", "::mlir::math::MathDialect"];
}

#endif // MONARCH_PASSES
