#!/usr/bin/env python3
"""What libcuclip.so shows to programs, its SONAME and exported symbols, against exported_symbols.txt.

usage: tests/api/exported_symbols_test.py LIBRARY [--record]

Whoever changes the interface on purpose records it anew. A symbol that is gone, or an internal one that shows,
is a change of the binary interface that nobody decided on. Needs nm and readelf.
"""
import pathlib
import re
import subprocess
import sys

RECORD = pathlib.Path(__file__).with_name("exported_symbols.txt")


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def interface(library):
    """Lines: the SONAME, then the names as C and C++ have them. A constructor may be several symbols of one name;
    the version itself, a symbol too, is left out."""
    soname = re.search(r"SONAME.*\[(.*)\]", output_of("readelf", "-dW", library))
    symbols = set()
    for line in output_of("nm", "-DC", "--defined-only", library).splitlines():
        kind, name = line.split(maxsplit=2)[1:]
        if kind != "A":
            symbols.add(re.sub(r"@@?CUCLIP_[0-9.]+$", "", name))
    return [f"SONAME {soname[1] if soname else 'none'}"] + sorted(symbols)


def main():
    found = interface(sys.argv[1])
    if sys.argv[2:] == ["--record"]:
        RECORD.write_text("\n".join(found) + "\n", encoding="utf-8")
    recorded = RECORD.read_text(encoding="utf-8").splitlines()
    for name in sorted(set(recorded) - set(found)):
        print(f"gone: {name}")
    for name in sorted(set(found) - set(recorded)):
        print(f"new: {name}")
    return 0 if found == recorded else 1


if __name__ == "__main__":
    sys.exit(main())
