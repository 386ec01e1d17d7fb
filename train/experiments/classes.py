#!/usr/bin/env python3
"""How the set of classes makes the verdict: the same pictures, with other classes beside the right one, or without it."""
import asking
import shapes
from lab import Lab, Spread, print_table

# Things of a similar outline.
ALIKE = {"circle": "heart", "square": "house", "triangle": "tree", "star": "heart", "heart": "circle", "bicycle": "car",
         "car": "boat", "house": "square", "tree": "triangle", "fish": "boat", "boat": "fish", "cup": "square"}


def sets_of(scene):
    """{name: the classes to choose from}; the right one is the first, if it is there."""
    colour, thing = scene["colour"], scene["object"]
    other_things = [name for name in shapes.OBJECTS if name != thing]
    other_colours = [name for name in shapes.COLOURS if name != colour]
    right, far = shapes.named(colour, thing), other_colours[3]
    return {
        "it, and another thing in another colour": [right, shapes.named(far, other_things[5])],
        "it, and a thing of similar outline in its colour": [right, shapes.named(colour, ALIKE[thing])],
        "it, and all other things in its colour (12)": [right, *(shapes.named(colour, name) for name in other_things)],
        "it, and itself in all other colours (8)": [right, *(shapes.named(name, thing) for name in other_colours)],
        "all colours and things (96)": [right, *(shapes.named(c, t) for c in shapes.COLOURS for t in shapes.OBJECTS
                                                   if (c, t) != (colour, thing))],
        "without it: all other things in its colour (11)": [shapes.named(colour, name) for name in other_things],
        "without it: all things in another colour (12)": [shapes.named(far, name) for name in shapes.OBJECTS],
    }


def measure(lab, model, folder, scenes):
    """{set: (accuracy or None, mean probability of the answer, mean similarity of the answer)}."""
    asked = [(folder / scene["file"], sets_of(scene)) for scene in scenes]
    texts = {text for _, sets in asked for classes in sets.values() for text in classes}
    encoded = asking.Encoded(lab, model, [file for file, _ in asked], texts)
    found = {}
    for name in asked[0][1]:
        right, probability, similarity = 0, 0.0, 0.0
        for file, sets in asked:
            shares = encoded.probabilities(file, sets[name])
            best = max(range(len(shares)), key=shares.__getitem__)
            right += best == 0
            probability += shares[best]
            similarity += encoded.similarity(file, sets[name][best])
        accuracy = None if name.startswith("without") else right / len(asked)
        found[name] = (accuracy, probability / len(asked), similarity / len(asked))
    return found


def main():
    lab = Lab("classes", __doc__)
    folder, scenes = shapes.pictures(lab, lab.choose(2000, 60))
    singles = [scene for scene in scenes if scene["kind"] == "single"][:lab.choose(500, 10)]
    runs = [measure(lab, model, folder, singles) for model in shapes.base_models(lab)]
    columns = ["accuracy", "probability", "similarity"]
    results = {name: {column: None if runs[0][name][i] is None else Spread(run[name][i] for run in runs)
                      for i, column in enumerate(columns)} for name in runs[0]}
    lab.save({"pictures": len(singles), **{name: {column: spread and spread.json() for column, spread in row.items()}
                                           for name, row in results.items()}})
    print_table(["classes", "accuracy", "probability of the answer", "its similarity"],
                [[name, *(row[column] or "none is right" for column in columns)] for name, row in results.items()])


if __name__ == "__main__":
    main()
