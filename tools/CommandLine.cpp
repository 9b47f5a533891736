//===- CommandLine.cpp - what the tools' command lines share --------------===//

#include "CommandLine.h"

#include "ProblemFlags.h"

#include "monarch/Support/Version.h"

#include "llvm/Support/raw_ostream.h"

using namespace monarch;
namespace cl = llvm::cl;

static cl::OptionCategory category("Schedule");
static cl::opt<std::string>
    schedule("schedule",
             cl::desc("parts of schedules, in place of what would be chosen: "
                      "r_step.stages=2,l_step.columns=16"),
             cl::value_desc("kernel.part=value,..."), cl::cat(category));

cl::opt<std::string> &monarch::scheduleFlag() { return schedule; }

void monarch::parseCommandLine(int argc, char **argv, llvm::StringRef tool,
                               cl::OptionCategory &own,
                               llvm::StringRef overview) {
  cl::HideUnrelatedOptions({&own, &problemCategory(), &category});
  cl::SetVersionPrinter([tool](llvm::raw_ostream &os) {
    os << tool << " " << versionString() << " (" << sourceHash() << ")\n";
  });
  cl::ParseCommandLineOptions(argc, argv, overview);
}
