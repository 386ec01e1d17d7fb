#!/usr/bin/env python3
"""Writes tests/data/pictures: tiny pictures of every kind, and what Pillow makes of them (needs pillow, numpy).

expected.txt has one line per picture: file name, width, height, FNV-1a 64 of the RGB bytes. "RGB" is what
models/image/image_decode.h documents: Pillow's convert("RGB"), after alpha_composite on white where there is transparency.
Where Pillow differs from that page (16-bit grey, colour keys of 16 bits, ...) the expectation is computed here with numpy.
"""
import io
import pathlib
import struct
import sys

import numpy as np
from PIL import Image

from picture_bytes import bmp, gif_frame, pack_rows, padded, png, psd, tga, tiff

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


def repeat_bits(words, *channels):
    """Channels, as (lowest bit, bits), of 16-bit pixels; stretched to 8 bits by repeating their upper bits."""
    planes = [words.astype(int) >> low & (1 << bits) - 1 for low, bits in channels]
    return np.stack([v << 8 - bits | v >> 2 * bits - 8 for v, (_, bits) in zip(planes, channels)], 2)


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
    record("rgb555.bmp", bmp(W, H, 16, rows), repeat_bits(words[::-1], (10, 5), (5, 5), (0, 5)))
    record("rgb565.bmp", bmp(W, H, 16, rows, compression=3, masks=(0xF800, 0x07E0, 0x001F)),
           repeat_bits(words[::-1], (11, 5), (5, 6), (0, 5)))
    pixels = rng.integers(0, 256, (H, W, 4), dtype=np.uint8)
    rows = pixels.tobytes()
    record("rgb32.bmp", bmp(W, H, 32, rows))
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    want = on_white(pixels[::-1, :, 2::-1], pixels[::-1, :, 3:])
    record("rgba32.bmp", bmp(W, H, 32, rows, info=124, compression=3, masks=masks), want)
    core = struct.pack("<IHHHH", 12, W, H, 1, 24)
    record("os2.bmp", struct.pack("<2sIHHI", b"BM", 26 + len(bgr), 0, 0, 26) + core + bgr)


def record_more_bmps():
    index = rng.integers(0, 5, (H, W), dtype=np.uint8)
    index[3, 4] = 9  # beyond the palette
    rows = padded(row.tobytes() for row in index)
    palette = rng.integers(0, 256, (5, 4), dtype=np.uint8)
    want = np.where((index < 5)[..., None], palette[np.minimum(index, 4), 2::-1], 0)[::-1]
    record("palette_short.bmp", bmp(W, H, 8, rows, palette=palette.tobytes()), want)
    core = struct.pack("<IHHHH", 12, W, H, 1, 8)
    palette = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    offset = 14 + len(core) + 768
    record("os2_palette.bmp", struct.pack("<2sIHHI", b"BM", offset + len(rows), 0, 0, offset) + core + palette.tobytes() + rows,
           palette[index][::-1, :, ::-1])
    pixels = rng.integers(0, 256, (H, W, 4), dtype=np.uint8)
    masks = (0xFF, 0xFF00, 0xFF0000)
    record("rgb32_header52.bmp", bmp(W, H, 32, pixels.tobytes(), info=52, compression=3, masks=masks), pixels[::-1, :, :3])
    record("rgba32_header56.bmp", bmp(W, H, 32, pixels.tobytes(), info=56, compression=3, masks=masks + (0xFF000000,)),
           on_white(pixels[::-1, :, :3], pixels[::-1, :, 3:]))


def gif(frames, bits, size=(W, H), background=0):
    palette = rng.integers(0, 256, 3 << bits, dtype=np.uint8).tobytes()
    return b"GIF89a" + struct.pack("<HHBBB", *size, 0x80 | bits - 1, background, 0) + palette + b"".join(frames) + b"\x3B"


