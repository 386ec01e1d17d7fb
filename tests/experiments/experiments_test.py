#!/usr/bin/env python3
"""Whether the experiments of docs/experiments.md run from end to end, and whether what they compute with is right.

usage: tests/experiments/experiments_test.py BUILD     (a build with cuclip and the experiments' programs; half a minute)
"""
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
EXPERIMENTS = ROOT / "train/experiments"
sys.path.insert(0, str(EXPERIMENTS))
import asking  # noqa: E402
import chart  # noqa: E402
import ppm  # noqa: E402
import shapes  # noqa: E402
from fit import PowerLaw, frontier  # noqa: E402
from lab import Spread  # noqa: E402

HELPERS = {"asking", "chart", "fit", "lab", "ppm", "shapes"}
BUILD = pathlib.Path()


class Fits(unittest.TestCase):
    def test_exact_law(self):
        law = PowerLaw([(x, 3 * x ** -0.25) for x in (1, 10, 50, 1000)])
        self.assertAlmostEqual(law.factor, 3, places=10)
        self.assertAlmostEqual(law.exponent, -0.25, places=10)
        self.assertLess(law.exponent_error, 1e-9)
        self.assertAlmostEqual(law.explained, 1, places=10)
        self.assertAlmostEqual(law.at(16), 1.5, places=10)

    def test_noisy_laws_are_as_far_off_as_their_error_says(self):
        draw = random.Random(1)
        places = [2 ** i for i in range(8) for _ in range(3)]
        laws = [PowerLaw([(x, 2 * x ** -0.4 * math.exp(draw.gauss(0, 0.1))) for x in places]) for _ in range(400)]
        misses = [(law.exponent + 0.4) / law.exponent_error for law in laws]
        # Student's t with 22 degrees of freedom: a mean of 0, a standard deviation of 1.049; the bounds are
        # four times what 400 draws of it are off by.
        self.assertLess(abs(Spread(misses).mean), 0.2)
        self.assertLess(abs(Spread(misses).deviation - 1.049), 0.16)

    def test_too_few_points(self):
        for points in ([(1, 2), (2, 3)], [(1, 2), (1, 3), (1, 4)]):
            with self.assertRaises(ValueError):
                PowerLaw(points)

    def test_frontier(self):
        self.assertEqual(frontier([(4, 0.5), (1, 0.9), (2, 0.95), (3, 0.4), (2, 0.8)]), [(1, 0.9), (2, 0.8), (3, 0.4)])

    def test_spread(self):
        self.assertEqual(str(Spread([0.1, 0.2, 0.3])), "0.200 ± 0.100")
        self.assertEqual(Spread([0.5]).json(), {"mean": 0.5, "deviation": 0.0, "values": [0.5]})


class Scenes(unittest.TestCase):
    def test_what_captions_say(self):
        pair = shapes.scene("p", ["an orange car to the left of a red fish", "a red fish to the right of an orange car"])
        self.assertEqual((pair["kind"], pair["first"], pair["relation"], pair["second"]),
                         ("pair", ("orange", "car"), "to the left of", ("red", "fish")))
        for caption, thing in (("three blue stars", "star"), ("five pink fish", "fish"), ("two red houses", "house")):
            counted = shapes.scene("c", [caption])
            self.assertEqual((counted["kind"], counted["number"], counted["object"]), ("count", caption.split()[0], thing))
        for word, size in (("small ", "small"), ("", "plain"), ("large ", "large")):
            single = shapes.scene("s", ["an orange cup", "a picture of " + asking.with_article(word + "orange cup")])
            self.assertEqual((single["kind"], single["colour"], single["object"], single["size"]),
                             ("single", "orange", "cup", size))


