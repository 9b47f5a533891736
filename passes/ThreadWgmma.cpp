//===- ThreadWgmma.cpp - roles and products on Hopper ---------------------===//
//
// PTX ISA: "Asynchronous Warpgroup Level Matrix Instructions", "setmaxnreg".
//
//===----------------------------------------------------------------------===//

#include "ThreadLowering.h"

#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;
using namespace monarch;

//===----------------------------------------------------------------------===//
// Roles
//===----------------------------------------------------------------------===//

LogicalResult ThreadLowering::lowerRole(tile::RoleOp op) {
  if (!rolesBegun) {
    // Barriers and zeros are visible to all, and to the copy engine.
    rolesBegun = true;
    NVVM::FenceMbarrierInitOp::create(b, loc);
    fenceProxy();
    if (member)
      joinCluster();
    else
      NVVM::Barrier0Op::create(b, loc);
  }
  bool producer = op.getKind() == "producer";
  int64_t first = op.getFirst(), teams = op.getTeams();
  int64_t end = first + teams * op.getWarps();
  // A role inside another is for some of its warps.
  auto outer = op->getParentOfType<tile::RoleOp>();
  int64_t among = outer ? warps : allWarps;
  // The role's own numbers, from 0.
  llvm::SaveAndRestore<int64_t> allOfIt(warps, op.getWarps());
  llvm::SaveAndRestore<Value> itsWarp(warp, warp), itsThread(thread, thread);
  Value mine = arith::ConstantIntOp::create(b, loc, 1, 1);
  if (first)
    mine = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::uge, warp,
                                 index(first));
  if (end < among) {
    Value before = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult,
                                         warp, index(end));
    mine = first ? arith::AndIOp::create(b, loc, mine, before) : before;
  }
  auto branch = scf::IfOp::create(b, loc, mine, false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  if (op.getRegisters())
    NVVM::SetMaxRegisterOp::create(
        b, loc, b.getI32IntegerAttr(op.getRegisters()),
        NVVM::SetMaxRegisterActionAttr::get(
            b.getContext(),
            launchRegisters() > static_cast<int64_t>(op.getRegisters())
                ? NVVM::SetMaxRegisterAction::decrease
                : NVVM::SetMaxRegisterAction::increase));
  if (first) {
    warp = arith::SubIOp::create(b, loc, warp, index(first));
    thread = arith::SubIOp::create(b, loc, thread, index(32 * first));
  }
  Value number;
  if (teams > 1) { // each has its own number and threads
    number = arith::DivUIOp::create(b, loc, warp, index(op.getWarps()));
    mapping.map(op.getBody().front().getArgument(0), number);
    warp = arith::RemUIOp::create(b, loc, warp, index(op.getWarps()));
    thread = arith::RemUIOp::create(b, loc, thread, index(32 * op.getWarps()));
  }
  bool hasRoles = !op.getBody().front().getOps<tile::RoleOp>().empty();
  if (producer && !hasRoles) {
    Value isFirst;
    // Of a thread that ptxas does not know to be one alone, as by its constant
    // number, it makes a loop over lanes around every copy, each turn of which
    // waits for the copy before, 270 clocks on an H100. What is elected, it
    // knows.
    if (teams > 1 && op.getWarps() == 1 && op.getLanes() == 1)
      isFirst = NVVM::ElectSyncOp::create(b, loc, b.getI1Type(), Value());
    else
      isFirst = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, thread,
                                      index(op.getLanes()));
    auto one = scf::IfOp::create(b, loc, isFirst, false);
    b.setInsertionPointToStart(one.thenBlock());
    return lowerBlock(&op.getBody().front());
  }
  if (teams == 1)
    return lowerBlock(&op.getBody().front());
  // Consumers have shared memory of their own; how much is known in the end.
  sharedBytes = roundUp(sharedBytes, 1024);
  int64_t start = sharedBytes;
  auto perTeam = arith::ConstantIntOp::create(b, loc, 0, 32);
  llvm::SaveAndRestore<Value> allOfThem(teamsBase, sharedBase),
      each(teamBytes, perTeam);
  llvm::SaveAndRestore<Value> itsBase(
      sharedBase, add(sharedBase, mul(toI32(number), perTeam)));
  if (failed(lowerBlock(&op.getBody().front())))
    return failure();
  int64_t bytes = roundUp(sharedBytes - start, 1024);
  perTeam.setValueAttr(b.getI32IntegerAttr(bytes));
  sharedBytes = start + teams * bytes;
  return success();
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// An asm statement with side effects and `count` results in f32.
Registers ThreadLowering::statement(StringRef text, StringRef constraints,
                                    int64_t count, ValueRange operands) {
  SmallVector<Type> types(count, b.getF32Type());
  SmallVector<Type> result;
  if (count)
    result = {LLVM::LLVMStructType::getLiteral(b.getContext(), types)};
  auto op = LLVM::InlineAsmOp::create(
      b, loc, result, operands, b.getStringAttr(text),
      b.getStringAttr(constraints),
      /*has_side_effects=*/b.getUnitAttr(), UnitAttr(),
      LLVM::TailCallKindAttr::get(b.getContext(), LLVM::TailCallKind::None),
      LLVM::AsmDialectAttr(), ArrayAttr());
  Registers results;
  for (int64_t i = 0; i < count; ++i)
    results.push_back(
        LLVM::ExtractValueOp::create(b, loc, op->getResult(0), i));
  return results;
}

