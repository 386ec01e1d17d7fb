"""From a build's objects to machine code: their PTX, which ptxas compiles for any architecture, and nvdisasm's text of it.

The PTX is the same for every architecture: no kernel asks which one it is compiled for, and nvcc's output for sm_80 and
later differs in its .target line alone.
"""
import collections
import dataclasses
import json
import math
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile

from machine_code import limits, loops

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
_FATBIN = struct.pack("<I", 0xBA55ED50)
_PTX, _COMPRESSED = 1, 0xA000


@dataclasses.dataclass
class Image:
    """A kernel on an architecture. Shared memory is what it declares; a launch may add to it."""
    symbol: str
    architecture: str
    threads: int
    registers: int
    spill: int
    shared: int
    kernel: loops.Kernel

    def residency(self, threads, launched_shared):
        """(blocks of a multiprocessor, what limits them) of a launch."""
        return limits.residency(self.architecture, threads, self.registers, self.shared + launched_shared)


def find_tool(name):
    """A program of the CUDA toolkit, or None."""
    folders = ["/usr/local/cuda/bin", ROOT / "build/cuda-toolkit/bin", *(ROOT / "build/tools").glob("nvidia/*/bin")]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(map(str, folders)))


def ptx_of(file):
    """The PTX in an object file that was compiled with --compress-mode=none."""
    data = pathlib.Path(file).read_bytes()
    for match in re.finditer(re.escape(_FATBIN), data):
        header, size = struct.unpack_from("<HQ", data, match.start() + 6)
        at, end = match.start() + header, match.start() + header + size
        while at < end:
            kind, = struct.unpack_from("<H", data, at)
            entry, payload = struct.unpack_from("<IQ", data, at + 4)
            flags, = struct.unpack_from("<I", data, at + 40)
            if kind == _PTX and not flags & _COMPRESSED:
                return data[at + entry:at + entry + payload].rstrip(b"\0").decode()
            at += entry + payload
    raise ValueError(f"{file}: expected PTX that is not compressed, found none: build it with preset cuda-ptx")


def ptxas_version():
    return re.search(r"release ([\d.]+)", _run([find_tool("ptxas"), "--version"]))[1]


def entries(ptx):
    """{symbol: threads of a block at most} of the kernels in PTX."""
    found = {}
    for match in re.finditer(r"\.entry (\w+)\([^)]*\)([^{]*)\{", ptx):
        threads = re.search(r"\.maxntid (\d+)(?:, (\d+))?(?:, (\d+))?", match[2])
        found[match[1]] = int(threads[1]) * int(threads[2] or 1) * int(threads[3] or 1) if threads else 1024
    return found


def read_report(report):
    """{symbol: (registers, spilled bytes, shared bytes)} of what ptxas -v has said."""
    figures, symbol, spill = {}, None, 0
    for line in report.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            symbol, spill = match[1], 0
        elif match := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            spill = max(spill, int(match[1]) + int(match[2]))
        elif symbol and (match := re.search(r"Used (\d+) registers", line)):
            shared = re.search(r"(\d+) bytes smem", line)
            figures[symbol] = int(match[1]), spill, int(shared[1]) if shared else 0
            symbol = None
    return figures


def launches(profile):
    """{symbol: [(threads of a block, shared bytes that the launch asked for), ...]} in a profile of the emulator."""
    found = collections.defaultdict(set)
    for launch in json.loads(pathlib.Path(profile).read_text(encoding="utf-8")):
        found[launch["symbol"]].add((math.prod(launch["block"]), launch["dynamic_shared"]))
    return {symbol: sorted(of) for symbol, of in found.items()}


def compile_ptx(ptx, symbols, architecture):
    """The Images of some of its kernels."""
    threads = entries(ptx)
    with tempfile.TemporaryDirectory() as folder:
        source, cubin = pathlib.Path(folder) / "kernels.ptx", pathlib.Path(folder) / "kernels.cubin"
        source.write_text(ptx, encoding="utf-8")
        report = _run([find_tool("ptxas"), "-v", "-O3", f"-arch=sm_{architecture}", "--entry", ",".join(symbols), source, "-o", cubin])
        text = _run([find_tool("nvdisasm"), "-c", "-novliw", cubin])
    figures, kernels = read_report(report), loops.parse(text)
    return [Image(symbol, architecture, threads[symbol], *figures[symbol], kernels[symbol]) for symbol in symbols]


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}:\n{done.stderr}")
    return done.stdout + done.stderr


def demangle(symbols):
    """Names without parameters: gemm_kernel<TensorCoreProduct<bfloat16, 0, 0, true, false, 16384>, float>."""
    names = subprocess.run(["c++filt"], input="\n".join(symbols), check=True, capture_output=True, text=True).stdout
    return [short_name(name) for name in names.splitlines()]


def short_name(name):
    name = re.sub(r"cuclip::|\(anonymous namespace\)::|^void ", "", name)
    return re.sub(r"\(\w+\)(?=\d)", "", name).split("(")[0]  # casts among template arguments, then parameters
