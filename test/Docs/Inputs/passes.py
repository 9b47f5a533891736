"""passes.py ROOT: what Passes.td has to say of each pass, and its test."""
import os
import re
import sys

root = sys.argv[1]
text = open(root + "/include/monarch/Passes/Passes.td").read()
passes = re.findall(r'^def \w+ : Pass<"([^"]+)".*?^}', text, re.M | re.S)
bodies = re.findall(r'^def \w+ : Pass<.*?^}', text, re.M | re.S)
assert len(passes) == len(bodies) >= 9, passes
bad = 0
for flag, body in zip(passes, bodies):
    for want in ("let summary", "let description", "Before:", "After:"):
        if want not in body:
            print(f"{flag}: no '{want}'")
            bad += 1
    prose = body.split("let description = [{")[-1].split("Before:")[0]
    if len(prose.split()) < 15:
        print(f"{flag}: {len(prose.split())} words of prose")
        bad += 1
    if not os.path.exists(f"{root}/test/Passes/{flag}.mlir"):
        print(f"{flag}: no test/Passes/{flag}.mlir")
        bad += 1

if passes != sorted(passes):
    print("not alphabetical:", passes)
    bad += 1
sys.exit(bad != 0)
