"""What the experiments of docs/experiments.md share: their arguments, runs of cuclip, and where results go."""
import argparse
import hashlib
import json
import pathlib
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Lab:
    """One experiment's run: where cuclip is, where results go, how much of everything there is to do."""

    def __init__(self, name, description, add_arguments=lambda parser: None):
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--trial", action="store_true",
                            help="a few steps of everything: shows that it runs, the figures mean nothing")
        parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind (default: %(default)s)")
        parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/cpu-tests",
                            help="the build with cuclip and the experiments' programs (default: build/cpu-tests)")
        parser.add_argument("--runs", type=pathlib.Path, default=ROOT / "runs/experiments",
                            help="folder for models and results (default: runs/experiments)")
        parser.add_argument("--threads", type=int, default=0, help="of each program; 0: all (default)")
        add_arguments(parser)
        self.arguments = arguments = parser.parse_args()
        self.name = name
        self.trial = arguments.trial
        self.seeds = list(range(1, (1 if self.trial else arguments.seeds) + 1))
        self.build = arguments.build
        self.runs = arguments.runs / "trial" if self.trial else arguments.runs
        self.threads = arguments.threads
        self.runs.mkdir(parents=True, exist_ok=True)
        self.program = hashlib.sha256((self.build / "bin/cuclip").read_bytes()).hexdigest()

    def choose(self, whole, trial):
        """What is to be done, or the little of it that a trial does."""
        return trial if self.trial else whole

    def call(self, program, *arguments):
        """Runs one of the build's programs; gives what it printed."""
        command = [str(self.build / program), *map(str, arguments)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
        return done.stdout

    def cuclip(self, *arguments):
        return self.call("bin/cuclip", *arguments, "--threads", self.threads)

    def ask(self, *arguments):
        """What a command of cuclip answers with --json."""
        return json.loads(self.cuclip(*arguments, "--json"))

    def train(self, name, config, **settings):
        """The folder of a run of `cuclip train` with these settings ("lr" is --lr), trained unless it is there."""
        recipe = {"config": config, **settings}
        return self.made(f"models/{name}", recipe, lambda out: self._train(out, config, settings))

    def _train(self, out, config, settings):
        model = out.with_name(out.name + ".json")
        model.write_text(json.dumps(config))
        flags = [text for key, value in settings.items() for text in ("--" + key.replace("_", "-"), str(value))]
        self.say(f"training {out.name}")
        self.cuclip("train", "--model", model, "--out", out, "--val-frequency", 0, "--save-frequency", 0, *flags)

    def made(self, name, recipe, make):
        """The folder runs/NAME that make(folder) fills, unless it is there and the same program made it by this recipe."""
        folder, note = self.runs / name, self.runs / f"{name}.recipe.json"
        text = json.dumps({**recipe, "cuclip": self.program}, indent=1, sort_keys=True, default=str)
        if not (folder.exists() and note.exists() and note.read_text() == text):
            note.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            make(folder)
            note.write_text(text)
        return folder

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    def save(self, results):
        """Writes the results, and says so."""
        path = self.runs / f"{self.name}.json"
        path.write_text(json.dumps({"trial": self.trial, "seeds": self.seeds, **results}, indent=1) + "\n")
        self.say(str(path))


class Spread:
    """Mean and standard deviation of what several seeds gave."""

    def __init__(self, values):
        self.values = list(values)
        self.mean = statistics.fmean(self.values)
        self.deviation = statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    def __str__(self):
        return f"{self.mean:.3f} ± {self.deviation:.3f}" if len(self.values) > 1 else f"{self.mean:.3f}"

    def json(self):
        return {"mean": self.mean, "deviation": self.deviation, "values": self.values}


def print_table(columns, rows):
    """A table in Markdown."""
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")


def lines_of(path):
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def state_of(run):
    """How the training stood at a run's newest checkpoint: "samples_seen", "model_flops", "train_seconds"."""
    return json.loads((step_folders(run)[-1][1] / "state.json").read_text())


def step_folders(run):
    """(step, folder) of a run's checkpoints, the first first."""
    return sorted((int(folder.name.split("-")[1]), folder) for folder in (run / "checkpoints").glob("step-*"))
