#!/usr/bin/env python3
"""How classes are best put into words: bare, in a sentence, and as the mean of several sentences."""
import asking
import shapes
from lab import Lab, Spread, print_table

# For classes "red car": (article before the name, templates). Captions begin with the second form, and have
# the third too.
COMBINATIONS = {
    "bare: red car": (False, ["{}"]),
    "as captions begin: a red car": (True, ["{}"]),
    "as some captions have it: a picture of a red car": (True, ["a picture of {}"]),
    "CLIP's, which no caption has: a photo of a red car.": (True, ["a photo of {}."]),
    "mean of 5 forms that captions have": (True, ["{}", "a picture of {}", "{} on a white background",
                                                   "{} on a black background", "{} on a grey background"]),
    "mean of 5, of which captions have one": (True, ["{}", "a photo of {}.", "a drawing of {}.", "an icon of {}.",
                                                      "this is {}"]),
}
# For classes "car", which captions hardly ever have without a colour.
OBJECTS = {
    "bare: car": ["{}"],
    "a car": ["a {}"],
    "a picture of a car": ["a picture of a {}"],
    "a red car": ["a red {}"],
    "mean of 2 colours": ["a red {}", "a blue {}"],
    "mean of 8 colours": [asking.with_article(colour + " {}") for colour in shapes.COLOURS],
    "mean of 8 colours on 2 backgrounds": [asking.with_article(colour + " {}") + ground for colour in shapes.COLOURS
                                            for ground in (" on a white background", " on a black background")],
}


def main():
    lab = Lab("prompts", __doc__)
    models = shapes.base_models(lab)
    folder, scenes = shapes.pictures(lab, lab.choose(2000, 60))
    singles = [scene for scene in scenes if scene["kind"] == "single"]
    combination = asking.write_labels(lab.runs / "prompts-combinations.csv", folder,
                                      [(scene["file"], f"{scene['colour']} {scene['object']}") for scene in singles])
    thing = asking.write_labels(lab.runs / "prompts-objects.csv", folder,
                                [(scene["file"], scene["object"]) for scene in singles])
    combinations = [f"{colour} {thing}" for colour in shapes.COLOURS for thing in shapes.OBJECTS]

    results = {"pictures": len(singles), "combinations": {}, "objects": {}}
    for name, (article, templates) in COMBINATIONS.items():
        classes = {label: asking.with_article(label) if article else label for label in combinations}
        results["combinations"][name] = Spread(asking.top1(lab, model, combination, classes, templates)
                                               for model in models)
    for name, templates in OBJECTS.items():
        classes = {label: label for label in shapes.OBJECTS}
        results["objects"][name] = Spread(asking.top1(lab, model, thing, classes, templates) for model in models)
    for question, chance in (("combinations", 1 / len(combinations)), ("objects", 1 / len(shapes.OBJECTS))):
        print_table([f"{question} (chance {chance:.3f})", "top-1"], results[question].items())
        print()
    lab.save({**results, **{question: {name: spread.json() for name, spread in results[question].items()}
                            for question in ("combinations", "objects")}})


if __name__ == "__main__":
    main()
