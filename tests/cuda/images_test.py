#!/usr/bin/env python3
"""images_test.py NVCC FILE...: every GPU from sm_80 on that NVCC can compile for can run an image of each fatbin in FILE
(an object file or a static library).

Machine code runs on GPUs of its major version and the same or a later minor one, but on those of Jetson and other
systems on a chip only if it was made for them. PTX runs on whatever is as new or newer.
"""
import re
import struct
import subprocess
import sys

OLDEST = 80
SYSTEMS_ON_CHIP = {87, 88, 101, 110}
MAGIC = struct.pack("<I", 0xBA55ED50)
PTX, MACHINE_CODE = 1, 2


def fatbins(data):
    """For each fatbin, its images as (kind, architecture)."""
    for match in re.finditer(re.escape(MAGIC), data):
        header, size = struct.unpack_from("<HQ", data, match.start() + 6)
        at = match.start() + header
        end, images = at + size, set()
        while at < end:
            kind, = struct.unpack_from("<H", data, at)
            entry, payload = struct.unpack_from("<IQ", data, at + 4)
            architecture, = struct.unpack_from("<I", data, at + 28)
            images.add((kind, architecture))
            at += entry + payload
        yield images


def runs(image, device):
    kind, architecture = image
    if kind == PTX:
        return architecture <= device
    if device in SYSTEMS_ON_CHIP or architecture in SYSTEMS_ON_CHIP:
        return architecture == device
    return kind == MACHINE_CODE and architecture // 10 == device // 10 and architecture <= device


def main():
    nvcc, *files = sys.argv[1:]
    listed = subprocess.run([nvcc, "--list-gpu-code"], check=True, capture_output=True, text=True).stdout
    devices = [device for device in map(int, re.findall(r"^sm_(\d+)$", listed, re.MULTILINE)) if device >= OLDEST]
    missing = set()
    for file in files:
        with open(file, "rb") as stream:
            found = list(fatbins(stream.read()))
        print(f"{file}: {len(found)} fatbins, {sorted(set().union(*found))}")
        if not found:
            sys.exit(f"{file}: no fatbin")
        missing |= {f"{file}: sm_{device} can run none of {sorted(images)}"
                    for images in found for device in devices if not any(runs(image, device) for image in images)}
    if len(devices) < 2 or missing:
        sys.exit("\n".join(sorted(missing)) or f"{nvcc} knows {devices} only")
    print("images for", *(f"sm_{device}" for device in devices))


if __name__ == "__main__":
    main()
