//===- Version.cpp - which compiler this is -------------------------------===//

#include "monarch/Support/Version.h"

const char *monarch::versionString() { return MONARCH_VERSION; }

const char *monarch::sourceHash() {
  return
#include "SourceHash.inc"
      ;
}
