#!/usr/bin/env python3
"""A vision transformer against a modified ResNet at equal work for a pair: how accurate after how many pairs?"""
import re

import chart
import shapes
from lab import Lab, Spread, lines_of, print_table, step_folders

SIZE = 64
ENCODERS = {"vision transformer": shapes.transformer(128, SIZE), "modified ResNet": shapes.resnet(22, 128, SIZE)}
RATES = [5e-4, 1e-3, 2e-3]


def settings(lab, pairs, seed):
    scenes = lab.choose(16_000, 128)
    return {"train_data": shapes.spec(SIZE, scenes), "batch_size": 64, "epochs": max(1, pairs // scenes),
            "precision": "bf16", "seed": seed}


def best_rate(lab, name, config):
    """The learning rate with the best accuracy after a short training, and what each of them reached."""
    found = {}
    for rate in lab.choose(RATES, RATES[:1]):
        run = lab.train(f"encoders-{slug(name)}-lr-{rate:g}", config, lr=rate,
                        **settings(lab, lab.choose(16_000, 128), 0))
        found[rate] = shapes.answers(lab, run, seed=8)["seen"]  # not the pictures that the result is about
    return max(found, key=found.get), found


def slug(name):
    return re.sub(r"\W+", "-", name).lower()


def learned(lab, name, config, rate, seed):
    """[(pairs, accuracies)] at even intervals of one training, its recall at the end, and pairs per second."""
    pairs = lab.choose(16_000, 256)
    run = lab.train(f"encoders-{slug(name)}-seed-{seed}", config, lr=rate, save_every_steps=pairs // 64 // 5 or 1,
                    **settings(lab, pairs, seed))
    curve = [(step * 64, shapes.answers(lab, folder, 500)) for step, folder in step_folders(run)]
    recall = lab.ask("eval", "retrieval", "--data", shapes.spec(SIZE, lab.choose(500, 20), "val", 9), "--model", run)
    rates = sorted(line["samples_per_second"] for line in lines_of(run / "metrics.jsonl"))
    return curve, recall, rates[len(rates) // 2]


def reached_at(curve, accuracy):
    """The pairs after which a curve reaches an accuracy, between its points by a straight line; None: never."""
    before = (0, 0.0)
    for pairs, value in curve:
        if value >= accuracy:
            share = (accuracy - before[1]) / (value - before[1]) if value > before[1] else 0
            return before[0] + share * (pairs - before[0])
        before = (pairs, value)
    return None


def main():
    lab = Lab("encoders", __doc__)
    results, series = {}, {}
    for name, config in ENCODERS.items():
        rate, tried = best_rate(lab, name, config)
        runs = [learned(lab, name, config, rate, seed) for seed in lab.seeds]
        curve = [{"pairs": pairs, **{question: Spread(run[0][i][1][question] for run in runs).json()
                                     for question in shapes.QUESTIONS}} for i, (pairs, _) in enumerate(runs[0][0])]
        r10 = {direction: Spread(run[1][direction]["R@10"] for run in runs).json()
               for direction in ("image_to_text", "text_to_image")}
        results[name] = {"rate": rate, "rates_tried": tried, "curve": curve, "R@10": r10,
                         "pairs_per_second": Spread(run[2] for run in runs).json()}
        series[name] = [(point["pairs"], point["seen"]["mean"], point["seen"]["deviation"]) for point in curve]
    finals = {name: rows[-1][1] for name, rows in series.items()}
    worse, better = sorted(finals, key=finals.get)
    lab.save({"encoders": results, "better": better, "pairs": series[worse][-1][0],
              "pairs_of_the_better_to_equal": reached_at([(x, y) for x, y, _ in series[better]], finals[worse])})
    chart.draw(lab.runs / "encoders.svg", "Accuracy on seen combinations at equal work", "pairs", "accuracy", series)
    print_table(["", "rate", *shapes.QUESTIONS],
                [[name, f"{row['rate']:g}", *(Spread(row["curve"][-1][question]["values"]) for question in shapes.QUESTIONS)]
                 for name, row in results.items()])


if __name__ == "__main__":
    main()
