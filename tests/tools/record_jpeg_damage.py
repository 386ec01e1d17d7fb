#!/usr/bin/env python3
"""Writes tests/data/jpeg_damage.txt: what Pillow makes of the JPEGs in tests/data/pictures when their data is damaged.

Needs pillow and numpy, and the pictures of record_pictures.py. The damage is in the compressed data, or cuts them off. A line is
  file first last bytes (hexadecimal, or -) | FNV-1a 64 of Pillow's RGB pixels, or "refused"
where the file's bytes from `first` up to `last` are replaced by `bytes`. Pillow 13.0 with libjpeg-turbo 3.2.0 wrote it.
"""
import pathlib

import numpy as np

from record_pictures import OUT as PICTURES
from record_pictures import fnv1a, through_pillow

OUT = PICTURES.parent / "jpeg_damage.txt"
END = b"\xff\xd9"
rng = np.random.default_rng(11)


def outcome(data):
    try:
        return f"{fnv1a(through_pillow(data).tobytes()):016x}"
    except (OSError, SyntaxError):
        return "refused"


def damages(data):
    """(first, last, bytes)"""
    begin, end = data.index(b"\xff\xda") + 14, len(data)

    def place():
        return int(rng.integers(begin, end - 2))

    for cut in [end - 1, end - 2, end - 3, place(), place()]:
        yield cut, end, b""  # no end marker
    for cut in [end - 3, end - 6, place(), place(), place()]:
        yield cut, end, END
    for _ in range(10):
        at = place()
        yield at, at + 1, rng.bytes(1)
    for length in (1, 3, 40):
        at = place()
        yield at, min(at + length, end - 2), b""
        yield at, min(at + length, end - 2), bytes(length)
        yield at, at, rng.bytes(length)


def main():
    lines = []
    for file in sorted(PICTURES.glob("*.jpg")):
        data = file.read_bytes()
        for first, last, new in damages(data):
            lines.append(f"{file.name} {first} {last} {new.hex() or '-'} {outcome(data[:first] + new + data[last:])}\n")
    OUT.write_text("".join(lines))
    print(len(lines), "damaged pictures, refused:", sum(line.endswith("refused\n") for line in lines))


if __name__ == "__main__":
    main()
