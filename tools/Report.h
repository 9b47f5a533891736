//===- Report.h - what a run gave, for people and programs ------*- C++ -*-===//
#ifndef MONARCH_TOOLS_REPORT_H
#define MONARCH_TOOLS_REPORT_H

#include "DeviceRuns.h"

#include "monarch/Reference/Reference.h"

namespace monarch {

/// What one run gave.
struct Report {
  std::string target, device;
  std::vector<double> milliseconds; ///< sorted
  std::vector<KernelTime> kernels;  ///< their times sorted
  int64_t keyFrames = 0;            ///< valid at the call
  double compileMilliseconds = 0;
  int64_t workspaceBytes = 0, slabsPerGroup = 0;
  bool verified = false;
  ErrorSummary error;
};

/// On standard output, as one JSON object or as lines; `verify`: with what the
/// comparison with the oracle gave.
void printJson(const Report &report, const Problem &problem, bool verify);
void printText(const Report &report, const Problem &problem, bool verify);

} // namespace monarch

#endif // MONARCH_TOOLS_REPORT_H
