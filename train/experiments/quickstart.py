#!/usr/bin/env python3
"""What the quickstart's models make of words: prompts, sets of classes, "not", corruptions, and a probe beside them.

The pictures are those of qabcs: things in five folders, each with its name. Most of them were trained on, with a
caption that has the name. Models of other seeds: cuclip train --config train/quickstart.toml --seed N ...
"""
import pathlib
import random

import asking
import chart
from asking import with_article
from lab import ROOT, Lab, Spread, print_table

PICTURES = "runs/pictures/usr/share/qabcs/abcs/all/pics"
PROMPTS = {"bare: cat": ["{}"], "a cat": ["a {}"], "a drawing of a cat": ["a drawing of a {}"],
           "mean of these 3": ["{}", "a {}", "a drawing of a {}"], "CLIP's: a photo of a cat.": ["a photo of a {}."],
           "OpenAI's 7": "openai7"}
CORRUPTIONS = [f"{kind}:{severity}" for kind in ("noise", "blur", "contrast", "jpeg", "pixelate") for severity in (1, 3)]
SHOTS = [1, 2, 4, 8, 16]


def add_arguments(parser):
    parser.add_argument("--models", nargs="+", type=pathlib.Path, default=[ROOT / "runs/quickstart/model"],
                        help="runs of cuclip train (default: runs/quickstart/model)")
    parser.add_argument("--pictures", type=pathlib.Path, default=ROOT / PICTURES,
                        help=f"a folder of pictures for each class (default: {PICTURES})")


class Things:
    """The pictures, and what each shows."""

    def __init__(self, lab):
        self.folder = lab.arguments.pictures
        self.files = sorted(path for path in self.folder.glob("*/*") if path.suffix in (".png", ".ppm"))
        self.names = {file: file.stem.replace("_", " ") for file in self.files}
        self.table = asking.write_labels(lab.runs / "quickstart-names.csv", self.folder, self.names.items())

    def top1(self, lab, model, templates, *more):
        return asking.top1(lab, model, self.table, {name: name for name in self.names.values()}, templates, *more)

    def others(self, file):
        """The names of the other pictures of a picture's folder, and of those of the other folders."""
        return ([name for other, name in self.names.items() if other.parent == file.parent and other != file],
                [name for other, name in self.names.items() if other.parent != file.parent])


def by_set_of_classes(lab, model, things, draw):
    """{set of classes: accuracy}; of all sets but the first and the last, as many classes."""
    size = lab.choose(20, 2)
    encoded = asking.Encoded(lab, model, things.files,
                             [with_article(name) for name in things.names.values()] +
                             ["not " + with_article(name) for name in things.names.values()])
    questions = {f"all {len(things.files)}": [], f"{size} of its folder": [], f"{size}, the others of other folders": [],
                 '"not a cat" or "not a dog", of a dog': []}
    everything, alike, far, negated = questions.values()
    for file, name in things.names.items():
        own, other = things.others(file)
        right = with_article(name)
        everything.append((file, right, [with_article(name) for name in things.names.values()]))
        alike.append((file, right, [right, *map(with_article, draw.sample(own, size - 1))]))
        far.append((file, right, [right, *map(with_article, draw.sample(other, size - 1))]))
        absent = "not " + with_article(draw.choice(other))
        negated.append((file, absent, [absent, "not " + right]))
    return {name: asking.share_right(encoded, asked) for name, asked in questions.items()}


def probed(lab, model, things):
    """{"zero-shot", "1", "2", …, "all"}: top-1 accuracies about the folders."""
    shots = lab.choose(SHOTS, SHOTS[:1])
    answer = lab.ask("eval", "probe", "--data", things.folder, "--shots", ",".join(map(str, shots)),
                     "--draws", lab.choose(5, 1), "--model", model)
    return {"zero-shot": lab.ask("eval", "zero-shot", "--data", things.folder, "--model", model)["top1"],
            **{str(score["shots"]): score["mean"] for score in answer["few_shot"]}, "all": answer["top1"]}


def main():
    lab = Lab("quickstart", __doc__, add_arguments)
    things, models = Things(lab), lab.arguments.models

    def spreads(measure):
        runs = [measure(model) for model in models]
        return {row: Spread(run[row] for run in runs) for row in runs[0]}

    def prompted(model):
        return {name: things.top1(lab, model, templates) for name, templates in PROMPTS.items()}

    def corrupted(model):
        kinds = lab.choose(CORRUPTIONS, CORRUPTIONS[:1])
        return {kind: things.top1(lab, model, ["a {}"], "--corrupt", kind) for kind in kinds}

    tables = {f"prompts, {len(things.files)} names": spreads(prompted),
              "classes": spreads(lambda model: by_set_of_classes(lab, model, things, random.Random(1))),
              "corrupted pictures": spreads(corrupted),
              "which folder": spreads(lambda model: probed(lab, model, things))}
    lab.save({"models": [str(model) for model in models],
              **{name: {row: spread.json() for row, spread in rows.items()} for name, rows in tables.items()}})
    folders = tables["which folder"]
    shots = [(int(way), spread.mean, spread.deviation) for way, spread in folders.items() if way.isdigit()]
    in_words = [(count, folders["zero-shot"].mean, 0) for count, _, _ in (shots[0], shots[-1])]
    chart.draw(lab.runs / "quickstart.svg", "Which of five folders: a linear probe of the quickstart's features", "shots",
               "accuracy", {"linear probe": shots, "zero-shot": in_words}, log_x=True)
    for name, rows in tables.items():
        print_table([name, "accuracy"], rows.items())
        print()


if __name__ == "__main__":
    main()
