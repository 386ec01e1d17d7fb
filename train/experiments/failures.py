#!/usr/bin/env python3
"""Where it fails: fine differences, what belongs to what, counting, relations, negation, written words, other styles.

Two models answer. "Shapes" is the one of the other experiments. "Signs" was trained half as long on the same scenes
with two changes: half of the single things have their name written below them, as things in shops have, and no caption
says what is not there.
"""
import csv
import functools

import asking
import ppm
import shapes
from lab import Lab, Spread, print_table
from shapes import named

CORRUPTIONS = [f"{kind}:{severity}" for kind in ("noise", "blur", "contrast", "jpeg", "pixelate") for severity in (1, 3, 5)]
STYLES = {"without colour": ppm.without_colour, "colours inverted": ppm.inverted, "upside down": ppm.upside_down,
          "outlines": ppm.outlines}
# Questions of cuclip's own, in words.
BUILT_IN = {"counting": "how many, of one to five", "spatial": "left, right, above or below",
            "negation": '"and no star" or "and a star"', "seen": "which of 96 combinations, trained on",
            "held-out": "which of 96 combinations, not trained on"}


def sign_models(lab):
    settings, count = shapes.base_settings(lab, epochs=4)
    folder, scenes = shapes.pictures(lab, count, "train", 1)
    signs = {scene["file"]: functools.partial(ppm.with_word, word=scene["object"])
             for i, scene in enumerate(scenes) if scene["kind"] == "single" and i % 2 == 0}
    written = lab.made("pictures/signs", {"count": count}, lambda out: ppm.rewritten(folder, out, signs))
    table = lab.runs / "pictures/signs.csv"
    with open(table, "w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(["filepath", "title"])
        for scene in scenes:
            file = (written if scene["file"] in signs else folder) / scene["file"]
            rows.writerows([file.resolve(), caption] for caption in scene["captions"] if " and no " not in caption)
    return [lab.train(f"signs-seed-{seed}", shapes.transformer(64), train_data=table, seed=seed, **settings)
            for seed in lab.seeds]


def sized(scene):
    texts = {size: "a picture of " + asking.with_article(f"{word}{scene['colour']} {scene['object']}")
             for size, word in (("small", "small "), ("plain", ""), ("large", "large "))}
    return scene["file"], texts[scene["size"]], list(texts.values())


def bound(scene):
    (a, x), (b, y) = scene["first"], scene["second"]
    right, wrong = f"{named(a, x)} and {named(b, y)}", f"{named(b, x)} and {named(a, y)}"
    return scene["file"], right, [right, wrong]


def ordered(scene):
    first, second = named(*scene["first"]), named(*scene["second"])
    right = f"{first} {scene['relation']} {second}"
    return scene["file"], right, [right, f"{second} {scene['relation']} {first}"]


def thing_in_its_colour(scene):
    return scene["file"], named(scene["colour"], scene["object"]), [named(scene["colour"], thing) for thing in shapes.OBJECTS]


def colour_of_its_thing(scene):
    return scene["file"], named(scene["colour"], scene["object"]), [named(c, scene["object"]) for c in shapes.COLOURS]


def questions(scenes):
    """{question: [(file, right text, texts to choose from)]}."""
    singles = [scene for scene in scenes if scene["kind"] == "single"]
    pairs = [scene for scene in scenes if scene["kind"] == "pair"]
    distinct = [scene for scene in pairs if all(a != b for a, b in zip(scene["first"], scene["second"]))]
    return {"which thing, of 12": list(map(thing_in_its_colour, singles)),
            "which colour, of 8": list(map(colour_of_its_thing, singles)),
            "small, middle or large": list(map(sized, singles)),
            "which of two things has which colour": list(map(bound, distinct)),
            "which of two things is where": list(map(ordered, pairs))}


def asked_in_words(lab, model, folder, scenes):
    """{question: accuracy}."""
    asked = questions(scenes)
    texts = [text for part in asked.values() for _, _, choices in part for text in choices]
    encoded = asking.Encoded(lab, model, [folder / scene["file"] for scene in scenes], texts)
    found = {name: asking.share_right(encoded, [(folder / file, right, choices) for file, right, choices in part])
             for name, part in asked.items()}
    answers = shapes.answers(lab, model)
    return found | {name: answers[question] for question, name in BUILT_IN.items()}


def other_thing(scene):
    return shapes.OBJECTS[(shapes.OBJECTS.index(scene["object"]) + 5) % len(shapes.OBJECTS)]


def written_words(lab, model, folder, singles):
    """{what is written: (share answered with the thing, share answered with other_thing)}."""
    words = {"nothing": None, "its own name": lambda scene: scene["object"], "another thing's name": other_thing}
    found = {}
    for name, word in words.items():
        work = folder if word is None else ppm.rewritten(
            folder, lab.runs / f"pictures/written-{name.replace(' ', '-')}",
            {scene["file"]: functools.partial(ppm.with_word, word=word(scene)) for scene in singles})
        asked = [thing_in_its_colour(scene) for scene in singles]
        files = [work / scene["file"] for scene in singles]
        encoded = asking.Encoded(lab, model, files, [text for _, _, choices in asked for text in choices])
        answers = [encoded.choice(file, choices) for file, (_, _, choices) in zip(files, asked)]
        others = [named(scene["colour"], other_thing(scene)) for scene in singles]
        found[name] = (sum(answer == right for answer, (_, right, _) in zip(answers, asked)) / len(singles),
                       sum(map(str.__eq__, answers, others)) / len(singles))
    return found


def other_domains(lab, model, folder, singles):
    """{style or corruption: accuracy among 12 things, each in 8 colours}."""
    templates = [asking.with_article(colour + " {}") for colour in shapes.COLOURS]
    labels = [(scene["file"], scene["object"]) for scene in singles]

    def accuracy(where, *more):
        table = asking.write_labels(lab.runs / "failures-labels.csv", where, labels)
        return asking.top1(lab, model, table, {thing: thing for thing in shapes.OBJECTS}, templates, *more)

    found = {"as trained on": accuracy(folder)}
    for name, change in STYLES.items():
        where = lab.runs / f"pictures/{name.replace(' ', '-')}"
        found[name] = accuracy(ppm.rewritten(folder, where, {file: change for file, _ in labels}))
    for corruption in lab.choose(CORRUPTIONS, CORRUPTIONS[:1]):
        found[corruption] = accuracy(folder, "--corrupt", corruption)
    return found


def main():
    lab = Lab("failures", __doc__)
    models = {"shapes": shapes.base_models(lab), "signs": sign_models(lab)}
    folder, scenes = shapes.pictures(lab, lab.choose(2000, 60))
    singles = [scene for scene in scenes if scene["kind"] == "single"][:lab.choose(600, 10)]

    def measured(measure, chosen):
        return {name: [measure(lab, model, folder, chosen) for model in found] for name, found in models.items()}

    def table(runs, pick=float):
        """{model: {row: Spread}}."""
        return {name: {key: Spread(pick(run[key]) for run in of_model) for key in of_model[0]}
                for name, of_model in runs.items()}

    written = measured(written_words, singles)
    tables = {"questions": table(measured(asked_in_words, scenes)),
              "answered with the thing, where there is written": table(written, lambda shares: shares[0]),
              "answered with the other thing": table(written, lambda shares: shares[1]),
              "which thing, of 12": table(measured(other_domains, singles))}
    lab.save({name: {model: {key: spread.json() for key, spread in row.items()} for model, row in rows.items()}
              for name, rows in tables.items()})
    for name, rows in tables.items():
        print_table([name, *rows], [[key, *(row[key] for row in rows.values())] for key in rows["shapes"]])
        print()


if __name__ == "__main__":
    main()
