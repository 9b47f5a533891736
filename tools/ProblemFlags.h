//===- ProblemFlags.h - a problem on the command line ----------*- C++ -*-===//
#ifndef MONARCH_TOOLS_PROBLEMFLAGS_H
#define MONARCH_TOOLS_PROBLEMFLAGS_H

#include "monarch/Geometry/Problem.h"

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Error.h"

namespace monarch {

/// Of the flags below.
llvm::cl::OptionCategory &problemCategory();

/// True when any flag that states a problem was given.
bool hasProblemFlags();
/// An error that names a flag which states a part of a problem, for a tool
/// whose input is a file; `allowHeads` leaves out `--heads`.
llvm::Error refuseProblemFlags(bool allowHeads);
/// The problem that the flags state, checked; an error names the flag, what was
/// expected and what was given.
llvm::Expected<Problem> problemFromFlags();

/// How many of a file's or bundle's heads to run: `--heads`, or all.
llvm::Expected<int64_t> headsToRun(int64_t heads);

/// `--list`: models, targets, workloads.
bool listRequested();
void printList();

} // namespace monarch

#endif // MONARCH_TOOLS_PROBLEMFLAGS_H
