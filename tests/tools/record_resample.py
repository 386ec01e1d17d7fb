#!/usr/bin/env python3
"""Writes tests/data/resample_pillow.txt: what Pillow's Image.resize makes of generated pictures (needs pillow < 12.2, numpy).

From 12.2 on Pillow resizes the rows first in pictures that shrink much more in height than in width, which changes
some of their pixels by a level; models/image/resample.h keeps to columns first, as every version before.

A line: filter style seed width height | box: left top right bottom | new width and height | FNV-1a 64 of the result.
The pictures come from a linear congruential generator that tests/models/resample_test.cpp repeats: style 0 is noise,
style 1 only 0 and 255 (weights overshoot: clipping matters), style 2 a ramp with a little noise.
"""
import pathlib

import numpy as np
import PIL
from PIL import Image

from record_pictures import fnv1a

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "resample_pillow.txt"
FILTERS = {"box": Image.Resampling.BOX, "bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
rng = np.random.default_rng(11)


def picture(width, height, style, seed):
    data = bytearray(width * height * 3)
    state = seed
    for i in range(len(data)):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        noise = state >> 24
        data[i] = (noise, 255 * (noise >> 7), (i + noise // 16) & 255)[style]
    return Image.frombytes("RGB", (width, height), bytes(data))


def cases():
    yield 640, 480, 85, 64, None
    yield 640, 480, 64, 64, (80.0, 0.0, 560.0, 480.0)
    yield 300, 451, 224, 336, None
    yield 65, 64, 64, 64, None  # one direction only
    yield 64, 65, 64, 64, None
    yield 64, 64, 64, 64, None  # neither
    yield 64, 64, 64, 64, (0.5, 0.0, 64.0, 64.0)
    yield 1, 1, 7, 5, None
    yield 1, 4000, 3, 64, None
    yield 4000, 1, 64, 2, None
    yield 2, 3000, 64, 96, None
    yield 5, 7, 200, 133, None  # enlarging
    yield 97, 3, 1, 1, None
    yield 512, 1, 1, 1, None
    for _ in range(60):
        width, height, new_width, new_height = (int(round(np.exp(rng.uniform(0, 5)))) for _ in range(4))
        box = None
        if rng.random() < 0.5:
            x = np.sort(rng.uniform(0, width, 2).astype(np.float32))
            y = np.sort(rng.uniform(0, height, 2).astype(np.float32))
            box = (x[0], y[0], x[1], y[1])
        yield width, height, new_width, new_height, box


if __name__ == "__main__":
    assert tuple(map(int, PIL.__version__.split(".")[:2])) < (12, 2), f"Pillow {PIL.__version__} is too new: see above"
    with open(OUT, "w") as f:
        for i, (width, height, new_width, new_height, box) in enumerate(cases()):
            style, seed = i % 3, 1000 + i
            source = picture(width, height, style, seed)
            for name, method in FILTERS.items():
                result = source.resize((new_width, new_height), method, box and tuple(float(v) for v in box))
                corners = " ".join(repr(float(v)) for v in box or (0, 0, width, height))
                digest = fnv1a(result.tobytes())
                f.write(f"{name} {style} {seed} {width} {height} {corners} {new_width} {new_height} {digest:016x}\n")
