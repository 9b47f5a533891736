//===- CommandLine.h - what the tools' command lines share -----*- C++ -*-===//
#ifndef MONARCH_TOOLS_COMMANDLINE_H
#define MONARCH_TOOLS_COMMANDLINE_H

#include "llvm/Support/CommandLine.h"

namespace monarch {

/// Parses the flags of a tool's `own` category and of problems; `--help` shows
/// no others, which are LLVM's, and `--version` the tool's. Exits on a flag
/// that is not known.
void parseCommandLine(int argc, char **argv, llvm::StringRef tool,
                      llvm::cl::OptionCategory &own, llvm::StringRef overview);

/// `--schedule`.
llvm::cl::opt<std::string> &scheduleFlag();

} // namespace monarch

#endif // MONARCH_TOOLS_COMMANDLINE_H
