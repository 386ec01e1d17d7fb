#!/usr/bin/env python3
"""Finding a picture's caption against predicting the caption's words, both from bags of words, at equal steps."""
import json

import chart
import shapes
from lab import Lab, Spread, print_table

OBJECTIVES = {"contrast": "which caption (contrastive)", "predict": "which words (softmax)"}
RATES = [5e-4, 1e-3, 2e-3]


def learned(lab, objective, rate, seed, pairs):
    """What word_bags said of one training: [{"pairs", "loss", "seen", "held-out"}]."""
    model = lab.runs / "words-model.json"
    model.write_text(json.dumps(shapes.transformer(64, shapes.SIZE)))
    data = shapes.spec(shapes.SIZE, lab.choose(20_000, 128))
    recipe = {"objective": objective, "data": data, "pairs": pairs, "rate": rate, "seed": seed}

    def make(folder):
        lab.say(f"training to {objective}, seed {seed}, rate {rate:g}, {pairs} pairs")
        folder.mkdir()
        printed = lab.call("experiments/word_bags", objective, model, data, pairs, shapes.BATCH, rate, seed,
                           lab.choose(1000, 20), lab.threads)
        (folder / "curve.jsonl").write_text(printed)

    folder = lab.made(f"models/words-{objective}-{rate:g}-{pairs}-seed-{seed}", recipe, make)
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


def main():
    lab = Lab("words", __doc__)
    results, series = {}, {}
    for objective, name in OBJECTIVES.items():
        tried = {rate: learned(lab, objective, rate, 0, lab.choose(10_000, 256))[-1]["seen"]
                 for rate in lab.choose(RATES, RATES[:1])}
        rate = max(tried, key=tried.get)
        runs = [learned(lab, objective, rate, seed, lab.choose(40_000, 256)) for seed in lab.seeds]
        curve = [{"pairs": runs[0][i]["pairs"], **{question: Spread(run[i][question] for run in runs).json()
                                                   for question in ("seen", "held-out")}} for i in range(len(runs[0]))]
        results[objective] = {"rate": rate, "rates_tried": tried, "curve": curve}
        series[name] = [(point["pairs"], point["seen"]["mean"], point["seen"]["deviation"]) for point in curve]
    lab.save(results)
    chart.draw(lab.runs / "words.svg", "Accuracy on seen combinations by what is learned", "pairs", "accuracy", series,
               log_x=True)
    print_table(["pairs", *(f"{name}: {question}" for name in OBJECTIVES for question in ("seen", "held-out"))],
                [[point["pairs"], *(Spread(results[objective]["curve"][i][question]["values"])
                                    for objective in OBJECTIVES for question in ("seen", "held-out"))]
                 for i, point in enumerate(results["contrast"]["curve"])])


if __name__ == "__main__":
    main()
