#!/usr/bin/env python3
"""Holds the instructions that CPU kernels take against what is recorded in cpu_counts.json.

usage: tests/cpu_counts/cpu_counts_test.py PROGRAM [--record]

PROGRAM is count_kernels, which callgrind runs: on a processor that valgrind makes up, with AVX2, so that every machine
counts the same. More than 2 % above what is recorded fails. --record writes what was found: a change that makes a kernel
slower for a reason records it in the same commit. Exit code 4 (skipped): there is no valgrind, or the program was built
by another compiler or with other versions of oneDNN or Highway than the recorded one.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

RECORD = pathlib.Path(__file__).resolve().with_name("cpu_counts.json")
TOLERANCE = 1.02
SKIPPED = 4


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def count(program):
    """Its versions, and {case: instructions}."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=callgrind", program]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"{program} ended with {result.returncode}:\n{result.stderr[-2000:]}")
        versions, *names = result.stdout.splitlines()
        totals = [int(re.search(r"^(?:totals|summary): (\d+)", (pathlib.Path(folder) / f"callgrind.{i}").read_text(),
                                re.MULTILINE)[1]) for i in range(1, len(names) + 1)]
    return versions, dict(zip(names, totals))


def compare(found, recorded):
    """A line for each case that fails, and one for each that could be recorded."""
    worse, better = [], []
    for name in sorted(found.keys() | recorded.keys()):
        now, then = found.get(name), recorded.get(name)
        if now is None or then is None:
            worse.append(f"{name}: recorded {then}, found {now}: run with --record")
        elif now > TOLERANCE * then:
            worse.append(f"{name}: {now:,} instructions, {now / then - 1:+.1%}; recorded {then:,}")
        elif TOLERANCE * now < then:
            better.append(f"{name}: {now:,} instructions, {now / then - 1:+.1%}; recorded {then:,}")
    return worse, better


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--record"]):
        sys.exit(__doc__)
    if shutil.which("valgrind") is None:
        skip("there is no valgrind")
    program = pathlib.Path(sys.argv[1]).resolve()
    versions, found = count(program)
    if sys.argv[2:]:
        RECORD.write_text(json.dumps({"built with": versions, "instructions": found}, indent=1) + "\n")
        print(f"recorded {len(found)} cases")
        return
    recorded = json.loads(RECORD.read_text())
    if versions != recorded["built with"]:
        skip(f"built with {versions}; recorded: {recorded['built with']}")
    worse, better = compare(found, recorded["instructions"])
    for line in better:
        print(f"better, and could be recorded: {line}")
    if worse:
        sys.exit("more than 2 % above what is recorded:\n" + "\n".join(worse))
    print(f"{len(found)} cases, none above what is recorded")


if __name__ == "__main__":
    main()
