#!/usr/bin/env python3
"""cuclip train, started by mpirun: the same bits as one process, and how it ends where something goes wrong.

usage: training_test.py CUCLIP [TEST...]     (exit code 4: there is no mpirun, or no MPI in this build)
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

CUCLIP = ""
SKIPPED = 4
MPIRUN = ["mpirun", "--oversubscribe", "--bind-to", "none", "--mca", "btl", "self,vader", "--mca", "mpi_yield_when_idle", "1",
          "--mca", "btl_vader_single_copy_mechanism", "none"]
ENVIRONMENT = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
PAIRS = 32
LIMIT = 60  # seconds in which a run has ended everywhere


def settings(out, ranks, steps, *more):
    return ["train", "--model", "cuclip-tiny", "--train-data", "synthetic:shapes?size=32&count=100", "--leaves", "4",
            "--batch-size", str(PAIRS // ranks), "--max-steps", str(steps), "--epochs", "100", "--lr", "1e-3",
            "--hflip", ".5", "--save-frequency", "0", "--threads", "1", "--out", str(out), *more]


class Training(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)

    def start(self, *command):
        run = subprocess.Popen(command, cwd=self.path, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, start_new_session=True)
        self.addCleanup(lambda: run.poll() is not None or os.killpg(run.pid, signal.SIGKILL))
        return run

    def run_ranks(self, ranks, out, steps, *more, expect=0):
        command = MPIRUN + ["-n", str(ranks), CUCLIP] if ranks > 1 else [CUCLIP]
        run = self.start(*command, *settings(self.path / out, ranks, steps, *more))
        said, warned = run.communicate(timeout=120)
        self.assertEqual(run.returncode, expect, warned)
        return said, warned

    def weights(self, out, step):
        folder = self.path / out / "checkpoints" / f"step-{step}"
        return [(folder / name).read_bytes() for name in ("model.safetensors", "optimizer.safetensors")]

    def processes(self, run):
        """The ranks' processes, by rank, once a checkpoint has been written."""
        newest = self.path / "run/latest"
        end = time.monotonic() + LIMIT
        while not newest.exists():
            self.assertIsNone(run.poll(), "it ended before its first step")
            self.assertLess(time.monotonic(), end, "no checkpoint was written")
            time.sleep(.05)
        found = {}
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if os.getpgid(int(process.name)) and (process / "cmdline").read_bytes().startswith(os.fsencode(CUCLIP)):
                    variables = dict(v.split(b"=", 1) for v in (process / "environ").read_bytes().split(b"\0") if b"=" in v)
                    if b"OMPI_COMM_WORLD_RANK" in variables and str(self.path).encode() in (process / "cmdline").read_bytes():
                        found[int(variables[b"OMPI_COMM_WORLD_RANK"])] = int(process.name)
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return found

    def test_any_number_of_ranks_trains_the_same_weights_and_resumes_the_others_checkpoints(self):
        self.run_ranks(1, "one", 6)
        for ranks in (2, 4):
            said, warned = self.run_ranks(ranks, f"{ranks} ranks", 6)
            self.assertEqual(said.splitlines(), [str(self.path / f"{ranks} ranks")])
            self.assertEqual(warned.count(f"{ranks} ranks of 1 thread"), 1, warned)
            self.assertEqual(self.weights(f"{ranks} ranks", 6), self.weights("one", 6))
        self.run_ranks(4, "parts", 2)
        self.run_ranks(1, "parts", 4, "--resume", "latest")
        self.run_ranks(2, "parts", 6, "--resume", "latest")
        self.assertEqual(self.weights("parts", 6), self.weights("one", 6))

    def test_what_differs_among_ranks_or_does_not_divide_is_one_line(self):
        different = self.start(*MPIRUN, "-n", "1", CUCLIP, *settings(self.path / "run", 2, 2), ":", "-n", "1", CUCLIP,
                               *settings(self.path / "run", 2, 2, "--seed", "7"))
        warned = different.communicate(timeout=LIMIT)[1]
        self.assertNotEqual(different.returncode, 0)
        lines = [line for line in warned.splitlines() if line.startswith("cuclip: ")]
        self.assertEqual(lines, ["cuclip: the settings of all ranks must be the same: rank 1 has 'seed=7' where rank 0 has "
                                 "'seed=0'"], warned)
        warned = self.run_ranks(3, "run", 2, expect=2)[1]
        lines = [line for line in warned.splitlines() if line.startswith("cuclip: ")]
        self.assertEqual(len(lines), 1, warned)
        self.assertIn("--leaves 4: 3 ranks cannot have as many leaves each", lines[0])
        self.assertFalse((self.path / "run").exists())

    def long_run(self, ranks=2):
        return self.start(*MPIRUN, "-n", str(ranks), CUCLIP,
                          *settings(self.path / "run", ranks, 100000, "--save-every-steps", "1", "--log-every-n-steps", "1",
                                    "--delete-previous-checkpoint"))

    def test_a_signal_to_one_rank_stops_all_after_the_same_step_with_a_checkpoint(self):
        run = self.long_run()
        os.kill(self.processes(run)[1], signal.SIGTERM)
        warned = run.communicate(timeout=LIMIT)[1]
        self.assertNotEqual(run.returncode, 0)
        step = int(re.search(r"interrupted: step (\d+) is saved", warned).group(1))
        self.run_ranks(1, "run", step + 1, "--resume", "latest")
        self.run_ranks(1, "whole", step + 1)
        self.assertEqual(self.weights("run", step + 1), self.weights("whole", step + 1))

    def test_a_rank_that_is_killed_ends_the_run_and_the_last_checkpoint_loads(self):
        for lost in (0, 1):
            shutil.rmtree(self.path / "run", ignore_errors=True)
            run = self.long_run()
            os.kill(self.processes(run)[lost], signal.SIGKILL)
            run.communicate(timeout=LIMIT)
            self.assertNotEqual(run.returncode, 0)
            saved = int((self.path / "run/latest").read_text().strip().rsplit("-", 1)[1])
            self.run_ranks(1, "run", saved + 1, "--resume", "latest")


if __name__ == "__main__":
    CUCLIP = sys.argv.pop(1)
    if not shutil.which("mpirun"):
        print("skipped: there is no mpirun (scripts/install_packages.sh test)")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
