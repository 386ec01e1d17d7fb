#!/usr/bin/env bash
# Installs the Debian packages that are missing. Usage: install_packages.sh GROUP...
#   build       compiler, CMake and the libraries that cuclip links
#   data        the two picture collections that the quickstart trains on
#   test        what the tests need besides
#   bench       what the benchmarks need besides
# Does nothing, and needs no root, when everything is there already.
set -euo pipefail

# oneDNN's CMake package looks for OpenCL, which libdnnl-dev only recommends.
declare -A groups=(
  [build]="g++ cmake ninja-build ccache pkg-config libcli11-dev nlohmann-json3-dev libfmt-dev libarchive-dev
           libjpeg62-turbo-dev zlib1g-dev libhwy-dev libdnnl-dev ocl-icd-opencl-dev libutf8proc-dev libpugixml-dev
           libxxhash-dev"
  [data]="openclipart-svg openclipart-png tuxpaint-stamps-default"
  [test]="catch2 librapidcheck-dev clang libclang-rt-14-dev unzip python3 python3-pip libzstd-dev
          liblz4-dev"
  [bench]="libbenchmark-dev"
)

wanted=()
for group in "$@"; do
  [[ -v "groups[$group]" ]] || { echo "install_packages.sh: no group '$group'; there are: ${!groups[*]}" >&2; exit 2; }
  read -r -d '' -a names <<<"${groups[$group]}" || true
  wanted+=("${names[@]}")
done

missing=()
for package in "${wanted[@]}"; do
  # ${db:Status-Status} is "installed" for a package that is really there.
  [[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" == installed ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then exit 0; fi

echo "Installing Debian packages: ${missing[*]}"
sudo=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || { echo "install_packages.sh: run as root, or install: ${missing[*]}" >&2; exit 1; }
  sudo=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
