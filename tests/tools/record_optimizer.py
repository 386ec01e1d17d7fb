#!/usr/bin/env python3
"""Writes tests/data/optimizer.json: AdamW, clipping, the learning rate and weight decay as open_clip has them.

Needs torch, open_clip_torch (which brings timm and open_clip_train), numpy.
  adamw     torch.optim.AdamW after torch.nn.utils.clip_grad_norm_ on three tensors, one of them decayed
  schedule  open_clip_train's cosine_lr
  decayed   parameters of tests/data/open_clip/gelu.json that open_clip decays (its --opt timm/adamw: what the
            model's no_weight_decay() names is spared, and whatever has fewer than two dimensions)
"""
import json
import pathlib

import numpy as np
import open_clip
import torch
from open_clip_train.scheduler import cosine_lr
from timm.optim import create_optimizer_v2

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
STEPS = 6


def shortest(tensor):
    """The shortest decimals that read back as these f32 values."""
    return [float(str(v)) for v in tensor.detach().numpy().astype(np.float32).ravel()]


def adamw():
    rng = np.random.default_rng(11)
    shapes = {"conv1.weight": (3, 5), "ln_1.weight": (7,), "logit_scale": ()}
    options = {"lr": 3e-3, "beta1": 0.9, "beta2": 0.98, "eps": 1e-6, "weight_decay": 0.2, "clip_norm": 1.5}
    # cuclip's options are f32: 1 - 0.98f differs from 0.02 by 1e-6 of itself, which is no error in the
    # update.
    options = {name: float(np.float32(value)) for name, value in options.items()}

    def draw(shape, scale=1.0):
        return torch.from_numpy(np.asarray(scale * rng.standard_normal(shape), dtype=np.float32))

    weights = {n: torch.nn.Parameter(draw(s)) for n, s in shapes.items()}
    start = {n: shortest(w) for n, w in weights.items()}
    decayed = [w for w in weights.values() if w.ndim >= 2]
    spared = [w for w in weights.values() if w.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": spared, "weight_decay": 0.0}, {"params": decayed, "weight_decay": options["weight_decay"]}],
        lr=options["lr"], betas=(options["beta1"], options["beta2"]), eps=options["eps"])
    steps = []
    for i in range(STEPS):
        # Some steps are clipped, others are not; one tensor gets no gradient in one step.
        for n, w in weights.items():
            w.grad = draw(shapes[n], [0.01, 1.0, 30.0][i % 3])
            if i == 3 and n == "ln_1.weight":
                w.grad.zero_()
        gradients = {n: shortest(w.grad) for n, w in weights.items()}
        norm = torch.nn.utils.clip_grad_norm_(weights.values(), options["clip_norm"])
        optimizer.step()
        steps.append({"gradients": gradients, "norm": shortest(norm)[0],
                      "weights": {n: shortest(w) for n, w in weights.items()},
                      "exp_avg": {n: shortest(optimizer.state[w]["exp_avg"]) for n, w in weights.items()},
                      "exp_avg_sq": {n: shortest(optimizer.state[w]["exp_avg_sq"]) for n, w in weights.items()}})
    return {"shapes": shapes, "options": options, "start": start, "steps": steps}


def schedule():
    cases = []
    for peak, warmup, total in [(5e-4, 10, 100), (1e-3, 0, 7), (2e-3, 3, 4)]:
        adjust = cosine_lr(torch.optim.SGD([torch.zeros(1)], lr=0.0), peak, warmup, total)
        cases.append({"peak": peak, "warmup": warmup, "total": total, "lr": [adjust(s) for s in range(total)]})
    return cases


def decayed():
    model = open_clip.CLIP(**json.loads((DATA / "open_clip" / "gelu.json").read_text()))
    groups = create_optimizer_v2(model, "adamw", lr=1e-3, weight_decay=0.2).param_groups
    trained = {id(p) for group in groups if group["weight_decay"] > 0 for p in group["params"]}
    return [n for n, p in model.named_parameters() if id(p) in trained]


if __name__ == "__main__":
    torch.set_num_threads(1)
    recorded = {"recorded with": f"open_clip {open_clip.__version__}, torch {torch.__version__}",
                "adamw": adamw(), "schedule": schedule(), "decayed": decayed()}
    (DATA / "optimizer.json").write_text(json.dumps(recorded) + "\n")
