//===- Version.h - which compiler this is ----------------------*- C++ -*-===//
#ifndef MONARCH_SUPPORT_VERSION_H
#define MONARCH_SUPPORT_VERSION_H

namespace monarch {
/// "0.1.0"
const char *versionString();
/// 16 hexadecimal digits over the compiler's own sources.
const char *sourceHash();
} // namespace monarch

#endif // MONARCH_SUPPORT_VERSION_H
