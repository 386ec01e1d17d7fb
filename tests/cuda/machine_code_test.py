#!/usr/bin/env python3
"""Holds the machine code of the kernels that decide a training step against what is recorded in machine_code.json.

usage: tests/cuda/machine_code_test.py BUILD [--record]

BUILD is a build of preset cuda-ptx. For sm_80 and sm_90 the figures that the record has of a kernel, of these: registers;
instructions of the main loop for each that multiplies (per_op), and those of them that load its operands (loads_per_op:
LDSM); trips to global memory of the whole kernel and of an iteration of its loop (trips, loop_trips:
scripts/machine_code/loads.py); warps. More than 2 % above what is recorded fails, and so does a spilled register. Of the
operations under "launched" cuda_counts runs on the emulator, and their kernels' launches must leave a multiprocessor as many
warps as are recorded, those of the launch that leaves fewest. --record writes what was found: a change that makes the code
worse for a reason records it in the same commit. Exit code 4 (skipped): there is no nvdisasm, or ptxas is of another release
than the recorded one.
"""
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RECORD = pathlib.Path(__file__).resolve().with_name("machine_code.json")
ARCHITECTURES = ["80", "90"]
TOLERANCE = 1.02
SKIPPED = 4

sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts"))
from machine_code import images, loads, loops  # noqa: E402


def figures_of(image):
    """All that are known of a kernel."""
    trips, figures = loads.count_trips(image.kernel), {"registers": image.registers}
    figures |= {"trips": trips.kernel, "loop_trips": trips.loop}
    if loop := loops.main_loop(image.kernel):
        classes, _ = loops.count_classes(loop)
        products = classes.get("tensor") or classes["FFMA"]
        figures["per_op"] = round(len(loop) / products, 3)
        figures["loads_per_op"] = round(classes.get("LDSM", 0) / products, 3)
    return figures


def launch(build, operations):
    """{symbol: launches} of the operations' kernels at sizes of CLIP models."""
    with tempfile.NamedTemporaryFile(suffix=".json") as profile:
        subprocess.run([ROOT / "tests/emulator/emulate", "--library", build / "tests/emulator/lib", "--check", "none",
                        "--profile", profile.name, build / "tests/bin/cuda_counts", *operations],
                       check=True, stdout=subprocess.DEVNULL)
        return images.launches(profile.name)


def measure(build, wanted, launches):
    """{kernel: {sm: figures}} of the kernels in `wanted`, {file: {kernel: {sm: names of figures}}}."""
    jobs = []
    for file, kernels in wanted.items():
        ptx = images.ptx_of(build / f"CMakeFiles/cuclip_kernels.dir/{file}.o")
        symbols = list(images.entries(ptx))
        named = dict(zip(images.demangle(symbols), symbols))
        if missing := set(kernels) - set(named):
            sys.exit(f"{file}: expected {', '.join(sorted(missing))}, found\n  " + "\n  ".join(sorted(named)))
        jobs += [(kernel, architecture, ptx, named[kernel], kernels[kernel][f"sm_{architecture}"])
                 for kernel in kernels for architecture in ARCHITECTURES]

    def one(job):
        kernel, architecture, ptx, symbol, names = job
        image = images.compile_ptx(ptx, [symbol], architecture)[0]
        if image.spill:
            sys.exit(f"{kernel} for sm_{architecture}: {image.spill} bytes of registers are spilled")
        figures = figures_of(image)
        if symbol in launches:
            figures["warps"] = min(image.residency(*each)[0] * -(-each[0] // 32) for each in launches[symbol])
        if missing := [name for name in names if figures.get(name) is None]:
            sys.exit(f"{kernel} for sm_{architecture}: {', '.join(missing)} cannot be told: the loop or a launch was not found")
        return {name: figures[name] for name in names}

    found = {}
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for (kernel, architecture, *_), figures in zip(jobs, pool.map(one, jobs)):
            found.setdefault(kernel, {})[f"sm_{architecture}"] = figures
    return found


def is_worse(name, value, before):
    return value < before if name == "warps" else value > before * TOLERANCE


def main():
    build, record = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:] == ["--record"]
    expected = json.loads(RECORD.read_text(encoding="utf-8"))
    if not images.find_tool("nvdisasm"):
        print("skipped: there is no nvdisasm: tests/tools/fetch_disassembler.sh")
        return SKIPPED
    if not record and images.ptxas_version() != expected["ptxas"]:
        print(f"skipped: recorded with ptxas {expected['ptxas']}, this is {images.ptxas_version()}")
        return SKIPPED
    found = measure(build, expected["files"], launch(build, expected["launched"]))
    worse = []
    for file, kernels in expected["files"].items():
        for kernel, recorded in kernels.items():
            for sm, figures in found[kernel].items():
                before = recorded[sm]
                for name, value in figures.items():
                    print(f"{kernel} {sm} {name}: {value} (recorded {before.get(name)})")
                    if is_worse(name, value, before.get(name, value)):
                        worse.append(f"{kernel} for {sm}: {name} is {value}, recorded is {before[name]}")
            kernels[kernel] = found[kernel]
    if record:
        RECORD.write_text(json.dumps(expected | {"ptxas": images.ptxas_version()}, indent=1) + "\n", encoding="utf-8")
        return 0
    for line in worse:
        print("WORSE:", line)
    if worse:
        print("If that is intended, record it in the same commit: tests/cuda/machine_code_test.py BUILD --record")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
