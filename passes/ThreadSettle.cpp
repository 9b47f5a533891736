//===- ThreadSettle.cpp - halves of the L2 cache --------------------------===//
//
// An SM is near one half of the L2 cache, and a 4 KiB chunk of memory has its
// place in one half: two neighbours in different ones (on an H100 by the parity
// of address bits 12, 13, 16, 17 and 19 and of a bit of each 2 MiB page). Read
// lines are kept in both halves, so that only atomics tell where one belongs:
// 270 to 340 clocks from the near half, 430 to 540 from the other. The idea and
// the granularity are from https://github.com/ademeure/cuda-side-boost; figures
// in docs/performance.md.
//
//===----------------------------------------------------------------------===//

#include "ThreadLowering.h"

using namespace mlir;
using namespace monarch;

/// i32, 1 when the chunk at `pointer` answers sooner than the one after it. The
/// least of some tries, for other programs are measuring too, in turns, for
/// they come and go: of 3456 couples on an H100 none is wrong with 8, 12 with
/// 3; a third is when one chunk is timed after the other.
Value ThreadLowering::isFirstNearer(Value pointer) {
  // A branch that is as good as never taken waits for the answer.
  auto tryChunk = [](std::string offset, std::string least) {
    return "mov.u32 t, %clock;\n"
           "atom.relaxed.gpu.global.add.u32 v, [p + " +
           offset +
           "], 0;\n"
           "setp.eq.u32 odd, v, 0x9e3779b9;\n"
           "@odd bra end${:uid};\n"
           "mov.u32 v, %clock;\n"
           "sub.u32 t, v, t;\n"
           "min.u32 " +
           least + ", " + least + ", t;\n";
  };
  std::string tries = tryChunk("0", "t0") + tryChunk("4096", "t1");
  std::string text =
      "{\n.reg .pred odd, nearer;\n.reg .b32 v, t, t0, t1, i;\n"
      ".reg .b64 p;\nmov.b64 p, $1;\nmov.b32 t0, -1;\nmov.b32 t1, -1;\n" +
      tries + // which bring the lines to the cache
      "mov.b32 t0, -1;\nmov.b32 t1, -1;\nmov.b32 i, 0;\nagain${:uid}:\n" +
      tries +
      "add.u32 i, i, 1;\nsetp.lt.u32 odd, i, 8;\n@odd bra again${:uid};\n"
      "end${:uid}:\nsetp.lt.u32 nearer, t0, t1;\n"
      "selp.u32 $0, 1, 0, nearer;\n}";
  return assembly(text, "=r,l,~{memory}", b.getI32Type(), {pointer},
                  /*sideEffects=*/true);
}

