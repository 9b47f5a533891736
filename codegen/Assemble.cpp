//===- Assemble.cpp - ptxas as a process ----------------------------------===//

#include "monarch/Codegen/Assemble.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Regex.h"

using namespace monarch;

static llvm::Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

llvm::Expected<std::string> monarch::findPtxas() {
  if (const char *path = std::getenv("MONARCH_PTXAS")) {
    if (!llvm::sys::fs::can_execute(path))
      return makeError("MONARCH_PTXAS: expected a program (ptxas), got '" +
                       llvm::Twine(path) + "'");
    return path;
  }
  if (auto path = llvm::sys::findProgramByName("ptxas"))
    return *path;
  if (auto path =
          llvm::sys::findProgramByName("ptxas", {"/usr/local/cuda/bin"}))
    return *path;
  return "";
}

/// Reads `ptxas -v`: a line naming the function, then its properties.
static void readLog(llvm::StringRef text, Assembled &out) {
  llvm::Regex entry("Compiling entry function '([^']+)'");
  llvm::Regex properties("Function properties for ([^ ]+)");
  llvm::Regex stack("([0-9]+) bytes stack frame, ([0-9]+) bytes spill stores, "
                    "([0-9]+) bytes spill loads");
  llvm::Regex registers("Used ([0-9]+) registers");
  std::string current;
  llvm::SmallVector<llvm::StringRef> lines, match;
  text.split(lines, '\n');
  auto number = [&](int i) {
    int v = -1;
    match[i].getAsInteger(10, v);
    return v;
  };
  for (llvm::StringRef line : lines) {
    if (entry.match(line, &match) || properties.match(line, &match))
      current = match[1].str();
    else if (stack.match(line, &match)) {
      Resources &r = out.kernels[current];
      r.stackBytes = number(1);
      r.spillStores = number(2);
      r.spillLoads = number(3);
    } else if (registers.match(line, &match))
      out.kernels[current].registers = number(1);
    else if (line.contains("warning") || line.contains("(C7"))
      out.log += (line + "\n").str();
  }
}

llvm::Expected<Assembled> monarch::assemble(const std::string &ptx,
                                            const std::string &arch) {
  llvm::Expected<std::string> found = findPtxas();
  if (!found)
    return found.takeError();
  const std::string &ptxas = *found;
  if (ptxas.empty())
    return makeError("ptxas was not found (MONARCH_PTXAS, PATH, "
                     "/usr/local/cuda/bin); it is needed for a cubin");
  llvm::SmallString<128> in, out, log;
  for (auto [path, suffix] :
       {std::pair{&in, "ptx"}, {&out, "cubin"}, {&log, "log"}})
    if (std::error_code ec =
            llvm::sys::fs::createTemporaryFile("monarch", suffix, *path))
      return makeError("cannot make a temporary file: " + ec.message());
  llvm::FileRemover removeIn(in), removeOut(out), removeLog(log);
  if (llvm::Error e = llvm::writeToOutput(in, [&](llvm::raw_ostream &os) {
        os << ptx;
        return llvm::Error::success();
      }))
    return std::move(e);
  std::string archFlag = "-arch=" + arch;
  llvm::StringRef arguments[] = {ptxas, archFlag, "-v", in, "-o", out};
  std::optional<llvm::StringRef> redirects[] = {std::nullopt, log.str(),
                                                log.str()};
  std::string message;
  int code = llvm::sys::ExecuteAndWait(ptxas, arguments, std::nullopt,
                                       redirects, 0, 0, &message);
  auto text = llvm::MemoryBuffer::getFile(log);
  std::string said = text ? (*text)->getBuffer().str() : "";
  if (code != 0) {
    removeIn.releaseFile(); // kept, so that the command can be repeated
    return makeError("ptxas failed: " + message + "\n" + said +
                     "command: " + ptxas + " " + archFlag + " -v " + in.str());
  }
  Assembled result;
  readLog(said, result);
  auto cubin = llvm::MemoryBuffer::getFile(out, false, false);
  if (!cubin)
    return makeError("ptxas wrote no cubin");
  result.cubin = (*cubin)->getBuffer().str();
  return result;
}
