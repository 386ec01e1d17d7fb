#!/usr/bin/env python3
"""What ncu counted on a GPU beside what the emulator counted of the same launches.

usage: compare_counts.py NCU.csv COUNTS.json [--json OUT.json]     a Markdown table
       compare_counts.py --metrics                                 what ncu is to count (ncu --csv --page raw --metrics ...)

Both run the program cuda_counts with the same arguments. Sectors are those that global loads and stores ask the L1 cache
for, bank conflicts the extra passes over shared memory: there the emulator claims to count what a GPU does. Instructions
are the GPU's own machine code's, the emulator's PTX': their ratio says how much ptxas made of it. Exit code 2: the files
cannot be compared.
"""
import argparse
import csv
import json
import re
import sys

# A GPU's counters that the emulator counts too, and from what; several are added.
COUNTED = {
    "load sectors": (("l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum", "l1tex__t_sectors_pipe_lsu_mem_global_op_ldgsts.sum"),
                     lambda launch: launch["global_loads"]["sectors"]),
    "store sectors": (("l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum",), lambda launch: launch["global_stores"]["sectors"]),
    "bank conflicts": (("l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum",), lambda launch: launch["shared_extra_passes"]),
    "instructions": (("sm__inst_executed.sum",), lambda launch: launch["warp_instructions"]),
}
# What only a GPU knows.
MEASURED = {
    "us": ("gpu__time_duration.sum", 1e-3),
    "tensor active %": ("sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active", 1),
    "issue active %": ("sm__issue_active.avg.pct_of_peak_sustained_active", 1),
    "L2 MB": ("lts__t_bytes.sum", 1e-6),
    "DRAM MB": ("dram__bytes.sum", 1e-6),
    "occupancy %": ("sm__warps_active.avg.pct_of_peak_sustained_active", 1),
}
METRICS = [metric for metrics, _ in COUNTED.values() for metric in metrics] + [metric for metric, _ in MEASURED.values()]
CLAIMED = ("load sectors", "store sectors", "bank conflicts")
AGREES = 0.02
UNITS = {"Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9, "usecond": 1e3, "us": 1e3, "msecond": 1e6, "ms": 1e6, "second": 1e9, "s": 1e9}


class Unusable(Exception):
    """Why the files cannot be compared."""


def read_ncu(path):
    """A dictionary of metrics, in bytes and nanoseconds, for each launch."""
    with open(path, encoding="utf-8") as file:
        lines = [line for line in file if line.startswith('"')]  # what the program printed stands before and between
    rows = list(csv.reader(lines))
    if len(rows) < 3 or "Kernel Name" not in rows[0]:
        raise Unusable(f"{path}: expected the table of ncu --csv --page raw, found {len(rows)} lines of it")
    head, units, launches = rows[0], rows[1], rows[2:]
    lacking = [metric for metric in METRICS if metric not in head]
    if lacking:
        raise Unusable(f"{path}: ncu counted no {', '.join(lacking)}")
    places = {metric: head.index(metric) for metric in METRICS}
    name = head.index("Kernel Name")
    return [{"kernel": row[name]} | {metric: float(row[i].replace(",", "") or "nan") * UNITS.get(units[i], 1)
                                     for metric, i in places.items()} for row in launches]


def short(kernel):
    """The name alone, without namespaces, template arguments and parameters."""
    return re.split(r"[<(]", re.sub(r"\(anonymous namespace\)::|<unnamed>::", "", kernel))[0].split("::")[-1].split(" ")[-1]


def compare(measured, counted):
    """One line for each launch; ratios are the GPU's count by the emulator's."""
    if [short(m["kernel"]) for m in measured] != [short(c["kernel"]) for c in counted]:
        raise Unusable(f"ncu saw {len(measured)} launches, the emulator {len(counted)}, and not of the same kernels in the same "
                       "order: the two ran different programs or arguments")
    for m, c in zip(measured, counted):
        line = {"kernel": short(m["kernel"])}
        for name, (metrics, emulated) in COUNTED.items():
            line[name] = {"gpu": sum(m[metric] for metric in metrics), "emulator": emulated(c)}
        for name, (metric, factor) in MEASURED.items():
            line[name] = m[metric] * factor
        line["wrong"] = [name for name in CLAIMED if not agrees(line[name])]
        yield line


def agrees(pair):
    return abs(pair["gpu"] - pair["emulator"]) <= AGREES * max(pair["gpu"], pair["emulator"])


def table(lines):
    yield "| kernel | " + " | ".join([f"{name}: GPU / emulator" for name in COUNTED] + list(MEASURED)) + " |"
    yield "|---" * (1 + len(COUNTED) + len(MEASURED)) + "|"
    for line in lines:
        counts = [f"{line[name]['gpu']:.0f} / {line[name]['emulator']}" for name in COUNTED]
        yield "| " + " | ".join([line["kernel"], *counts, *(f"{line[name]:.3g}" for name in MEASURED)]) + " |"
    yield ""
    for name in CLAIMED:
        wrong = sorted({line["kernel"] for line in lines if name in line["wrong"]})
        yield f"{name}: the emulator is right within {AGREES:.0%} in {sum(name not in line['wrong'] for line in lines)} of " \
              f"{len(lines)} launches" + (f"; not in {', '.join(wrong)}" if wrong else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ncu", nargs="?", metavar="NCU.csv")
    parser.add_argument("counts", nargs="?", metavar="COUNTS.json")
    parser.add_argument("--json", metavar="OUT.json")
    parser.add_argument("--metrics", action="store_true")
    arguments = parser.parse_args()
    if arguments.metrics:
        print(",".join(METRICS))
        return 0
    if not arguments.counts:
        parser.error("expected NCU.csv and COUNTS.json")
    try:
        with open(arguments.counts, encoding="utf-8") as file:
            lines = list(compare(read_ncu(arguments.ncu), json.load(file)))
    except (Unusable, OSError, ValueError, KeyError) as error:
        print(f"compare_counts.py: {error}", file=sys.stderr)
        return 2
    print("\n".join(table(lines)))
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(lines, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