LogicalResult ThreadLowering::lowerSettle(tile::SettleOp op) {
  auto source = memories.find(op.getMemory()),
       into = memories.find(op.getInto());
  auto given = memories.find(op.getScratch());
  if (source == memories.end() || into == memories.end() ||
      given == memories.end() || rolesBegun)
    return op.emitOpError("expected arguments of the kernel, before its roles");
  Memory memory = source->second, written = into->second;
  Value scratch = given->second.pointer;
  Value program = mapping.lookupOrDefault(op.getProgram());
  int64_t programs = op.getPrograms(), writers = op.getWriters();
  int64_t readers = programs - writers;
  int64_t pieces = memory.type.getDimSize(1) * memory.type.getDimSize(2) / 16;
  int64_t sideWords = ceilDiv(programs, 32), words = ceilDiv(pieces, 32);
  sharedBytes = roundUp(sharedBytes, 16);
  memory.exchanged = written.exchanged = add(sharedBase, i32(sharedBytes));
  Value flag = add(memory.exchanged, i32(4 * words));
  sharedBytes += 4 * words + 16;

  auto compare = [&](arith::CmpIPredicate how, Value x, Value y) -> Value {
    return arith::CmpIOp::create(b, loc, how, x, y);
  };
  auto when = [&](Value condition, llvm::function_ref<void()> body) {
    auto branch = scf::IfOp::create(b, loc, condition, false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    body();
  };
  auto select = [&](Value c, Value x, Value y) -> Value {
    return arith::SelectOp::create(b, loc, c, x, y);
  };
  auto sub = [&](Value x, Value y) -> Value {
    return arith::SubIOp::create(b, loc, x, y);
  };
  auto wordAt = [&](Value i) {
    return advance(scratch, toI64(mul(i, index(4))));
  };
  auto setBit = [&](Value first, Value i) {
    Value at = add(first, arith::ShRUIOp::create(b, loc, i, index(5)));
    Value bit = arith::ShLIOp::create(
        b, loc, i32(1), toI32(arith::AndIOp::create(b, loc, i, index(31))));
    statement("red.relaxed.gpu.global.or.b32 [$0], $1;", "l,r,~{memory}", 0,
              {wordAt(at), bit});
  };
  auto readWord = [&](Value i) {
    return assembly("ld.relaxed.gpu.global.u32 $0, [$1];", "=r,l,~{memory}",
                    b.getI32Type(), {wordAt(i)}, /*sideEffects=*/true);
  };
  Value isFirst = isFirstThread();
  Value speaks = compare(arith::CmpIPredicate::eq, lane, index(0));

  // Half 0 is that of the first chunk. Programs take different lines of it.
  when(isFirst, [&] {
    Value line = arith::AndIOp::create(b, loc, program, index(31));
    Value nearer =
        isFirstNearer(advance(memory.pointer, toI64(mul(line, index(128)))));
    LLVM::StoreOp::create(b, loc, nearer, sharedPointer(flag), 4);
  });
  NVVM::Barrier0Op::create(b, loc);
  Value nearFirst =
      LLVM::LoadOp::create(b, loc, b.getI32Type(), sharedPointer(flag), 4);
  Value isOther = compare(arith::CmpIPredicate::eq, nearFirst, i32(0));
  when(arith::AndIOp::create(b, loc, isFirst, isOther),
       [&] { setBit(index(1), program); });
  // Pieces of 16 chunks are dealt to all programs, to one warp after the other.
  when(speaks, [&] {
    Value own = add(mul(warp, index(programs)), program);
    auto loop = scf::ForOp::create(b, loc, own, index(pieces),
                                   index(programs * allWarps));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value piece = loop.getInductionVar();
    Value nearer =
        isFirstNearer(advance(memory.pointer, toI64(mul(piece, index(65536)))));
    when(compare(arith::CmpIPredicate::ne, nearer, nearFirst),
         [&] { setBit(index(1 + sideWords), piece); });
  });
  NVVM::Barrier0Op::create(b, loc);
  when(isFirst, [&] {
    statement("red.release.gpu.global.add.u32 [$0], 1;", "l,~{memory}", 0,
              {scratch});
    awaitAtLeast(scratch, i32(programs));
  });
  NVVM::Barrier0Op::create(b, loc);

  // This program's place among those of its half.
  Value before = i32(0), others = i32(0), number = toI32(program);
  for (int64_t w = 0; w < sideWords; ++w) {
    Value word = readWord(index(1 + w)), ahead = sub(number, i32(32 * w));
    auto count = [&](Value v) -> Value {
      return LLVM::CtPopOp::create(b, loc, b.getI32Type(), v);
    };
    Value some =
        sub(arith::ShLIOp::create(
                b, loc, i32(1), arith::AndIOp::create(b, loc, ahead, i32(31))),
            i32(1));
    Value mask =
        select(compare(arith::CmpIPredicate::sge, ahead, i32(32)), i32(-1),
               select(compare(arith::CmpIPredicate::sgt, ahead, i32(0)), some,
                      i32(0)));
    before = add(before, count(arith::AndIOp::create(b, loc, word, mask)));
    others = add(others, count(word));
  }
  Value firsts = sub(i32(programs), others);
  // Readers of 4 pairs are in one half, those of the next 4 in the other.
  int64_t together = 4 / op.getPairs();
  int64_t quota = readers / (2 * together) * together +
                  std::min(readers % (2 * together), together);
  int64_t quotaOfOthers = readers - quota;
  Value rank = select(isOther, before, sub(number, before));
  Value most = select(isOther, i32(quotaOfOthers), i32(quota));
  Value side = select(isOther, i32(1), i32(0));
  Value inFour = arith::RemUIOp::create(b, loc, rank, i32(together));
  Value asReader =
      add(i32(writers), add(add(mul(sub(rank, inFour), i32(2)), inFour),
                            mul(side, i32(together))));
  Value asWriter =
      add(sub(rank, most), select(isOther, sub(firsts, i32(quota)), i32(0)));
  Value enough = arith::AndIOp::create(
      b, loc, compare(arith::CmpIPredicate::sge, firsts, i32(quota)),
      compare(arith::CmpIPredicate::sge, others, i32(quotaOfOthers)));
  Value settled = select(compare(arith::CmpIPredicate::slt, rank, most),
                         asReader, asWriter);
  mapping.map(op.getNumber(),
              arith::IndexCastOp::create(b, loc, b.getIndexType(),
                                         select(enough, settled, number)));
  // Roles begin with a barrier.
  auto loop =
      scf::ForOp::create(b, loc, thread, index(words), index(32 * allWarps));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value i = loop.getInductionVar();
    Value word = readWord(add(i, index(1 + sideWords)));
    LLVM::StoreOp::create(
        b, loc, word,
        sharedPointer(add(memory.exchanged, toI32(mul(i, index(4))))), 4);
  }
  auto place = [&](Value from, Value to, const Memory &as) {
    if (Value map = tensorMaps.lookup(from))
      tensorMaps[to] = map;
    memories[to] = as;
  };
  place(op.getMemory(), op.getNear(), memory);
  place(op.getInto(), op.getNearInto(), written);
  return success();
}

