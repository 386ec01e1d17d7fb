#!/usr/bin/env python3
"""How error falls with data, model and compute: a power law for each, and the error of its exponent."""
import chart
import shapes
from fit import PowerLaw, frontier
from lab import Lab, Spread, print_table, state_of

WIDTHS = [32, 64, 128]
PAIRS = [5_000, 10_000, 20_000, 40_000]
SCENES = [320, 1_280, 5_120, 40_000]  # distinct ones; the last has all that the other runs draw from


class Run:
    """A training's work and its error: the share of wrong answers about seen and held-out combinations."""

    def __init__(self, lab, width, pairs, scenes, seed):
        scenes = min(pairs, scenes)
        folder = lab.train(f"scaling-width-{width}-{pairs}-of-{scenes}-seed-{seed}", shapes.transformer(width),
                           train_data=shapes.spec(shapes.SIZE, scenes), batch_size=shapes.BATCH, lr=1e-3,
                           precision="bf16", seed=seed, epochs=round(pairs / scenes))
        state = state_of(folder)
        self.flops, self.flops_of_pair = state["model_flops"], state["model_flops"] / state["samples_seen"]
        answers = shapes.answers(lab, folder)
        self.error = 1 - (answers["seen"] + answers["held-out"]) / 2


class Cell:
    """The runs of all seeds."""

    def __init__(self, lab, width, pairs, scenes):
        self.width, self.pairs, self.scenes = width, pairs, min(pairs, scenes)
        self.runs = [Run(lab, width, pairs, scenes, seed) for seed in lab.seeds]
        self.error = Spread(run.error for run in self.runs)

    def json(self):
        return {"width": self.width, "pairs": self.pairs, "scenes": self.scenes, "flops": self.runs[0].flops,
                "flops_of_pair": self.runs[0].flops_of_pair, "error": self.error.json()}


def law(cells, x_of):
    """The power law through all runs of some cells."""
    return PowerLaw([(x_of(cell, run), run.error) for cell in cells for run in cell.runs])


def points(cells, x_of):
    return [(x_of(cell), cell.error.mean, cell.error.deviation) for cell in cells]


def fitted(power_law, rows):
    return [(x, power_law.at(x), 0) for x in (rows[0][0], rows[-1][0])]


def main():
    lab = Lab("scaling", __doc__)
    widths, pairs = lab.choose(WIDTHS, [32, 64]), lab.choose(PAIRS, [64, 128, 256])
    scenes = lab.choose(SCENES, [64, 128, 256])
    middle, most = widths[1], pairs[-1]
    grid = [[Cell(lab, width, count, scenes[-1]) for count in pairs] for width in widths]
    data = [Cell(lab, middle, most, count) for count in scenes[:-1]] + [grid[1][-1]]
    models = [row[-1] for row in grid]
    cells = [cell for row in grid for cell in row]
    best = frontier([(cell.runs[0].flops, cell.error.mean) for cell in cells])
    laws = {"data": law(data, lambda cell, run: cell.scenes),
            "pairs": law(grid[1], lambda cell, run: cell.pairs)}
    if len(models) * len(lab.seeds) >= 3:
        laws["model"] = law(models, lambda cell, run: run.flops_of_pair)
    if len(best) >= 3:
        laws["compute"] = PowerLaw(best)
    lab.save({"cells": [cell.json() for cell in cells], "data": [cell.json() for cell in data], "frontier": best,
              "laws": {name: law.json() for name, law in laws.items()}})

    series = {f"width {row[0].width}": points(row, lambda cell: cell.runs[0].flops / 1e12) for row in grid}
    if "compute" in laws:
        ends = [(flops / 1e12, 0, 0) for flops, _ in best]
        series["best for the work (fit)"] = [(x, laws["compute"].at(x * 1e12), 0) for x, _, _ in ends]
    chart.draw(lab.runs / "scaling-compute.svg", "Zero-shot error by compute", "TFLOP of training", "error", series,
               log_x=True, log_y=True)
    rows = points(data, lambda cell: cell.scenes)
    chart.draw(lab.runs / "scaling-data.svg", f"Zero-shot error by data, {most:,} pairs of training", "distinct scenes",
               "error", {f"width {middle}": rows, "power law (fit)": fitted(laws["data"], rows)}, log_x=True, log_y=True)
    print_table(["width", *(f"{count:,} pairs" for count in pairs)],
                [[row[0].width, *(cell.error for cell in row)] for row in grid])
    print()
    print_table(["distinct scenes", "error"], [[f"{cell.scenes:,}", cell.error] for cell in data])
    print()
    print_table(["error against", "law"], laws.items())


if __name__ == "__main__":
    main()
