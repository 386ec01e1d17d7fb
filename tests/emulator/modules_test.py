#!/usr/bin/env python3
"""Runs programs/modules.txt: what ptxas accepts runs and leaves the right bytes, what it refuses is refused.

modules_test.py EMULATE LIBRARIES PROGRAM SOURCE PTXAS [emulate's options]; PTXAS need not be there.
"""
import os
import re
import subprocess
import sys
import tempfile

HEAD = ".version 8.0\n.target sm_80\n.address_size 64\n"
KERNEL = (".visible .entry k(.param .u64 in, .param .u64 out) {{ .reg .u64 o, t, q, r; .reg .u32 x, y, z, l; .reg .b16 h;"
          " .reg .pred p, s; ld.param.u64 o, [out]; mov.u32 l, %laneid;\n{body}\nret; }}\n")


def parse(text):
    """(name, threads, wanted bytes or None, wanted refusal or None, PTX) of each module."""
    text = re.sub(r"^#.*\n", "", text, flags=re.M)
    for name, rest in re.findall(r"^=== (\w+) (.*?)(?=^=== |\Z)", text, flags=re.M | re.S):
        line, _, module = rest.partition("\n")
        above, _, body = module.partition("---\n")
        ptx = HEAD + above + KERNEL.format(body=body)
        threads = re.match(r"block (\d+) ", line)
        line = line[threads.end():] if threads else line
        kind, _, value = line.partition(" ")
        if kind not in ("out", "refused"):
            sys.exit(f"{name}: 'out' or 'refused' expected, found '{kind}'")
        hexadecimal = None
        if kind == "out":
            hexadecimal = "".join(byte * int(times or 1) for byte, times in re.findall(r"([0-9a-f.]+)(?:\*(\d+))?", value))
        yield name, int(threads[1]) if threads else 1, hexadecimal, value if kind == "refused" else None, ptx


def check_ptxas(ptxas, path, refused):
    run = subprocess.run([ptxas, "-arch=sm_80", path, "-o", "/dev/null"], capture_output=True, text=True, timeout=60)
    said = (run.stdout + run.stderr).strip()
    if (run.returncode != 0) != bool(refused):
        return f"ptxas {'accepts' if run.returncode == 0 else 'refuses'} it: {said}"
    return None


def main():
    emulate, libraries, program, source, ptxas, *options = sys.argv[1:]
    modules = list(parse(open(source, encoding="utf-8").read()))
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        arguments = []
        for name, threads, wanted, refused, ptx in modules:
            path = os.path.join(folder, name + ".ptx")
            with open(path, "w", encoding="utf-8") as file:
                file.write(ptx)
            arguments += [path, str(threads), str(len(wanted) // 2 if wanted else 8)]
            fault = check_ptxas(ptxas, path, refused) if os.path.exists(ptxas) else None
            if fault:
                faults.append(f"{name}: {fault}")
        run = subprocess.run([emulate, "--library", libraries, *options, program, *arguments], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, timeout=120)
    # What is said of a module comes before its result.
    results = re.findall(r"((?:^(?!== ).*\n)*)^== (.*)\n", run.stdout, flags=re.M)
    if len(results) != len(modules):
        faults.append(f"{len(results)} results of {len(modules)} modules, exit code {run.returncode}:\n{run.stdout[-2000:]}")
    for (name, _, wanted, refused, _), (said, result) in zip(modules, results):
        if wanted and (not re.fullmatch(wanted, result) or said):
            faults.append(f"{name}: found {result}, expected {wanted}\n{said}")
        if refused and (result != "cudaErrorInvalidPtx" or refused not in said):
            faults.append(f"{name}: found {result}, expected to be refused with '{refused}'\n{said}")
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(modules)} modules")


main()