/// All steps of a product in one asm statement, so that nothing comes between
/// the wgmma of a group (ptxas C7514). A is in registers; B is described by an
/// address, K-major for lhs x rhs^T and MN-major for lhs x rhs.
LogicalResult ThreadLowering::lowerWgmma(tile::DotOp op) {
  RankedTensorType type = tileOf(op.getResult()), rhsType = tileOf(op.getRhs());
  bool shared = kindOf(op.getLhs()) == "swizzled";
  if (failed(refuseRuns(op)))
    return failure();
  if (shared && warps % 4)
    return op.emitOpError(
               "expected a role of whole warpgroups for a swizzled lhs, "
               "got ")
           << warps << " warps";
  if ((kindOf(op.getLhs()) != "lhs" && !shared) || op.getTransposeLhs())
    return op.emitOpError("expected a lhs in registers or swizzled beside a "
                          "swizzled rhs");
  int64_t columns = type.getDimSize(1), count = columns / 2;
  int64_t depth = tileOf(op.getLhs()).getDimSize(1), steps = ceilDiv(depth, 16);
  int64_t halfBytes = rowsTogether(rhsType) * 128;
  int64_t groupBytes = bytesOfEightRows(rhsType);
  bool transposed = op.getTransposeRhs();
  if (!transposed && (columns % 64 || columns > 256 || op.getRhsOffset() % 64))
    return op.emitOpError("expected outputs of a multiple of 64 channels up to "
                          "256, got ")
           << columns;
  StringRef element = rhsType.getElementType().isBF16() ? "bf16" : "f16";

  // Shared memory descriptor: address / 16 in bits 0-13, distance of halves of
  // 64 channels / 16 in bits 16-29 where a product crosses them, distance of
  // groups of 8 rows / 16 in bits 32-45, 128-byte swizzle in bit 62.
  int64_t halfStep = !transposed && columns > 64 ? halfBytes >> 4 : 1;
  auto describe = [&](Value address, int64_t groupBytes) -> Value {
    int64_t fixed =
        (int64_t(1) << 62) | (groupBytes >> 4 << 32) | (halfStep << 16);
    Value sixteenths = arith::ShRUIOp::create(
        b, loc, arith::AndIOp::create(b, loc, address, i32(0x3FFFF)), i32(4));
    return arith::OrIOp::create(
        b, loc, arith::ExtUIOp::create(b, loc, b.getI64Type(), sixteenths),
        arith::ConstantIntOp::create(b, loc, fixed, 64));
  };
  Value descriptor = describe(at(op.getRhs(), 0), groupBytes);
  Registers lhs = all(op.getLhs());
  int64_t lhsHalf = paddedRows(tileOf(op.getLhs())) * 128;
  if (!shared)
    lhs.resize(steps * 4);
  SmallVector<Value> operands;
  std::string text = "{\n.reg .pred first, more;\n.reg .b64 d, a;\n"
                     "setp.ne.b32 first, 0, 0;\nsetp.eq.b32 more, 0, 0;\n"
                     "wgmma.fence.sync.aligned;\n";
  llvm::raw_string_ostream os(text);
  std::string constraints;
  llvm::raw_string_ostream cs(constraints);
  std::string results;
  for (int64_t i = 0; i < count; ++i) {
    results += (i ? ", $" : "$") + std::to_string(i);
    cs << "=&f,";
  }
  int64_t descriptorAt = count + (shared ? 1 : 4 * steps);
  if (shared) {
    Value rows = lhs[0]; // of the warpgroup
    if (warps > 4)
      rows = add(rows, toI32(mul(arith::ShRUIOp::create(b, loc, warp, index(2)),
                                 index(64 * 128))));
    operands.push_back(describe(rows, /*groupBytes=*/1024));
    cs << "l,";
  }
  Registers acc;
  if (op.getAcc())
    acc = all(op.getAcc());
  Value zero;
  for (int64_t s = 0; s < steps; ++s) {
    StringRef adds = s || !acc.empty() ? "more" : "first";
    int64_t offset;
    if (transposed) // 16 channels of all rows
      offset = s / 4 * halfBytes + s % 4 * 32;
    else // 16 rows of 64 channels
      offset = op.getRhsOffset() / 64 * halfBytes + s * 2 * groupBytes;
    os << "add.s64 d, $" << descriptorAt << ", " << (offset >> 4) << ";\n";
    if (shared) // 16 channels of all rows
      os << "add.s64 a, $" << count << ", "
         << ((s / 4 * lhsHalf + s % 4 * 32) >> 4) << ";\n";
    os << "wgmma.mma_async.sync.aligned.m64n" << columns << "k16.f32."
       << element << "." << element << " {" << results << "}, ";
    if (shared) {
      os << "a, d, " << adds << ", 1, 1, 0, " << (transposed ? 0 : 1) << ";\n";
      continue;
    }
    os << "{";
    for (int64_t r = 0; r < 4; ++r) {
      Value &v = lhs[s * 4 + r];
      if (!v) // behind a last step of 8 columns
        v = zero ? zero : (zero = i32(0));
      operands.push_back(v);
      os << (r ? ", $" : "$") << count + s * 4 + r;
      cs << "r,";
    }
    os << "}, d, " << adds << ", 1, 1, " << (transposed ? 0 : 1) << ";\n";
  }
  os << "wgmma.commit_group.sync.aligned;\n}";
  cs << "l";
  operands.push_back(descriptor);
  for (auto [i, v] : llvm::enumerate(acc)) { // the results' registers
    cs << "," << i;
    operands.push_back(v);
  }
  registers[op.getResult()] = statement(text, constraints, count, operands);
  products += steps;
  return success();
}

/// The wait takes the accumulators in and gives them out, so that no use of
/// them can come before it.
void ThreadLowering::lowerAwait(tile::AwaitOp op) {
  Registers acc = all(op.getProduct());
  std::string constraints;
  for (size_t i = 0; i < acc.size(); ++i)
    constraints += "=f,";
  for (size_t i = 0; i < acc.size(); ++i)
    constraints += std::to_string(i) + (i + 1 < acc.size() ? "," : "");
  registers[op.getResult()] = statement(
      "wgmma.wait_group.sync.aligned " + std::to_string(op.getPending()) + ";",
      constraints, acc.size(), acc);
}
