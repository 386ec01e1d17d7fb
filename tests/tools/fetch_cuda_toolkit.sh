#!/usr/bin/env bash
# Fetches what the emulated tests need of the CUDA toolkit (nvcc, headers, libdevice) from PyPI's wheels to
# DEST, which then is a toolkit's folder: DEST/bin/nvcc. Downloads about 500 MB and keeps 400 MB. Does nothing
# when DEST has them already. Usage: fetch_cuda_toolkit.sh DEST
set -euo pipefail

version=13.0
wheels="nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-crt nvidia-cuda-cccl nvidia-cuda-runtime nvidia-cublas
nvidia-cuda-profiler-api nvidia-nvtx"
holds="$version: $wheels"

if [[ $# -ne 1 ]]; then
  echo "usage: $0 DEST, for example build/cuda-toolkit" >&2
  exit 2
fi
dest=$1
if [[ "$(cat "$dest/version" 2>/dev/null)" == "$holds" ]]; then
  exit 0
fi

parent=$(dirname "$dest")
mkdir -p "$parent"
temporary=$(mktemp -d -p "$parent")
trap 'rm -rf "$temporary"' EXIT
for wheel in $wheels; do
  if ! python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary :all: \
      --dest "$temporary" "$wheel==$version.*" >"$temporary/log" 2>&1; then
    echo "$0: cannot fetch the wheel $wheel $version:" >&2
    tail -n 3 "$temporary/log" >&2
    exit 1
  fi
  # Of cuBLAS only the headers: the tests link the emulator's stand-ins.
  members='nvidia/*'
  if [[ $wheel == nvidia-cublas ]]; then members='nvidia/*/include/*'; fi
  unzip -q -o "$temporary"/*.whl "$members" -d "$temporary/unpacked"
  rm "$temporary"/*.whl
done

root=$temporary/unpacked/nvidia/cu${version%.*}
chmod +x "$root"/bin/* "$root"/nvvm/bin/*
# The names that nvcc and linkers look for.
ln -s lib "$root/lib64"
ln -s libcudart.so.${version%.*} "$root/lib/libcudart.so"
echo "$holds" >"$root/version"
rm -rf "$dest"
mv "$root" "$dest"
