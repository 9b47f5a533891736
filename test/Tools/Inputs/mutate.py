"""mutate.py MONARCHC DIR SEED COUNT: damaged modules give errors, never crashes.

Takes a module of each level, deletes or repeats a line, changes a number or
drops a word, and compiles it: the exit status has to be 0 or 1.
"""
import random
import re
import subprocess
import sys

monarchc, folder, seed, count = sys.argv[1:]
random.seed(int(seed))
partial = ["--grid=3,4,20", "--tile=2,3,20", "--heads=2", "--head-dim=64"]
cluster = ["--grid=6,8,20", "--heads=2", "--head-dim=64"]
modules = []
for target, flags, levels in (
    ("sm_80", partial, "problem steps fused tiled mapped nvvm"),
    ("sm_90a", partial, "fused tiled mapped"),
    ("sm_90a", cluster, "fused tiled mapped nvvm"),
    ("host", partial, "steps tiled host")):
    for level in levels.split():
        out = subprocess.run([monarchc, *flags, f"--target={target}", f"--emit={level}"],
                             capture_output=True, text=True, check=True)
        modules.append((level, "llvm" if target == "host" else "ptx", out.stdout))
crashes = 0
for number in range(int(count)):
    level, emit, text = random.choice(modules)
    lines = text.split("\n")
    for _ in range(random.choice((1, 1, 2))):
        at = random.randrange(len(lines))
        chance = random.random()
        words = re.findall(r"\d+|\w+|\W", lines[at])
        numbers = [i for i, word in enumerate(words) if word.isdigit()]
        if chance < 0.3:
            del lines[at]
        elif chance < 0.75 and numbers:
            words[random.choice(numbers)] = random.choice(
                ("0", "1", "2", "3", "7", "64", "128", "-1", "1000000"))
            lines[at] = "".join(words)
        elif chance < 0.9 and words:
            del words[random.randrange(len(words))]
            lines[at] = "".join(words)
        else:
            lines.insert(at, random.choice(lines))
    path = f"{folder}/{number}.mlir"
    open(path, "w").write("\n".join(lines))
    result = subprocess.run([monarchc, path, f"--emit={emit}", "-o", folder + "/out"],
                            capture_output=True, text=True, timeout=100)
    if result.returncode not in (0, 1):
        crashes += 1
        print(f"{path} ({level}): status {result.returncode}: "
              + result.stderr.split("\n")[0][:200])
print(f"{count} modules, {crashes} crashes")
sys.exit(crashes != 0)
