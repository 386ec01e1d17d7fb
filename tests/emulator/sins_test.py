#!/usr/bin/env python3
"""Commits one sin of programs/sins.cu, and does the same work rightly, in the given and in a random order.

sins_test.py EMULATE LIBRARIES PROGRAM SOURCE NAME: the wrong way must give the report that the source announces
("// sin: NAME: pattern"), at a line that ends in "at: NAME" where there is one; the right way must be silent.
"""
import re
import subprocess
import sys

emulate, libraries, program, source, name = sys.argv[1:]
lines = open(source, encoding="utf-8").read().splitlines()
pattern = next(line.split(f"// sin: {name}: ")[1] for line in lines if line.startswith(f"// sin: {name}: "))
marks = [n for n, line in enumerate(lines, 1) if name in line.partition("// at: ")[2].split()]

for options in (["--threads", "2"], ["--schedule", "random:1", "--threads", "1"]):
    command = [emulate, "--library", libraries, "--check", "full", "--error-exitcode", "9", *options, program, name]
    wrong = subprocess.run([*command, "wrong"], capture_output=True, text=True, timeout=60)
    reports = [line for line in wrong.stderr.splitlines() if re.search(pattern, line)]
    if not reports:
        sys.exit(f"{options}: no report matches '{pattern}':\n{wrong.stdout}{wrong.stderr}")
    places = [int(n) for line in reports for n in re.findall(r"sins\.cu:(\d+)", line)]
    if marks and not set(places) & set(marks):
        sys.exit(f"{options}: reported at lines {places}, expected one of {marks}:\n{wrong.stderr}")
    if wrong.returncode != 9:
        sys.exit(f"{options}: exit code {wrong.returncode} in spite of a report, expected 9:\n{wrong.stderr}")
    right = subprocess.run([*command, "right"], capture_output=True, text=True, timeout=60)
    if right.returncode != 0 or "emulate: " in right.stderr:
        sys.exit(f"{options}: the right way fails or is reported ({right.returncode}):\n{right.stdout}{right.stderr}")
