"""Writes pictures in the formats and kinds that Pillow does not write (needs numpy). For record_pictures.py."""
import struct
import zlib

import numpy as np


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


def bmp(width, height, bits, rows, info=40, compression=0, masks=(), palette=b""):
    extra = struct.pack(f"<{len(masks)}I", *masks)
    header = struct.pack("<IiiHHIIiiII", info, width, height, 1, bits, compression, 0, 2835, 2835, len(palette) // 4, 0)
    header += extra
    header += bytes(max(0, info - len(header)))
    offset = 14 + len(header) + len(palette)
    return struct.pack("<2sIHHI", b"BM", offset + len(rows), 0, 0, offset) + header + palette + rows


def padded(rows):
    return b"".join(row + bytes(-len(row) % 4) for row in rows)


def gif_frame(index, bits, left=0, top=0, transparent=None, interlaced=False):
    """A frame whose codes never grow longer: the table of strings is cleared before it does."""
    height, width = index.shape
    if interlaced:
        index = np.concatenate([index[0::8], index[4::8], index[2::4], index[1::2]])
    clear, codes = 1 << bits, []
    for i, value in enumerate(index.ravel()):
        codes += ([clear] if i % (clear - 2) == 0 else []) + [int(value)]
    number = sum(code << i * (bits + 1) for i, code in enumerate(codes + [clear + 1]))
    data = number.to_bytes((len(codes) + 1) * (bits + 1) // 8 + 1, "little")
    blocks = b"".join(bytes([len(data[i:i + 255])]) + data[i:i + 255] for i in range(0, len(data), 255)) + b"\0"
    control = b"" if transparent is None else struct.pack("<BBBBHBB", 0x21, 0xF9, 4, 1, 0, transparent, 0)
    return control + struct.pack("<BHHHHBB", 0x2C, left, top, width, height, 64 * interlaced, bits) + blocks


def tga(kind, bits, samples, palette=b"", palette_bits=0, descriptor=0):
    """samples [h, w], of 1 or 2 bytes."""
    height, width = samples.shape
    colors = len(palette) * 8 // palette_bits if palette else 0
    return struct.pack("<BBBHHBHHHHBB", 3, bool(palette), kind, 0, colors, palette_bits, 0, 0,
                       width, height, bits, descriptor) + b"id." + palette + samples.astype(f"<u{samples.itemsize}").tobytes()


def psd(planes, runs=False):
    """planes [channels, h, w]; with `runs`, of which the last two bytes of each row must be the same."""
    channels, height, width = planes.shape
    rows = [row.astype(f">u{planes.itemsize}").tobytes() for plane in planes for row in plane]
    if runs:  # a run of the last byte, the others as they are
        rows = [struct.pack("B", len(row) - 3) + row[:-2] + b"\xFF" + row[-1:] for row in rows]
    table = b"".join(struct.pack(">H", len(row)) for row in rows) if runs else b""
    sections = struct.pack(">II4sHHII", 0, 12, b"8BIM", 1005, 0, 0, 0)
    return b"8BPS" + struct.pack(">HxxxxxxHIIHH", 1, channels, height, width, 8 * planes.itemsize, 3) + sections + \
        struct.pack(">H", runs) + table + b"".join(rows)


def tiff(tags, blocks, order="<"):
    """A page of the tags {number: value or list} around blocks of pixels; where they are is tag 273, or 324 for tiles."""
    at, offsets, body = 8, [], b""
    for block in blocks:
        offsets.append(at + len(body))
        body += block
    body += bytes(len(body) % 2)
    tiled = 322 in tags
    tags = {**tags, 324 if tiled else 273: offsets, 325 if tiled else 279: [len(block) for block in blocks]}
    table, extra = b"", b""
    end = at + len(body) + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):
        values = values if isinstance(values, list) else [values]
        data = struct.pack(f"{order}{len(values)}I", *values)
        if len(data) > 4:
            extra, data = extra + data, struct.pack(f"{order}I", end + len(extra))
        table += struct.pack(f"{order}HHI", tag, 4, len(values)) + data
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, at + len(body))
    return head + body + struct.pack(f"{order}H", len(tags)) + table + bytes(4) + extra