class Pictures(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        path = pathlib.Path(self.folder.name, "a.ppm")
        draw = random.Random(2)
        path.write_bytes(b"P6\n48 20\n255\n" + draw.randbytes(48 * 20 * 3))
        self.picture, self.path = ppm.Picture(path), path

    def test_write(self):
        before = self.path.read_bytes()
        self.picture.write(self.path)
        self.assertEqual(self.path.read_bytes(), before)

    def test_word(self):
        ppm.with_word(self.picture, "tee")
        strip = self.picture.pixels[11 * 48 * 3:]
        ink = sum(bin(byte).count("1") for letter in "tee" for byte in bytes.fromhex(ppm.LETTERS[letter]))
        self.assertEqual((strip.count(0), strip.count(255)), (3 * ink, 9 * 48 * 3 - 3 * ink))
        self.assertTrue(all(set(thing) <= set(ppm.LETTERS) and len(thing) * ppm.COLUMNS <= 48 for thing in shapes.OBJECTS))

    def test_twice_is_nothing(self):
        before = bytes(self.picture.pixels)
        for change in (ppm.upside_down, ppm.inverted):
            change(self.picture)
            self.assertNotEqual(self.picture.pixels, before)
            change(self.picture)
            self.assertEqual(self.picture.pixels, before)

    def test_without_colour(self):
        ppm.without_colour(self.picture)
        self.assertTrue(all(len(set(self.picture.pixels[i:i + 3])) == 1 for i in range(0, 48 * 20 * 3, 3)))

    def test_outlines(self):
        self.picture.pixels = bytearray(b"\x10" * (48 * 10 * 3) + b"\xf0" * (48 * 10 * 3))
        ppm.outlines(self.picture)
        rows = [bytes(self.picture.pixels[y * 144:y * 144 + 141]) for y in range(20)]
        self.assertEqual([y for y, row in enumerate(rows) if row == bytes(141)], [9])
        self.assertTrue(all(row == b"\xff" * 141 for y, row in enumerate(rows) if y != 9))


class Programs(unittest.TestCase):
    def run_words(self, objective, pairs):
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder, "model.json")
            model.write_text(json.dumps(shapes.transformer(32, 16, 1)))
            done = subprocess.run([BUILD / "experiments/word_bags", objective, model, shapes.spec(16, 64), str(pairs), "32",
                                   "3e-3", "1", "50", "2"], check=True, stdout=subprocess.PIPE, text=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_both_objectives_are_learned(self):
        for objective in ("predict", "contrast"):
            lines = self.run_words(objective, 6400)
            self.assertEqual(lines[-1]["pairs"], 6400)
            self.assertLess(lines[-1]["loss"], lines[0]["loss"] - 0.5, objective)
            self.assertEqual(self.run_words(objective, 6400), lines, "the same seed gives the same figures")


def things_in_folders(runs):
    """Some of a trial's pictures, as pictures of named things in two folders."""
    found = sorted(pathlib.Path(runs, "trial/pictures").glob("val-*/*.ppm"))[:20]
    for i, picture in enumerate(found):
        thing = pathlib.Path(runs, "things", ("animals", "toys")[i % 2], f"thing_{i}.ppm")
        thing.parent.mkdir(parents=True, exist_ok=True)
        thing.write_bytes(picture.read_bytes())
    return pathlib.Path(runs, "things")


class EveryExperiment(unittest.TestCase):
    def test_trial(self):
        scripts = sorted(path for path in EXPERIMENTS.glob("*.py") if path.stem not in HELPERS)
        self.assertEqual([path.stem for path in scripts],
                         ["classes", "encoders", "failures", "probe", "prompts", "quickstart", "scaling", "words"])
        with tempfile.TemporaryDirectory() as runs:
            for script in scripts:
                more = []
                if script.stem == "quickstart":  # with the model and the pictures that those before it have made
                    model = pathlib.Path(runs, "trial/models/shapes-seed-1")
                    more = ["--models", model, "--pictures", things_in_folders(runs)]
                done = subprocess.run([script, "--trial", "--build", BUILD, "--runs", runs, "--threads", "2", *more],
                                      check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                self.assertEqual(done.returncode, 0, f"{script.name}\n{done.stdout}")
                self.assertIn("|---|", done.stdout, script.name)
                self.assertTrue(json.loads(pathlib.Path(runs, "trial", f"{script.stem}.json").read_text())["trial"])
            drawings = sorted(pathlib.Path(runs, "trial").glob("*.svg"))
            self.assertGreaterEqual(len(drawings), 4)
            for drawing in drawings:
                xml.etree.ElementTree.parse(drawing)


class Charts(unittest.TestCase):
    def test_ticks(self):
        self.assertEqual(chart.Axis([0, 1], 0, 100, False).ticks(), [0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0])
        self.assertEqual(chart.Axis([3, 400], 0, 100, True).ticks(), [5, 10, 20, 50, 100, 200])


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
