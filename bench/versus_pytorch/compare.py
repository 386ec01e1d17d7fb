#!/usr/bin/env python3
"""cuclip against PyTorch with open_clip, on this machine: the same model, batch, precision and threads.

  bench/versus_pytorch/compare.py --build build/cpu-tests                  all tasks, some 40 minutes on 2 cores
  bench/versus_pytorch/compare.py --build build/cpu-tests --tasks loss     one of them
  bench/versus_pytorch/compare.py --build build/cuda-tests --device cuda   on a GPU

Needs a Python that has torch, open_clip_torch for models, and openvino to be compared with that too (--python; without
it, this one). --install DIR makes one there with pip, some 3 GB, if it is not there yet. Every contestant is a process
of its own that has prepared its task
and waits; they run in turn, ROUNDS times, so that whatever else the machine does meets all of them. A contestant
that cannot be run is named with its reason, and nothing is said about it. The table gives cuclip's best and
median time, those of the fastest variant of PyTorch, and their ratio, PyTorch's time by cuclip's, round by round:
its median and its range. --out writes every time in Google Benchmark's JSON, for bench/report.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import venv

HERE = pathlib.Path(__file__).resolve().parent
EAGER, BF16_WEIGHTS = ("eager", "compiled"), ("eager-weights", "compiled-weights")
ATTENTION = ("eager-cudnn", "eager-flash", "eager-efficient")

# What is compared: task, then for each of its cases model or width, and batches.
CASES = {
    "train_step": [("cuclip-small", (128,)), ("ViT-B-32", (16,)), ("RN50", (8,))],
    "encode_images": [("ViT-B-32", (1, 16, 64)), ("RN50", (1, 8))],
    "encode_texts": [("ViT-B-32", (1, 16, 64))],
    "loss": [(256, (4096, 16384)), (512, (4096,))],
    "preprocess": [("ViT-B-32", (64,))],
    "tokenize": [("ViT-B-32", (10000,))],
}
WITHOUT_MODEL = ("preprocess", "tokenize")


class Contestant:
    """A process that runs rounds of one task when it is told to."""

    def __init__(self, name, command, environment):
        self.name, self.times, self.mib = name, [], None
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, stderr=self.errors, env=environment)

    def problem(self):
        """Waits until it is ready; why it never will be, or nothing."""
        for line in self.process.stdout:
            if line.strip() == "ready":
                return None
        self.process.wait()
        self.errors.seek(0)
        last = [line for line in self.errors.read().splitlines() if line.strip()][-1:]
        return last[0].strip() if last else f"it ended with {self.process.returncode} and said nothing"

    def round(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.times.append(float(self.process.stdout.readline()))

    def finish(self):
        rest, _ = self.process.communicate()
        self.mib = float(rest)


def variants(task, precision, device):
    names = list(EAGER)
    if task in WITHOUT_MODEL:
        return names[:1]
    if precision == "bf16" and task.startswith("encode"):
        names += BF16_WEIGHTS
    if device == "cpu" and task.startswith("encode"):
        names.append("openvino")
    if device == "cuda" and task in ("train_step", "encode_images", "encode_texts"):
        names += ATTENTION
    return names


def open_clip_config(cuclip, model, folder):
    """open_clip's configuration of a model that only cuclip has by name; the name of others."""
    if not model.startswith("cuclip-"):
        return model
    out = folder / f"converted-{model}"
    subprocess.run([cuclip, "convert", "--model", model, "--to", "open_clip", "--out", out], check=True,
                   capture_output=True)
    file = folder / f"{model}.json"
    file.write_text(json.dumps(json.loads((out / "open_clip_config.json").read_text())["model_cfg"]))
    return file


def write_pictures(python, folder, count):
    """Smooth pictures of the size of photographs, as JPEG files."""
    folder.mkdir()
    subprocess.run([python, "-c", """
import sys
import numpy as np
from PIL import Image
random = np.random.default_rng(1)
for i in range(int(sys.argv[2])):
    coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    coarse.resize((640, 480), Image.Resampling.BICUBIC).save(f"{sys.argv[1]}/{i:03}.jpg", quality=90)
""", folder, str(count)], check=True)
    return folder


def write_captions(file, count):
    things, places = ("a red bicycle", "two dogs", "an old clock", "people", "a bowl of fruit"), (
        "on the beach", "in front of a window", "at night", "beside the road, seen from above")
    file.write_text("".join(f"A photo of {things[i % 5]} {places[i // 5 % 4]}, number {i}\n" for i in range(count)))
    return file


class Comparison:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.results, self.skipped = [], []

    def contestants(self, task, subject, batch, precision):
        args = self.args
        common = [task, "--batch", batch, "--precision", precision, "--threads", args.threads, "--device", args.device]
        ours, theirs = list(common), list(common)
        if task == "loss":
            ours += ["--width", subject]
            theirs += ["--width", subject]
        else:
            ours += ["--model", subject]
            theirs += ["--model", open_clip_config(args.build / "bin/cuclip", subject, self.folder)]
        if task in WITHOUT_MODEL:
            given = self.folder / f"{task}-{batch}"
            if not given.exists():
                write_pictures(args.python, given, batch) if task == "preprocess" else write_captions(given, batch)
            ours += ["--input", given, "--tokenizer", args.merges]
            theirs += ["--input", given]
        environment = dict(os.environ, OMP_NUM_THREADS=str(args.threads))
        yield Contestant("cuclip", [args.build / "bench/versus_pytorch", *ours], environment)
        for variant in variants(task, precision, args.device):
            yield Contestant(f"pytorch-{variant}", [args.python, HERE / "pytorch.py", *theirs, "--variant", variant],
                             environment)

    def run(self, task, subject, batch, precision):
        name = f"{task}/{subject}/{batch}" + ("" if task in WITHOUT_MODEL else f"/{precision}")
        running = []
        for contestant in self.contestants(task, subject, batch, precision):
            problem = contestant.problem()
            if problem is None:
                running.append(contestant)
            else:
                self.skipped.append(f"{name}: {contestant.name}: {problem}")
        for _ in range(self.args.rounds):
            for contestant in running:
                contestant.round()
        for contestant in running:
            contestant.finish()
            self.results.append((name, contestant))
        print(row(name, running), flush=True)


