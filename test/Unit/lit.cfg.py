# The gtest programs, one lit test for each shard.
import os

import lit.formats

config.name = "Monarch-Unit"
config.test_format = lit.formats.GoogleTest(".", "Test")
config.suffixes = []
config.test_source_root = config.test_exec_root = os.path.join(
    config.monarch_build, "test", "Unit")
