#!/usr/bin/env python3
"""Writes tests/data/transform_torchvision.txt: what torchvision's transforms make of generated pictures.

Needs torch, torchvision and pillow < 12.2 (see record_resample.py). The transforms' random draws are replaced by the
SplitMix64 generator of models/clip/rng.h, so that the choices can be compared; everything else is torchvision's own code.
  evaluation style seed width height size | FNV-1a 64 of the pixels | of the floats with CLIP's mean | with 0.5
  crop seed width height scale: min max | chosen x y width height
  training style seed width height size scale: min max | FNV-1a 64 of the pixels
"""
import pathlib
from unittest import mock

import numpy as np
import PIL
import torch
from torchvision import transforms as T

from record_pictures import fnv1a
from record_resample import picture

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "transform_torchvision.txt"
BICUBIC = T.InterpolationMode.BICUBIC
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


class SplitMix64:
    def __init__(self, seed, epoch, sample):
        self.state = mix(seed + GOLDEN & MASK)
        self.state = mix(self.state + epoch * GOLDEN + GOLDEN & MASK)
        self.state = mix(self.state + sample * GOLDEN + GOLDEN & MASK)

    def next(self):
        self.state = self.state + GOLDEN & MASK
        return mix(self.state)

    # Stands for torch.empty(1), whose uniform_(low, high) is called.
    def uniform_(self, low, high):
        low, high = float(low), float(high)
        return torch.tensor([low + (high - low) * ((self.next() >> 11) * 2.0**-53)], dtype=torch.float64)

    def randint(self, low, high, size):
        assert low == 0
        value = self.next()
        while value > MASK - 2**64 % high:
            value = self.next()
        return torch.tensor([value % high])


def with_generator(generator, work):
    with mock.patch("torch.empty", lambda _: generator), mock.patch("torch.randint", generator.randint):
        return work()


def elongated(rng, largest):
    return [int(round(np.exp(rng.uniform(0, np.log(largest))))) for _ in range(2)]


def main():
    assert tuple(map(int, PIL.__version__.split(".")[:2])) < (12, 2), f"Pillow {PIL.__version__} is too new"
    rng = np.random.default_rng(5)
    lines = []
    shapes = [(640, 480, 64), (480, 640, 64), (65, 64, 64), (64, 67, 64), (64, 64, 64), (1, 1, 4), (1, 300, 6),
              (300, 1, 5), (2, 171, 32), (171, 2, 33), (299, 451, 224)]
    shapes += [(*elongated(rng, 200), int(rng.integers(1, 70))) for _ in range(30)]
    for i, (width, height, size) in enumerate(shapes):
        image = picture(width, height, i % 3, i)
        pixels = T.Compose([T.Resize(size, BICUBIC), T.CenterCrop(size)])(image)
        tensor = T.ToTensor()(pixels)
        floats = [fnv1a(T.Normalize(*n)(tensor).numpy().astype("<f4").tobytes()) for n in (CLIP, HALF)]
        lines.append(f"evaluation {i % 3} {i} {width} {height} {size} {fnv1a(pixels.tobytes()):016x} "
                     f"{floats[0]:016x} {floats[1]:016x}")

    scales = [(0.9, 1.0), (0.08, 1.0), (0.5, 0.5), (1.0, 1.0)]
    for i in range(400):
        scale = scales[i % 4]
        width, height = elongated(rng, 3000) if i % 2 else rng.integers(50, 80, 2)
        image = mock.Mock(spec=PIL.Image.Image, size=(int(width), int(height)))
        image.getbands.return_value = "RGB"
        generator = SplitMix64(i, 2, 3)
        choose = T.RandomResizedCrop.get_params
        top, left, h, w = with_generator(generator, lambda: choose(image, list(scale), [3 / 4, 4 / 3]))
        lines.append(f"crop {i} {width} {height} {scale[0]} {scale[1]} {left} {top} {w} {h}")

    for i in range(24):
        scale = scales[i % 4]
        width, height = elongated(rng, 200)
        size = int(rng.integers(1, 70))
        crop = T.RandomResizedCrop(size, scale, interpolation=BICUBIC)
        image = picture(width, height, i % 3, i)
        pixels = with_generator(SplitMix64(i, 2, 3), lambda: crop(image))
        lines.append(f"training {i % 3} {i} {width} {height} {size} {scale[0]} {scale[1]} {fnv1a(pixels.tobytes()):016x}")
    OUT.write_text("".join(line + "\n" for line in lines))


if __name__ == "__main__":
    main()