def milliseconds(seconds):
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:,.0f}"


def best_and_median(times):
    return f"{milliseconds(min(times))} / {milliseconds(statistics.median(times))}"


def row(name, contestants):
    ours = [c for c in contestants if c.name == "cuclip"]
    theirs = sorted((c for c in contestants if c.name != "cuclip"), key=lambda c: statistics.median(c.times))
    cells = [name.replace("/", " ")]
    cells.append(f"{best_and_median(ours[0].times)} ({ours[0].mib:,.0f})" if ours else "not run")
    cells.append(f"{best_and_median(theirs[0].times)} ({theirs[0].mib:,.0f}), {theirs[0].name[8:]}" if theirs
                 else "not run")
    if ours and theirs:
        ratios = [b / a for a, b in zip(ours[0].times, theirs[0].times)]
        cells.append(f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})")
    else:
        cells.append("")
    return "| " + " | ".join(cells) + " |"


def processor():
    try:
        with open("/proc/cpuinfo") as info:
            return next(line.split(":")[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def versions(python):
    code = "import importlib.util, json, torch; print(json.dumps({'torch': torch.__version__, " \
           "'open_clip': __import__('open_clip').__version__ if importlib.util.find_spec('open_clip') else 'not installed', " \
           "'gpu': torch.cuda.get_device_name() if torch.cuda.is_available() else ''}))"
    result = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if result.returncode != 0:
        last = (result.stderr.strip() or "it said nothing").splitlines()[-1]
        sys.exit(f"compare.py: {python} cannot import torch ({last}); give another --python, or "
                 "--install DIR")
    return json.loads(result.stdout.splitlines()[-1])


def install(folder):
    python = folder / "bin/python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "torch", "torchvision", "open_clip_torch",
                    "openvino"], check=True)
    return python


def write_results(file, comparison, context):
    benchmarks = [{"name": f"{name}/{contestant.name}", "run_name": f"{name}/{contestant.name}",
                   "run_type": "iteration", "repetition_index": i, "repetitions": len(contestant.times),
                   "iterations": 1, "real_time": 1e3 * time, "cpu_time": 1e3 * time, "time_unit": "ms",
                   "grown_MiB": contestant.mib}
                  for name, contestant in comparison.results for i, time in enumerate(contestant.times)]
    text = json.dumps({"context": context, "benchmarks": benchmarks, "skipped": comparison.skipped}, indent=1)
    temporary = file.with_name(file.name + ".tmp")
    temporary.write_text(text + "\n")
    temporary.replace(file)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="a build folder with bin and bench")
    parser.add_argument("--python", type=pathlib.Path, default=pathlib.Path(sys.executable))
    parser.add_argument("--install", type=pathlib.Path, metavar="DIR", help="a virtual environment to make and use")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tasks", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--cases", nargs="+", metavar="CASE", help="of the tasks, such as ViT-B-32/16; without it, all")
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument("--merges", type=pathlib.Path, default=HERE.parent.parent / "build/test-data/"
                        "bpe_simple_vocab_16e6.txt.gz", help="CLIP's vocabulary, for tokenize")
    parser.add_argument("--out", type=pathlib.Path, help="a JSON file for every time")
    args = parser.parse_args()
    if args.rounds < 1 or args.threads < 1:
        parser.error("--rounds and --threads must be at least 1")
    known = {f"{subject}/{batch}" for task in args.tasks for subject, batches in CASES[task] for batch in batches}
    if unknown := set(args.cases or ()) - known:
        parser.error(f"--cases: there is no {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    for program in (args.build / "bench/versus_pytorch", args.build / "bin/cuclip"):
        if not program.exists():
            parser.error(f"{program} is not there: build the targets versus_pytorch and cuclip first")
    return args


def main():
    args = parse_arguments()
    if args.install:
        args.python = install(args.install)
    context = {"cpu": processor(), "threads": args.threads, "device": args.device, **versions(args.python)}
    print(", ".join(f"{key} {value}" for key, value in context.items() if value))
    print("\nMilliseconds: best / median (by how many MiB the process grew)\n")
    print("| task | cuclip | PyTorch's best variant | times as fast: median (range) |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(args, pathlib.Path(folder))
        for task in args.tasks:
            for subject, batches in CASES[task]:
                for batch in batches:
                    if args.cases and f"{subject}/{batch}" not in args.cases:
                        continue
                    for precision in args.precisions if task not in WITHOUT_MODEL else ["fp32"]:
                        comparison.run(task, subject, batch, precision)
                        if args.out:  # at once: the next may take too long for somebody
                            write_results(args.out, comparison, context)
    if comparison.skipped:
        print("\nNot run:")
    for line in comparison.skipped:
        print(f"- {line}")


if __name__ == "__main__":
    main()
