#!/usr/bin/env python3
"""Runs bench/cuda_bench on the emulator at small sizes, where every contestant must be right, and reports it.

usage: cuda_bench_test.py EMULATE LIBRARY CUDA_BENCH REPORT WORK
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree

# What no emulator computes: cuDNN's kernels, and the epilogues that the stand-in for cuBLASLt has not got.
MAY_BE_SKIPPED = re.compile(r"/cudnn/|^linear_gelu(_gradient)?/.*/cublaslt/")
CONTESTANTS = {"cuclip", "cudnn", "cublaslt", "naive"}


def expect(condition, message):
    if not condition:
        sys.exit(f"cuda_bench_test: {message}")


def run_report(report, *arguments):
    return subprocess.run([report, *arguments], capture_output=True, text=True, check=False)


def check_run(run):
    """Everyone takes part, is right, and is measured, but for what cannot be."""
    results = run["benchmarks"]
    expect({result["name"].split("/")[3] for result in results} == CONTESTANTS, f"expected all of {CONTESTANTS} to take part")
    for result in results:
        message = result.get("error_message", "")
        if message:
            allowed = message.startswith("skipped: ") and MAY_BE_SKIPPED.search(result["name"])
            expect(allowed, f"{result['name']}: {message}")
        else:
            expect(0 <= result["deviation"] <= result["deviation_limit"], f"{result['name']}: deviates: {result}")
            expect(result["median_us"] > 0, f"{result['name']}: it has no time")
    for name in ("card", "driver", "cublaslt", "cudnn", "commit", "copy_bytes_per_second"):
        expect(run["context"].get(name), f"the context lacks {name}")
    expect(run["context"]["emulated"] == "yes", "the context does not say that there was no GPU")


def check_report(report, run, work):
    """Of this run: what was counted, and no times."""
    done = run_report(report, work / "run.json", "--profile", work / "profile.json")
    expect(done.returncode == 0, f"bench/report failed with {done.returncode}: {done.stderr}")
    text = done.stdout
    expect("Emulated: there was no GPU" in text and "median" not in text, "the report has times, though there was no GPU")
    for operation in {result["name"].split("/")[0] for result in run["benchmarks"]}:
        expect(re.search(rf"^## {operation}, ", text, re.MULTILINE), f"the report has no table of {operation}")
    expect("## Skipped" in text, "the report does not say who was skipped")
    ours = [line for line in text.splitlines() if "| cuclip " in line]
    expect(ours and all(re.search(r"\| +[0-9.]+ \|$", line) for line in ours), "cuclip's traffic was not counted everywhere")
    done = run_report(report, work / "run.json", "--svg", work / "roofline.svg")
    expect(done.returncode == 2 and "no roofline" in done.stderr, f"a roofline was drawn without a GPU: {done}")


def check_timed_report(report, run, work):
    """The same numbers as if they were a card's."""
    timed = {"context": run["context"] | {"emulated": "no"}, "benchmarks": run["benchmarks"]}
    (work / "timed.json").write_text(json.dumps(timed), encoding="utf-8")
    done = run_report(report, work / "timed.json", "--svg", work / "roofline.svg")
    expect(done.returncode == 0, f"bench/report failed with {done.returncode}: {done.stderr}")
    expect(re.search(r"\| naive .* [0-9.]+ x \|", done.stdout), "the report does not compare cuclip with the others")
    expect(re.search(r"^\| attention_forward +\| bf16 .* [0-9.]+ x \(3\) \|$", done.stdout, re.MULTILINE), "the overview lacks a line")
    root = xml.etree.ElementTree.parse(work / "roofline.svg").getroot()
    points = sum(element.tag.endswith("circle") for element in root)
    measured = sum("error_message" not in result for result in run["benchmarks"])
    expect(points == measured + len(CONTESTANTS), f"the roofline has {points} points for {measured} results")


def check_time_limit(emulated, work):
    """What would begin after it is skipped and says so."""
    out = work / "stopped.json"
    done = subprocess.run([*emulated, "--time_limit=0", f"--benchmark_out={out}"], capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"cuda_bench --time_limit=0 failed with {done.returncode}: {done.stderr}")
    said = {result["error_message"] for result in json.loads(out.read_text(encoding="utf-8"))["benchmarks"]}
    expect(said == {"skipped: the time limit of 0 s was over"}, f"after the time limit: {said}")
    done = subprocess.run([*emulated, "--time_limit=soon"], capture_output=True, text=True, check=False)
    expect(done.returncode == 2 and 'takes seconds, got "soon"' in done.stderr, f"a limit that is no number was taken: {done}")


def check_wrong_results(report, run, work):
    """A wrong result is an exit code and a section; what is no run is refused."""
    run["benchmarks"][0].update(error_occurred=True, error_message="failed: out is wrong")
    (work / "wrong.json").write_text(json.dumps(run), encoding="utf-8")
    done = run_report(report, work / "wrong.json")
    expect(done.returncode == 1 and "out is wrong" in done.stdout, f"a wrong result was not reported: {done}")
    (work / "none.json").write_text("{}", encoding="utf-8")
    done = run_report(report, work / "none.json")
    expect(done.returncode == 2 and "none.json: expected" in done.stderr, f"a file that is no run was taken: {done}")


def main():
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    emulate, library, program, report = sys.argv[1:5]
    work = pathlib.Path(sys.argv[5]) / "cuda_bench"
    work.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([emulate, "--library", library, "--check", "none", "--profile", work / "profile.json", program,
                           f"--benchmark_out={work / 'run.json'}"],
                          capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "2"})
    expect((work / "run.json").exists(), f"cuda_bench wrote nothing: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    run = json.loads((work / "run.json").read_text(encoding="utf-8"))
    check_run(run)
    expect(done.returncode == 0, f"cuda_bench failed with {done.returncode}: {done.stderr[-2000:]}")
    check_report(report, run, work)
    check_timed_report(report, run, work)
    check_time_limit([emulate, "--library", library, "--check", "none", program], work)
    check_wrong_results(report, run, work)
    print(f"{len(run['benchmarks'])} results")


if __name__ == "__main__":
    main()