def record_gifs():
    index = rng.integers(0, 16, (H, W))
    record("palette4.gif", gif([gif_frame(index, 4)], 4))
    record("palette4_interlaced.gif", gif([gif_frame(index, 4, interlaced=True)], 4))
    record("palette4_key.gif", gif([gif_frame(index, 4, transparent=5)], 4, background=3))
    part = gif_frame(index[:5, :6], 4, left=3, top=4, transparent=5)
    record("part_of_canvas.gif", gif([part], 4, background=3))
    record("animated.gif", gif([gif_frame(index, 4), part], 4))
    out = io.BytesIO()
    Image.fromarray(smooth(3)).quantize(32).save(out, "GIF")
    record("long_codes.gif", out.getvalue())


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def record_webps():
    rgb, rgba = Image.fromarray(smooth(3)), Image.fromarray(smooth(4), mode="RGBA")
    record("lossy.webp", encoded(rgb, "WEBP", quality=80))
    record("lossy_alpha.webp", encoded(rgba, "WEBP", quality=80))
    record("lossless.webp", encoded(rgb.crop((0, 0, W, H)), "WEBP", lossless=True))
    record("lossless_alpha.webp", encoded(rgba.crop((0, 0, W, H)), "WEBP", lossless=True, exact=True))
    exif = Image.Exif()
    exif[0x0112] = 6
    record("exif_rotated.webp", encoded(rgb.crop((0, 0, W, H)), "WEBP", exif=exif))
    small = rgba.crop((0, 0, W, H))
    record("animated.webp", encoded(small, "WEBP", lossless=True, save_all=True, append_images=[rgb.crop((9, 9, 9 + W, 9 + H))]))


def record_tgas():
    pixels = rng.integers(0, 256, (H, W, 4), dtype=np.uint8)
    pixels[2:5] = pixels[2, 3]  # a run over the end of a row
    rgba = Image.fromarray(pixels, mode="RGBA")
    for image, name in ((rgba, "rgba32"), (rgba.convert("RGB"), "rgb24"), (rgba.convert("L"), "grey8"),
                        (rgba.convert("LA"), "grey_alpha16"), (rgba.convert("RGB").quantize(16), "palette8")):
        record(f"{name}.tga", encoded(image, "TGA"))
        record(f"{name}_runs.tga", encoded(image, "TGA", compression="tga_rle", orientation=1))
    words = rng.integers(0, 32768, (H, W), dtype=np.uint16)
    thirds = np.stack([words >> shift & 31 for shift in (10, 5, 0)], 2).astype(int) * 255 // 31
    record("rgb16.tga", tga(2, 16, words, descriptor=32), thirds)
    index = rng.integers(0, 9, (H, W), dtype=np.uint8)
    palette = rng.integers(0, 256, (9, 4), dtype=np.uint8)
    record("palette8_alpha.tga", tga(1, 8, index, palette.tobytes(), 32, 32),
           on_white(palette[index][..., 2::-1], palette[index][..., 3:]))


def record_pnms():
    rgb = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
    record("rgb8.ppm", b"P6\n# two comments\n# and\n13 11 #\n255\n" + rgb.tobytes())
    record("grey8.pgm", b"P5 13 11 255\n" + rgb[..., 0].tobytes())
    record("rgb_to_100.ppm", b"P6\n13 11\n100\n" + (rgb % 101).tobytes())
    record("grey_to_15.pgm", b"P5 13 11 15 " + (rgb[..., 0] % 16).tobytes())


def record_psds():
    planes = rng.integers(0, 256, (5, H, W), dtype=np.uint8)
    planes[..., -2] = planes[..., -1]
    rgb = planes[:3].transpose(1, 2, 0)
    record("rgb8.psd", psd(planes[:3]))
    record("rgb8_runs.psd", psd(planes[:3], runs=True))
    record("rgb8_alpha.psd", psd(planes[:4]), rgb)
    record("rgb8_five_channels_runs.psd", psd(planes, runs=True), rgb)
    deep = rng.integers(0, 65536, (3, H, W), dtype=np.uint16)
    record("rgb16.psd", psd(deep), (deep >> 8).transpose(1, 2, 0))


