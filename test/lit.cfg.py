# lit configuration: one suite over test/, and the gtest programs of test/Unit.
import os
import shutil
import sys

import lit.formats

config.name = "Monarch"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs", "Integration", "Unit"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.monarch_build, "test")

tools = os.path.join(config.monarch_build, "bin")
config.environment["PATH"] = os.pathsep.join(
    [tools, config.llvm_tools, os.environ.get("PATH", "")])
# Neither a user's knobs nor their cache may change a result.
for name in list(os.environ):
    if name.startswith("MONARCH_"):
        config.environment.pop(name, None)
config.environment["FILECHECK_OPTS"] = "--enable-var-scope --dump-input-filter=error"
config.substitutions.append(("%src", config.monarch_source))
config.substitutions.append(("%lib", os.path.join(config.monarch_build, "lib")))
config.substitutions.append(("%python", sys.executable))
config.substitutions.append(("%monarchc", os.path.join(tools, "monarchc")))
# MONARCH_VERIFY_ROUNDTRIP=1 ./dev check: every monarch-opt run prints, parses
# and compares its module as well.
if os.environ.get("MONARCH_VERIFY_ROUNDTRIP"):
    config.substitutions.append(
        (r"\bmonarch-opt\b", "monarch-opt --verify-roundtrip"))
ptxas = shutil.which("ptxas") or shutil.which("ptxas", path="/usr/local/cuda/bin")
if ptxas:
    config.available_features.add("ptxas")
    config.substitutions.append(("%ptxas", ptxas))
