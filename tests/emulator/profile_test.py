#!/usr/bin/env python3
"""Runs programs/counts.cu with a profile and compares its counts with sums made by hand.

usage: profile_test.py EMULATE LIBRARY PROGRAM ROOFLINE
"""
import json
import subprocess
import sys
import tempfile

emulate, library, program, roofline = sys.argv[1:5]
with tempfile.NamedTemporaryFile(suffix=".json") as file:
    subprocess.run([emulate, "--library", library, "--threads", "2", "--profile", file.name, program], check=True)
    launches = json.load(open(file.name, encoding="utf-8"))
    table = subprocess.run([roofline, file.name], check=True, capture_output=True, text=True).stdout
    # ptxas' words, with numbers of ours: 72 registers are 2304 a warp; 64 threads in blocks with 1 KiB of
    # overhead.
    symbol = next(launch["symbol"] for launch in launches if launch["kernel"].split("(")[0] == "strided")
    log = f"""ptxas info    : Compiling entry function '{symbol}' for 'sm_80'
ptxas info    : Function properties for {symbol}
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 72 registers, 368 bytes cmem[0]
"""
    dump = f"Function {symbol}:\n  REG:72 STACK:16 SHARED:0 LOCAL:0 CONSTANT[0]:368\n"
    said = []
    for text in (log, dump):
        with tempfile.NamedTemporaryFile("w", suffix=".log") as words:
            words.write(text)
            words.flush()
            lines = subprocess.run([roofline, file.name, words.name], check=True, capture_output=True, text=True).stdout
            said.append(next(line for line in lines.splitlines() if line.startswith("strided")).split()[-4:])
found = {launch["kernel"].split("(")[0].removeprefix("void "): launch for launch in launches}
failures = 0


def expect(kernel, what, got, wanted):
    global failures
    if got != wanted:
        failures += 1
        print(f"{kernel}: {what} is {got}, expected {wanted}")


def traffic(kernel, direction, requests, bytes_, sectors, distinct, widths):
    counts = found[kernel]["global_" + direction]
    for key, wanted in (("requests", requests), ("bytes", bytes_), ("sectors", sectors), ("distinct_bytes", distinct), ("widths", widths)):
        expect(kernel, direction + " " + key, counts[key], wanted)


# 1024 threads, 4 bytes each: 32 warps, 4 sectors a warp.
traffic("coalesced", "loads", 32, 4096, 128, 4096, {"4": 1024})
traffic("coalesced", "stores", 32, 4096, 128, 4096, {"4": 1024})
# The program has named the first allocation.
named = found["coalesced"]["allocations"]
expect("coalesced", "loads of input", named["input"]["loads"]["bytes"], 4096)
expect("coalesced", "stores of the second", named["allocation 1"]["stores"]["bytes"], 4096)
# 16 bytes a thread: 512 bytes, 16 sectors a warp.
traffic("vector", "loads", 32, 16384, 512, 16384, {"16": 1024})
# Every eighth float: a sector for each thread.
traffic("strided", "loads", 2, 256, 64, 256, {"4": 64})
traffic("strided", "stores", 2, 256, 8, 256, {"4": 64})
# One float off the sectors' start: five sectors a warp instead of four.
traffic("shifted", "loads", 2, 256, 10, 256, {"4": 64})
# Columns of 32 words lie in one bank: 32 passes for each of 32 warps' loads, one for each store.
expect("transpose<0>", "passes", found["transpose<0>"]["shared_passes"], 32 + 32 * 32)
expect("transpose<0>", "extra passes", found["transpose<0>"]["shared_extra_passes"], 32 * 31)
expect("transpose<1>", "extra passes", found["transpose<1>"]["shared_extra_passes"], 0)
expect("transpose<1>", "accesses", found["transpose<1>"]["shared_accesses"], 64)
expect("transpose<1>", "barriers", found["transpose<1>"]["barriers"], 32)
expect("diverge", "atomics", found["diverge"]["atomics"], 32)
expect("diverge", "divergent branches", found["diverge"]["divergent_branches"], 2)
# 4 warps, 10 products of 16 x 8 x 16.
expect("tensor", "FLOP", found["tensor"]["tensor_flop"], 4 * 10 * 2 * 16 * 8 * 16)
expect("tensor", "lanes", found["tensor"]["average_active_lanes"], 32.0)
expect("roofline", "heading", table.splitlines()[0], "bounds computed from counts, not measurements")
shape = found["strided"]["block"]
warps = (shape[0] * shape[1] * shape[2] + 31) // 32
occupied = f"{65536 // 2304 // warps * warps / 64:.0%}"
expect("roofline", "ptxas", said[0], ["72", "20", occupied, occupied])
expect("roofline", "cuobjdump", said[1], ["72", "-", occupied, occupied])
expect("roofline", "rows", len(table.splitlines()), 2 + len(found))
print("passed" if failures == 0 else f"FAILED: {failures}")
sys.exit(failures != 0)
