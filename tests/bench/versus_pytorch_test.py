#!/usr/bin/env python3
"""Whether bench/versus_pytorch does what it says: each of cuclip's tasks, and the comparison with a PyTorch that is
played by a script.

usage: tests/bench/versus_pytorch_test.py BUILD     (a build with cuclip and versus_pytorch)
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path()

# Takes the place of the Python that has torch: names versions, and runs rounds of a second each; nothing can
# be compiled by it.
PLAYED = """#!/usr/bin/env python3
import sys
if sys.argv[1] == "-c":
    print('{"torch": "0.0", "open_clip": "0.0", "gpu": ""}')
elif sys.argv[-1] == "compiled":
    sys.exit("there is no compiler")
else:
    print("ready", flush=True)
    for line in sys.stdin:
        print(1.0, flush=True)
    print(123.0)
"""


class Tasks(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)
        self.captions = self.path / "captions.txt"
        self.captions.write_text("a red fox\na blue fox in a box\n" * 50)
        self.merges = self.path / "merges.txt"
        subprocess.run([BUILD / "bin/cuclip", "tokenizer", "train", "--captions", self.captions, "--vocab-size", "520",
                        "--out", self.merges], check=True, capture_output=True)

    def rounds(self, *arguments):
        result = subprocess.run([BUILD / "bench/versus_pytorch", *arguments], input="\n\n", capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        ready, first, second, grown = result.stdout.split()
        self.assertEqual(ready, "ready")
        self.assertGreater(float(first), 0)
        self.assertGreater(float(second), 0)
        self.assertGreaterEqual(float(grown), 0)

    def test_every_task_runs(self):
        pictures = self.path / "pictures"
        pictures.mkdir()
        (pictures / "a.ppm").write_bytes(b"P6 40 30 255\n" + bytes(range(90)) * 40)
        model = ["--model", "cuclip-tiny", "--batch", "3", "--threads", "2"]
        for precision in ("fp32", "bf16"):
            for task in ("train_step", "encode_images", "encode_texts"):
                self.rounds(task, *model, "--precision", precision)
            self.rounds("loss", "--batch", "40", "--width", "16", "--precision", precision)
        self.rounds("preprocess", *model, "--input", str(pictures))
        self.rounds("tokenize", *model, "--input", str(self.captions), "--tokenizer", str(self.merges))

    def test_failures_are_one_line(self):
        result = subprocess.run([BUILD / "bench/versus_pytorch", "tokenize", "--input", "nowhere", "--tokenizer",
                                 self.merges], capture_output=True, text=True)
        self.assertEqual(result.returncode, 1)
        self.assertIn("nowhere", result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1)

    def test_the_comparison_has_times_ratios_and_reasons(self):
        played = self.path / "python"
        played.write_text(PLAYED)
        played.chmod(0o755)
        out = self.path / "times.json"
        command = [ROOT / "bench/versus_pytorch/compare.py", "--build", BUILD, "--python", played, "--tasks", "loss",
                   "--cases", "256/4096", "--precisions", "fp32", "--rounds", "3", "--out", out]
        result = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        row = next(line for line in result.stdout.splitlines() if line.startswith("| loss"))
        self.assertIn("1,000 / 1,000 (123), eager |", row)
        self.assertIn("- loss/256/4096/fp32: pytorch-compiled: there is no compiler", result.stdout)
        benchmarks = json.loads(out.read_text())["benchmarks"]
        ours = [b["real_time"] for b in benchmarks if b["name"] == "loss/256/4096/fp32/cuclip"]
        self.assertEqual(len(ours), 3)
        ratio = sorted(1000 / time for time in ours)[1]
        self.assertIn(f"**{ratio:.2f}**", row)
        self.assertEqual([b["real_time"] for b in benchmarks if b["name"].endswith("eager")], [1000.0] * 3)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    BUILD = pathlib.Path(sys.argv.pop()).resolve()
    unittest.main()
