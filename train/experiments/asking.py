"""Asking a model about pictures in words."""
import array
import csv
import json
import math
import operator
import pathlib
import re


def with_article(text):
    return ("an " if text[0] in "aeiou" else "a ") + text


def write_labels(path, folder, labelled):
    """A table of (file, label) pairs for cuclip eval; the files are the folder's."""
    with open(path, "w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(["filepath", "label"])
        table.writerows([pathlib.Path(folder, file).resolve(), label] for file, label in labelled)
    return path


def read_features(path):
    """The rows of a .npy file of 32-bit floats."""
    data = pathlib.Path(path).read_bytes()
    begin = 10 + int.from_bytes(data[8:10], "little")
    rows, width = map(int, re.search(rb"'shape': \((\d+), (\d+)\)", data[:begin]).groups())
    values = array.array("f", data[begin:])
    return [values[row * width:(row + 1) * width] for row in range(rows)]


class Encoded:
    """Pictures and texts as a model of a training run sees them."""

    def __init__(self, lab, model, files, texts):
        work = lab.runs / f"{lab.name}-features"
        work.mkdir(parents=True, exist_ok=True)
        texts = sorted(set(texts))
        (work / "texts.txt").write_text("\n".join(texts) + "\n")
        read = lab.ask("encode", "image", *files, "--out", work / "pictures.npy", "--model", model)["rows"]
        lab.cuclip("encode", "text", "--texts-file", work / "texts.txt", "--out", work / "texts.npy", "--model", model)
        self._pictures = dict(zip(read, read_features(work / "pictures.npy")))
        self._texts = dict(zip(texts, read_features(work / "texts.npy")))
        last = (pathlib.Path(model) / "metrics.jsonl").read_text().splitlines()[-1]
        self.logit_scale = json.loads(last)["logit_scale"]

    def similarity(self, file, text):
        return sum(map(operator.mul, self._pictures[str(file)], self._texts[text]))

    def probabilities(self, file, texts):
        """The softmax over the texts, as training has it."""
        logits = [self.logit_scale * self.similarity(file, text) for text in texts]
        most = max(logits)
        weights = [math.exp(logit - most) for logit in logits]
        return [weight / sum(weights) for weight in weights]

    def choice(self, file, texts):
        """The text that describes the picture best."""
        return max(texts, key=lambda text: self.similarity(file, text))


def share_right(encoded, questions):
    """The share of (file, right text, texts to choose from) that is answered rightly."""
    return sum(encoded.choice(file, texts) == right for file, right, texts in questions) / len(questions)


def top1(lab, model, labels, classes, templates, *more):
    """Zero-shot accuracy on a table of labels; classes: {label: what templates put in for it}; templates: a list, or
    the name of one of cuclip's."""
    listed, patterns = lab.runs / f"{lab.name}-classes.txt", lab.runs / f"{lab.name}-templates.txt"
    listed.write_text("".join(f"{label}\t{name}\n" for label, name in classes.items()))
    if isinstance(templates, str):
        patterns = templates
    else:
        patterns.write_text("".join(f"{template}\n" for template in templates))
    return lab.ask("eval", "zero-shot", "--data", labels, "--classes", listed, "--templates", patterns, "--model", model,
                   *more)["top1"]