def record_tiffs():
    rgb = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
    image = Image.fromarray(rgb)
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        record(f"rgb8_{compression.split('_')[-1]}.tif", encoded(image, "TIFF", compression=compression))
    record("bits1.tif", encoded(Image.fromarray(rgb[..., 0] > 99), "TIFF"))
    record("bits1_group4.tif", encoded(Image.fromarray(rgb[..., 0] > 99), "TIFF", compression="group4"))
    record("grey8.tif", encoded(image.convert("L"), "TIFF"))
    record("palette8.tif", encoded(image.quantize(9), "TIFF"))
    pages = [image, Image.fromarray(rgb[::-1])]
    record("two_pages.tif", encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    base = {256: W, 257: H, 258: [8, 8, 8], 259: 1, 262: 2, 277: 3}
    for orientation in range(2, 9):
        record(f"orientation{orientation}.tif", tiff({**base, 274: orientation, 278: H}, [rgb.tobytes()]))
    record("strips_big_endian.tif", tiff({**base, 278: 4}, [rgb[y:y + 4].tobytes() for y in (0, 4, 8)], ">"))
    planes = [rgb[..., c].tobytes() for c in range(3)]
    record("planes.tif", tiff({**base, 278: H, 284: 2}, planes))
    wide = np.zeros((16, 16, 3), np.uint8)
    wide[:H, :W] = rgb
    record("tile.tif", tiff({**base, 322: 16, 323: 16}, [wide.tobytes()]))
    four = rng.integers(0, 256, (H, W, 4), dtype=np.uint8)
    base = {**base, 258: [8] * 4, 277: 4, 278: H}
    record("rgb8_alpha.tif", tiff({**base, 338: 2}, [four.tobytes()]), on_white(four[..., :3], four[..., 3:]))
    cmyk = 255 - four.astype(int)
    record("cmyk.tif", tiff({**base, 262: 5}, [four.tobytes()]), cmyk[..., :3] * cmyk[..., 3:] // 255)
    deep = rng.integers(0, 65536, (H, W, 3), dtype=np.uint16)
    record("rgb16.tif", tiff({**base, 258: [16] * 3, 277: 3}, [deep.astype("<u2").tobytes()]),
           (deep.astype(int) * 255 + 32767) // 65535)
    # A sample of no stated meaning is ignored; nothing said at all, a fourth is alpha.
    record("extra_sample.tif", tiff({**base, 338: 0}, [four.tobytes()]), four[..., :3])
    record("four_samples.tif", tiff(base, [four.tobytes()]))
    record("grey8_alpha.tif", tiff({**base, 258: [8] * 2, 262: 1, 277: 2, 338: 2}, [four[..., :2].tobytes()]))
    record("grey8_alpha_planes.tif", tiff({**base, 258: [8] * 2, 262: 1, 277: 2, 284: 2, 338: 2},
                                          [four[..., c].tobytes() for c in range(2)]),
           on_white(np.repeat(four[..., :1], 3, 2), four[..., 1:2]))
    five = np.concatenate([four, four[..., :1]], 2)
    record("two_extra_samples.tif", tiff({**base, 258: [8] * 5, 277: 5, 338: [0, 0]}, [five.tobytes()]), five[..., :3])


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    record_pngs()
    record_jpegs()
    record_bmps()
    record_more_bmps()
    record_gifs()
    record_webps()
    record_tgas()
    record_pnms()
    record_psds()
    record_tiffs()
    with open(OUT / "expected.txt", "w") as f:
        for name, (width, height, digest) in sorted(expected.items()):
            f.write(f"{name} {width} {height} {digest:016x}\n")
    print(f"{len(expected)} pictures in {OUT}", file=sys.stderr)
