#!/usr/bin/env python3
"""Whether the GPU archive does what it says, on a machine without a GPU: a small one is packed of this build's programs,
unpacked elsewhere and run there on the emulator, with nothing in the environment. What the server has besides (ncu,
compute-sanitizer) is played by scripts.

usage: rehearsal_test.py ROOT BUILD [TEST...]     (a build with the target gpu_archive)
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = BUILD = pathlib.Path()
GLIBC = re.compile(r"^(ld-linux-x86-64|lib(c|m|dl|rt|pthread|resolv))\.so")

# compute-sanitizer's arguments end with the program. It finds something wrong in one of them.
PLAYED_SANITIZER = """#!/bin/bash
while [[ $1 == --* ]]; do shift $([[ $1 == --tool || $1 == --error-exitcode ]] && echo 2 || echo 1); done
if [[ $1 == */layer_norm_test ]]; then echo "Invalid __global__ write"; exit 9; fi
exec "$@"
"""
# ncu "measures" what the emulator counted, but for one kernel's stores; the program is run too.
PLAYED_NCU = """#!/usr/bin/env python3
import csv, json, subprocess, sys
metrics = sys.argv[sys.argv.index("--metrics") + 1].split(",")
program = sys.argv.index(metrics_given := ",".join(metrics)) + 1
subprocess.run(sys.argv[program:], check=True, stdout=subprocess.DEVNULL)
out = csv.writer(sys.stdout, quoting=csv.QUOTE_ALL)
out.writerow(["ID", "Kernel Name", *metrics])
out.writerow(["", "", *("" for _ in metrics)])
for i, launch in enumerate(json.load(open("recorded/counts.json"))):
    known = {"l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum": launch["global_loads"]["sectors"],
             "l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum": launch["global_stores"]["sectors"] * (2 if i == 0 else 1),
             "l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum": launch["shared_extra_passes"],
             "sm__inst_executed.sum": launch["warp_instructions"]}
    out.writerow([i, launch["kernel"], *(known.get(metric, 0) for metric in metrics)])