/// Where a pair's chunk is among those of its block. Of 16 chunks in 64 KiB the
/// first, the fourth and those 4, 8 and 12 after them are in one half, for bits
/// 12 and 13 of an address change it, 14 and 15 do not (measured on an H100,
/// docs/performance.md). Four chunks of 4 are those of 4 pairs each: 0 and 3 of
/// the pairs 0 .. 3 and 8 .. 11 where the first chunk is in half 0, which they
/// are to be in, else 1 and 2.
Value ThreadLowering::settledPair(const Memory &memory, Value block,
                                  Value pair) {
  auto shift = [&](Value v, int64_t by) -> Value {
    return arith::ShRUIOp::create(b, loc, v, index(by));
  };
  auto low = [&](Value v, int64_t mask) -> Value {
    return arith::AndIOp::create(b, loc, v, index(mask));
  };
  auto exclusive = [&](Value x, Value y) -> Value {
    return arith::XOrIOp::create(b, loc, x, y);
  };
  Value sixteen = shift(pair, 4);
  Value piece = add(mul(block, index(memory.type.getDimSize(2) / 16)), sixteen);
  Value byte = LLVM::LoadOp::create(
      b, loc, b.getI8Type(),
      sharedPointer(add(memory.exchanged, toI32(shift(piece, 3)))), 1);
  Value bits = arith::IndexCastUIOp::create(b, loc, b.getIndexType(), byte);
  Value bit = arith::ShRUIOp::create(b, loc, bits, low(piece, 7));
  Value other = low(exclusive(shift(pair, 2), bit), 1);
  Value ofFour = exclusive(other, mul(low(shift(pair, 3), 1), index(3)));
  return add(add(mul(sixteen, index(16)), mul(low(pair, 3), index(4))), ofFour);
}
