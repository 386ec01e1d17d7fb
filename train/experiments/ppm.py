"""Pictures as bytes, and what experiments change about them."""
import pathlib
import re

# Five columns and seven rows of each letter that the scenes' objects are written with: a byte for each row.
LETTERS = {
    "a": "0e11111f111111", "b": "1e11111e11111e", "c": "0e11101010110e", "e": "1f10101e10101f", "f": "1f10101e101010",
    "g": "0e11101711110f", "h": "1111111f111111", "i": "0e04040404040e", "l": "1010101010101f", "n": "11191513111111",
    "o": "0e11111111110e", "p": "1e11111e101010", "q": "0e11111115120d", "r": "1e11111e141211", "s": "0f10100e01011e",
    "t": "1f040404040404", "u": "1111111111110e", "y": "11110a04040404",
}
COLUMNS, ROWS = 6, 7  # of a letter with the space behind it


class Picture:
    """The pixels of a PPM file: three bytes each, row by row."""

    def __init__(self, path):
        data = pathlib.Path(path).read_bytes()
        head = re.match(rb"P6\s(\d+)\s(\d+)\s255\s", data)
        self.width, self.height = int(head[1]), int(head[2])
        self.pixels = bytearray(data[head.end():])

    def write(self, path):
        pathlib.Path(path).write_bytes(b"P6\n%d %d\n255\n" % (self.width, self.height) + self.pixels)


def with_word(picture, word):
    """The word in black on a white strip along the lower edge, in the middle."""
    top = picture.height - ROWS - 2
    picture.pixels[top * picture.width * 3:] = b"\xff" * ((ROWS + 2) * picture.width * 3)
    left = (picture.width - COLUMNS * len(word) + 1) // 2
    for place, letter in enumerate(word):
        for row, bits in enumerate(bytes.fromhex(LETTERS[letter])):
            for column in range(COLUMNS - 1):
                if bits >> (COLUMNS - 2 - column) & 1:
                    at = ((top + 1 + row) * picture.width + left + place * COLUMNS + column) * 3
                    picture.pixels[at:at + 3] = b"\x00\x00\x00"


def without_colour(picture):
    channels = (picture.pixels[channel::3] for channel in range(3))
    grey = [(299 * red + 587 * green + 114 * blue) // 1000 for red, green, blue in zip(*channels)]
    picture.pixels = bytearray(value for value in grey for _ in range(3))


def inverted(picture):
    picture.pixels = bytearray(255 - value for value in picture.pixels)


def upside_down(picture):
    row = picture.width * 3
    rows = [picture.pixels[i:i + row] for i in range(0, len(picture.pixels), row)]
    picture.pixels = bytearray(b"".join(reversed(rows)))


def outlines(picture):
    """Black where a pixel differs from the one to its right or below, white elsewhere: a line drawing."""
    width, height, old = picture.width, picture.height, picture.pixels
    new = bytearray(b"\xff" * len(old))
    for y in range(height - 1):
        for x in range(width - 1):
            at = (y * width + x) * 3
            here, right, below = old[at:at + 3], old[at + 3:at + 6], old[at + width * 3:at + width * 3 + 3]
            if max(abs(a - b) for other in (right, below) for a, b in zip(here, other)) > 40:
                new[at:at + 3] = b"\x00\x00\x00"
    picture.pixels = new


def rewritten(folder, out, changes):
    """Copies pictures to another folder; changes: {file: function that changes a Picture}."""
    out.mkdir(parents=True, exist_ok=True)
    for file, change in changes.items():
        picture = Picture(folder / file)
        change(picture)
        picture.write(out / file)
    return out
