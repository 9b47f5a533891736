//===- Assemble.h - ptxas as a process -------------------------*- C++ -*-===//
#ifndef MONARCH_CODEGEN_ASSEMBLE_H
#define MONARCH_CODEGEN_ASSEMBLE_H

#include "monarch/Bundle/Bundle.h"

#include "llvm/Support/Error.h"

#include <map>

namespace monarch {

/// What ptxas made of a module.
struct Assembled {
  std::string cubin;
  std::string log; ///< warnings, verbatim; empty when there were none
  std::map<std::string, Resources> kernels;
};

/// Path of ptxas: MONARCH_PTXAS, else in PATH, else in /usr/local/cuda/bin;
/// empty when there is none. An error when MONARCH_PTXAS names no program.
llvm::Expected<std::string> findPtxas();

/// Runs ptxas on PTX text. A failure carries its stderr and the command.
llvm::Expected<Assembled> assemble(const std::string &ptx,
                                   const std::string &arch);

} // namespace monarch

#endif // MONARCH_CODEGEN_ASSEMBLE_H
