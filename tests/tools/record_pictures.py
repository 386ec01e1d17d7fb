#!/usr/bin/env python3
"""Writes tests/data/pictures: tiny pictures of every kind, and what Pillow makes of them (needs pillow, numpy).

expected.txt has one line per picture: file name, width, height, FNV-1a 64 of the RGB bytes. "RGB" is what
models/image/image_decode.h documents: Pillow's convert("RGB"), after alpha_composite on white where there is transparency.
Where Pillow differs from that page (16-bit grey, colour keys of 16 bits) the expectation is computed here with numpy.
"""
import io
import pathlib
import struct
import sys
import zlib

import numpy as np
from PIL import Image

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "pictures"
W, H = 13, 11  # more than one Adam7 block, and no multiple of anything
rng = np.random.default_rng(7)
expected = {}


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def through_pillow(data):
    image = Image.open(io.BytesIO(data))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def record(name, data, rgb=None):
    rgb = through_pillow(data) if rgb is None else rgb
    (OUT / name).write_bytes(data)
    expected[name] = (rgb.shape[1], rgb.shape[0], fnv1a(rgb.astype(np.uint8).tobytes()))


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def pack_rows(samples, depth, filters):
    """samples [h, w, channels] -> filtered PNG rows; filters cycles over the rows."""
    bpp = max(1, samples.shape[2] * depth // 8)
    rows, above = b"", None
    for y, row in enumerate(samples):
        flat = row.reshape(-1)
        if depth == 16:
            raw = flat.astype(">u2").tobytes()
        elif depth == 8:
            raw = flat.astype(np.uint8).tobytes()
        else:
            bits = "".join(format(v, f"0{depth}b") for v in flat)
            bits += "0" * (-len(bits) % 8)
            raw = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))
        raw = np.frombuffer(raw, np.uint8).astype(int)
        up = np.zeros_like(raw) if above is None else above
        left = np.concatenate([np.zeros(bpp, int), raw])[:len(raw)]
        corner = np.concatenate([np.zeros(bpp, int), up])[:len(raw)]
        p = left + up - corner
        pa, pb, pc = abs(p - left), abs(p - up), abs(p - corner)
        paeth = np.where((pa <= pb) & (pa <= pc), left, np.where(pb <= pc, up, corner))
        kind = filters[y % len(filters)]
        coded = (raw - [0 * raw, left, up, (left + up) // 2, paeth][kind]) % 256
        rows += bytes([kind]) + coded.astype(np.uint8).tobytes()
        above = raw
    return rows


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, depth, color, interlaced=False, palette=None, trns=None, pieces=1):
    height, width, _ = samples.shape
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    raw = b""
    for x, y, dx, dy in passes:
        part = samples[y::dy, x::dx]
        if part.size:
            raw += pack_rows(part, depth, [4, 1, 2, 3, 0])
    data = zlib.compress(raw, 9)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced))
    out += chunk(b"tEXt", b"Comment\0skipped")
    if palette is not None:
        out += chunk(b"PLTE", palette)
    if trns is not None:
        out += chunk(b"tRNS", trns)
    step = -(-len(data) // pieces)
    for i in range(0, len(data), step):
        out += chunk(b"IDAT", data[i:i + step])
    return out + chunk(b"IEND", b"")


def on_white(color, alpha):
    """8-bit colour [..., 3] and alpha [..., 1], rounded to nearest."""
    return (2 * (color.astype(int) * alpha + 255 * (255 - alpha.astype(int))) + 255) // 510


def record_pngs():
    for interlaced in (False, True):
        tail = "_interlaced.png" if interlaced else ".png"
        for depth in (1, 2, 4, 8, 16):
            grey = rng.integers(0, 2**depth, (H, W, 1))
            key = int(grey[3, 4, 0])
            high = grey >> 8 if depth == 16 else grey * 255 // (2**depth - 1)
            record(f"grey{depth}{tail}", png(grey, depth, 0, interlaced), np.repeat(high, 3, 2))
            masked = np.where(grey == key, 255, high)
            record(f"grey{depth}_key{tail}", png(grey, depth, 0, interlaced, trns=struct.pack(">H", key)),
                   np.repeat(masked, 3, 2))
        for depth in (1, 2, 4, 8):
            colors = min(2**depth, 200)
            index = rng.integers(0, colors, (H, W, 1))
            palette = rng.integers(0, 256, colors * 3, dtype=np.uint8).tobytes()
            alpha = rng.integers(0, 256, max(1, colors - 1), dtype=np.uint8).tobytes()
            record(f"palette{depth}{tail}", png(index, depth, 3, interlaced, palette))
            record(f"palette{depth}_alpha{tail}", png(index, depth, 3, interlaced, palette, alpha))
        for depth in (8, 16):
            limit = 2**depth
            rgb = rng.integers(0, limit, (H, W, 3))
            key = rgb[5, 6].copy()
            rgb[7, 2] = key
            high = rgb >> 8 if depth == 16 else rgb
            masked = np.where((rgb == key).all(2, keepdims=True), 255, high)
            record(f"rgb{depth}{tail}", png(rgb, depth, 2, interlaced))
            record(f"rgb{depth}_key{tail}", png(rgb, depth, 2, interlaced, trns=struct.pack(">HHH", *key)), masked)
            for name, color, channels in (("grey", 4, 2), ("rgb", 6, 4)):
                pixels = rng.integers(0, limit, (H, W, channels))
                pixels[0, :4, -1] = [0, limit - 1, 1, limit // 2]
                high = pixels >> 8 if depth == 16 else pixels
                want = on_white(np.broadcast_to(high[..., :-1], (H, W, 3)), high[..., -1:])
                record(f"{name}{depth}_alpha{tail}", png(pixels, depth, color, interlaced), want)
    row = rng.integers(0, 256, (1, 97, 3))
    record("one_row.png", png(row, 8, 2))
    record("one_column.png", png(row.reshape(97, 1, 3), 8, 2, interlaced=True))
    record("one_pixel.png", png(row[:, :1], 8, 2))
    record("many_pieces.png", png(rng.integers(0, 256, (H, W, 3)), 8, 2, pieces=9))
    short = png(np.full((H, W, 1), 5), 4, 3, palette=bytes(range(9)))  # index 5 of 3 colours
    record("palette_index_beyond.png", short, np.zeros((H, W, 3)))


def smooth(channels):
    y, x = np.mgrid[0:40, 0:51]
    planes = [128 + 100 * np.sin(x / (5 + c) + y / (9 - c)) + rng.normal(0, 9, x.shape) for c in range(channels)]
    return np.clip(np.stack(planes, 2), 0, 255).astype(np.uint8)


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def record_jpegs():
    rgb = Image.fromarray(smooth(3))
    record("yuv420.jpg", jpeg(rgb))
    record("yuv422.jpg", jpeg(rgb, subsampling="4:2:2"))
    record("yuv444.jpg", jpeg(rgb, subsampling="4:4:4", quality=95))
    record("progressive.jpg", jpeg(rgb, progressive=True))
    record("restart_markers.jpg", jpeg(rgb, restart_marker_blocks=2))
    record("coded_as_rgb.jpg", jpeg(rgb, keep_rgb=True))
    record("grey.jpg", jpeg(Image.fromarray(smooth(1)[..., 0])))
    cmyk = jpeg(Image.fromarray(smooth(4), mode="CMYK"))
    record("cmyk.jpg", cmyk)
    at = cmyk.index(b"Adobe") + 11
    record("ycck.jpg", cmyk[:at] + b"\2" + cmyk[at + 1:])
    exif = Image.Exif()
    exif[0x0112] = 6
    record("exif_rotated.jpg", jpeg(rgb, exif=exif))
    record("one_column.jpg", jpeg(Image.fromarray(smooth(3)[:, :1])))


def bmp(width, height, bits, rows, info=40, compression=0, masks=(), palette=b""):
    extra = struct.pack(f"<{len(masks)}I", *masks)
    header = struct.pack("<IiiHHIIiiII", info, width, height, 1, bits, compression, 0, 2835, 2835, len(palette) // 4, 0)
    header += extra
    header += bytes(max(0, info - len(header)))
    offset = 14 + len(header) + len(palette)
    return struct.pack("<2sIHHI", b"BM", offset + len(rows), 0, 0, offset) + header + palette + rows


def padded(rows):
    return b"".join(row + bytes(-len(row) % 4) for row in rows)


def record_bmps():
    rgb = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
    bgr = padded(row[:, ::-1].tobytes() for row in rgb)
    record("rgb24.bmp", bmp(W, H, 24, bgr))
    record("rgb24_top_down.bmp", bmp(W, -H, 24, bgr))
    for bits in (1, 4, 8):
        index = rng.integers(0, 2**bits, (H, W, 1))
        rows = pack_rows(index, bits, [0])
        size = (W * bits + 7) // 8
        rows = padded(rows[y * (size + 1) + 1:(y + 1) * (size + 1)] for y in range(H))
        palette = rng.integers(0, 256, (2**bits, 4), dtype=np.uint8)
        palette[:, 3] = 0
        record(f"palette{bits}.bmp", bmp(W, H, bits, rows, palette=palette.tobytes()))
    words = rng.integers(0, 65536, (H, W)).astype("<u2")
    rows = padded(row.tobytes() for row in words)
    record("rgb555.bmp", bmp(W, H, 16, rows))
    record("rgb565.bmp", bmp(W, H, 16, rows, compression=3, masks=(0xF800, 0x07E0, 0x001F)))
    pixels = rng.integers(0, 256, (H, W, 4), dtype=np.uint8)
    rows = pixels.tobytes()
    record("rgb32.bmp", bmp(W, H, 32, rows))
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    want = on_white(pixels[::-1, :, 2::-1], pixels[::-1, :, 3:])
    record("rgba32.bmp", bmp(W, H, 32, rows, info=124, compression=3, masks=masks), want)
    core = struct.pack("<IHHHH", 12, W, H, 1, 24)
    record("os2.bmp", struct.pack("<2sIHHI", b"BM", 26 + len(bgr), 0, 0, 26) + core + bgr)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    record_pngs()
    record_jpegs()
    record_bmps()
    with open(OUT / "expected.txt", "w") as f:
        for name, (width, height, digest) in sorted(expected.items()):
            f.write(f"{name} {width} {height} {digest:016x}\n")
    print(f"{len(expected)} pictures in {OUT}", file=sys.stderr)