"""


class Archive(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        packed = cls.path / "packed.tar"
        subprocess.run([ROOT / "scripts/gpu_bundle", "--rehearsal", BUILD, packed], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["tar", "-C", cls.path, "-xf", packed], check=True)
        packed.unlink()
        cls.archive = cls.path / "cuclip-gpu"

    def play(self, name, text):
        tools = self.path / "tools"
        tools.mkdir(exist_ok=True)
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
        return tools

    def call(self, name, *arguments, tools=None, **emulator):
        """gpu_check.sh in an environment that has nothing else; its exit code, summary and JSON files."""
        out = self.path / name
        environment = {"PATH": f"{tools}:/usr/bin:/bin" if tools else "/usr/bin:/bin", "OUT": str(out), "HOME": str(self.path),
                       "LD_LIBRARY_PATH": str(BUILD / "tests/emulator/lib"), "CUCLIP_TEST_REDUCED": "1",
                       "EMULATE_CHECK": "memory", "OMP_NUM_THREADS": "2"} | emulator
        done = subprocess.run([self.archive / "gpu_check.sh", *arguments], cwd="/", env=environment, text=True,
                              capture_output=True)
        summary = (out / "summary.txt").read_text()
        self.assertEqual(done.stdout, summary, done.stderr)
        self.assertLessEqual(len(summary.splitlines()), 40)
        return done.returncode, summary, {file.stem: json.loads(file.read_text()) for file in out.glob("*.json")}

    def test_every_library_is_in_the_archive_or_glibc(self):
        files = [file for file in self.archive.rglob("*") if file.is_file() and file.read_bytes()[:4] == b"\x7fELF"]
        self.assertGreater(len(files), 10)
        have = {file.name for file in files if file.parent.name == "lib"}
        for file in files:
            dynamic = subprocess.run(["readelf", "--dynamic", file], check=True, capture_output=True, text=True).stdout
            needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
            self.assertEqual([name for name in needed if name not in have and not GLIBC.match(name)], [], file)
            if file.parent.name != "lib":
                self.assertRegex(dynamic, r"\((RUNPATH|RPATH)\).*\[\$ORIGIN/\.\./lib", file)

    def test_check_passes(self):
        tools = self.play("compute-sanitizer", "#!/bin/bash\necho 'Device not supported'; exit 1\n")
        code, summary, results = self.call("check", "check", tools=tools)
        self.assertEqual(code, 0, summary)
        self.assertIn("A100", summary)
        self.assertRegex(summary, r"memcheck +skipped: .*compute-sanitizer does not work here: Device not supported")
        self.assertIn("nothing failed", summary)
        self.assertEqual(results["probe"]["gpu_problem"], "")
        self.assertEqual({test["name"]: test["result"] for test in results["tests"]},
                         {"adamw_test": "passed", "layer_norm_test": "passed"})
        training = {way["name"]: way for way in results["training"]["training"]}
        self.assertEqual(set(training), {"fp32", "tf32", "bf16", "cublaslt"})
        for way in training.values():
            self.assertEqual((way["result"], way["repeats"], way["replayed_as_directly"]), ("passed", True, True), way)
        self.assertGreater(training["tf32"]["from_the_cpu"], 1e-7)  # it was tf32
        self.assertEqual(results["memcheck"]["result"], "skipped")

    def test_what_is_wrong_is_said_and_is_the_exit_code(self):
        recorded = self.archive / "recorded/training.json"
        before = recorded.read_text()
        self.addCleanup(recorded.write_text, before)
        changed = json.loads(before) | {"steps": 1}  # one is enough
        changed["losses"] = {name: losses[:1] for name, losses in changed["losses"].items()}
        changed["losses"]["bf16"][0] *= 1.01
        recorded.write_text(json.dumps(changed))
        tools = self.play("compute-sanitizer", PLAYED_SANITIZER)
        code, summary, results = self.call("wrong", "check", "training", "memcheck", tools=tools)
        self.assertEqual(code, 1, summary)
        self.assertRegex(summary, r"training +bf16: FAILED: losses (9\.\de-03|1\.[01]e-02) from the CPU's")
        self.assertRegex(summary, r"memcheck .*1 passed, 1 failed \(layer_norm_test\)")
        self.assertRegex(summary, r"FAILED: 2 of \d+ verifications")
        self.assertIn("Invalid __global__ write", next(t["said"] for t in results["memcheck"] if t["name"] == "layer_norm_test"))

    def test_without_a_usable_gpu_everything_is_skipped_with_the_reason(self):
        for name, emulator, reason in (("none", {"EMULATE_DEVICES": "0"}, "this machine has no GPU"),
                                       ("old", {"EMULATE_DEVICE": "t4"}, "T4.* is sm_75, sm_80 or newer is needed")):
            code, summary, results = self.call(name, "check", **emulator)
            self.assertEqual(code, 4, summary)
            self.assertRegex(summary, f"tests +skipped: .*{reason}")
            self.assertIn("NOTHING WAS VERIFIED", summary)
            self.assertRegex(results["probe"]["gpu_problem"], reason)
            self.assertEqual({results[part]["result"] for part in ("tests", "training", "memcheck")}, {"skipped"})

    def test_measure_says_what_there_is_and_what_is_not(self):
        tools = self.play("ncu", PLAYED_NCU)
        code, summary, results = self.call("measure", "measure", "steps", "pytorch", "counters", tools=tools)
        self.assertEqual(code, 0, summary)
        self.assertRegex(summary, r"steps +cuclip-tiny, 2 pairs: f32 +median")
        self.assertRegex(summary, r"pytorch +skipped: python3 has no PyTorch")
        self.assertRegex(summary, r"store sectors: the emulator is right within 2% in \d+ of \d+ launches; not in \w+")
        self.assertRegex(summary, r"(?m)^counters +load sectors: the emulator is right within 2% in (\d+) of \1 launches$")
        self.assertEqual(results["steps"][0]["exit_code"], 0)

    def test_train_ends_in_time_and_says_what_was_learned(self):
        code, summary, results = self.call("train", "train")
        self.assertEqual(code, 0, summary)
        self.assertIn("zero-shot", summary)
        self.assertGreater(results["shapes"]["last"]["loss"], 0)

    def test_wrong_arguments_are_refused(self):
        for arguments in ((), ("chekc",), ("check", "kernels")):
            done = subprocess.run([self.archive / "gpu_check.sh", *arguments], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertIn("see --help", done.stderr)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    ROOT, BUILD = (pathlib.Path(sys.argv.pop(1)).resolve() for _ in range(2))
    unittest.main()
