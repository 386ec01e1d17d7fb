#!/usr/bin/env python3
"""Writes tests/data/linear_probe.json: scikit-learn's multinomial logistic regression on a small problem.

Needs numpy, scikit-learn. For each lambda, LogisticRegression(C=1/lambda) run to convergence.
"""
import json
import pathlib
import warnings

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
SAMPLES, WIDTH, CLASSES = 31, 5, 3


def main():
    rng = np.random.default_rng(7)
    labels = np.concatenate([np.arange(CLASSES), rng.integers(0, CLASSES, SAMPLES - CLASSES)])
    # Three decimals, so that the file is short and f32 and text agree.
    features = np.round(rng.standard_normal((SAMPLES, WIDTH)) + 0.7 * rng.standard_normal((CLASSES, WIDTH))[labels], 3)
    features = features.astype(np.float32).astype(np.float64)
    fits = []
    for strength in (0.01, 1.0, 50.0):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = LogisticRegression(C=1 / strength, tol=1e-12, max_iter=100000).fit(features, labels)
        fits.append({"lambda": strength, "weight": model.coef_.tolist(), "bias": model.intercept_.tolist()})
    recorded = {"recorded with": f"scikit-learn {sklearn.__version__}", "features": np.round(features, 3).tolist(),
                "labels": labels.tolist(), "fits": fits}
    (DATA / "linear_probe.json").write_text(json.dumps(recorded) + "\n")


if __name__ == "__main__":
    main()
