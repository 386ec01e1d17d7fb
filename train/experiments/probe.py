#!/usr/bin/env python3
"""What the features of pictures know, whatever the words say: a linear probe of few and all labels, and zero-shot."""
import asking
import chart
import shapes
from lab import Lab, Spread, print_table

SHOTS = [1, 2, 4, 8, 16]
THINGS = [f"{colour} {thing}" for colour in shapes.COLOURS for thing in shapes.OBJECTS]
PLURALS = [thing if thing.endswith("fish") else thing + "s" for thing in THINGS]
SOME_PAIRS = [(THINGS[i], THINGS[(5 * i + 7) % len(THINGS)]) for i in range(0, len(THINGS), 4)]

# question: (kind of scene, a scene's label, {label: its name}, templates that ask it in words)
QUESTIONS = {
    "object": ("single", lambda scene: scene["object"], {thing: thing for thing in shapes.OBJECTS},
               [asking.with_article(colour + " {}") for colour in shapes.COLOURS]),
    "number": ("count", lambda scene: scene["number"], {number: number for number in shapes.NUMBERS},
               ["{} " + thing for thing in PLURALS]),
    "arrangement": ("pair", lambda scene: "beside" if " of" in scene["relation"] else "stacked",
                    {"beside": "to the left of", "stacked": "above"},
                    [f"{asking.with_article(a)} {{}} {asking.with_article(b)}" for a, b in SOME_PAIRS]),
}


def labelled(lab, question, part, count, seed):
    """A table of pictures with the labels of a question."""
    kind, label, _, _ = QUESTIONS[question]
    folder, scenes = shapes.pictures(lab, count, seed=seed)
    return asking.write_labels(lab.runs / f"probe-{question}-{part}.csv", folder,
                               [(scene["file"], label(scene)) for scene in scenes if scene["kind"] == kind])


def measure(lab, question, model, train, test):
    """{"zero-shot", "1", "2", …, "all"}: top-1 accuracies."""
    shots = lab.choose(SHOTS, SHOTS[:1])
    answer = lab.ask("eval", "probe", "--data", train, "--test-data", test, "--shots", ",".join(map(str, shots)),
                     "--draws", lab.choose(5, 1), "--model", model)
    _, _, names, templates = QUESTIONS[question]
    return {"zero-shot": asking.top1(lab, model, test, names, templates),
            **{str(score["shots"]): score["mean"] for score in answer["few_shot"]}, "all": answer["top1"]}


def main():
    lab = Lab("probe", __doc__)
    models = shapes.base_models(lab)
    results, series = {}, {}
    for question in QUESTIONS:
        train = labelled(lab, question, "train", lab.choose(4000, 300), 6)
        test = labelled(lab, question, "test", lab.choose(2000, 60), 5)
        measured = [measure(lab, question, model, train, test) for model in models]
        results[question] = {way: Spread(found[way] for found in measured) for way in measured[0]}
        series[question] = [(int(way), spread.mean, spread.deviation) for way, spread in results[question].items()
                            if way.isdigit()]
    lab.save({question: {way: spread.json() for way, spread in found.items()} for question, found in results.items()})
    chart.draw(lab.runs / "probe.svg", "A linear probe by labelled pictures of each class", "shots", "accuracy", series,
               log_x=True)
    print_table(["", "chance", *results["object"]],
                [[question, f"{1 / len(QUESTIONS[question][2]):.3f}", *found.values()]
                 for question, found in results.items()])


if __name__ == "__main__":
    main()
