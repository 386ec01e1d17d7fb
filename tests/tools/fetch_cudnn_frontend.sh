#!/usr/bin/env bash
# Fetches the headers of cudnn-frontend, through which bench/cuda asks cuDNN, from its PyPI wheel (12 MB) to
# build/tools/cudnn-frontend/include. Does nothing where they are. cuDNN itself (cudnn.h, libcudnn.so.9) is
# NVIDIA's, and is installed or not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=1.32.0
# Of the wheel for CPython 3.11; the headers do not depend on Python.
sha256=c6006556017a4d1c914c52a556c71b1267f2d6a0500f742e7b4edef539878df0
dest=build/tools/cudnn-frontend

if [[ "$(cat "$dest/version" 2>/dev/null)" == "$version" ]]; then
  exit 0
fi
mkdir -p build/tools
temporary=$(mktemp -d -p build/tools)
trap 'rm -rf "$temporary"' EXIT
if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --implementation cp \
    --python-version 3.11 --platform manylinux_2_28_x86_64 --dest "$temporary" \
    "nvidia-cudnn-frontend==$version" >"$temporary/log" 2>&1; then
  echo "$0: cannot fetch the wheel nvidia-cudnn-frontend $version; bench/cuda is built without cuDNN:" >&2
  tail -n 3 "$temporary/log" >&2
  exit 1
fi
found=$(sha256sum "$temporary"/*.whl | cut -d ' ' -f 1)
if [[ $found != "$sha256" ]]; then
  echo "$0: the wheel nvidia-cudnn-frontend $version has SHA-256 $found, expected $sha256: it is not used" >&2
  exit 1
fi
python3 -m zipfile -e "$temporary"/*.whl "$temporary/unpacked"
mkdir "$temporary/made"
mv "$temporary/unpacked/include" "$temporary/made/"
echo "$version" >"$temporary/made/version"
rm -rf "$dest"
mv "$temporary/made" "$dest"
