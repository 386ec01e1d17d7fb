#!/usr/bin/env bash
# Installs the Debian packages that are missing. Usage: install_packages.sh GROUP...
#   build       to build and use cuclip: compiler, CMake and the libraries that it links
#   test        for tests/run.sh, besides build: Catch2, clang, clang-format, ccache, what tests link
#   browser     the browser in which a test looks at the pages that cuclip writes; skipped where there is none
#   clean       for scripts/clean_machine.sh: what makes a minimal Debian
#   bench       for bench/, besides build
#   mpi         to train with several processes (mpirun), besides build
# Does nothing, and needs no root, when everything is there already.
set -euo pipefail

# oneDNN's CMake package looks for OpenCL, which libdnnl-dev only recommends.
declare -A groups=(
  [build]="g++ cmake ninja-build pkg-config libcli11-dev nlohmann-json3-dev libfmt-dev libarchive-dev libjpeg-dev
           libpng-dev libwebp-dev libstb-dev libtiff-dev zlib1g-dev libhwy-dev libdnnl-dev ocl-icd-opencl-dev
           libutf8proc-dev libpugixml-dev libxxhash-dev libtomlplusplus-dev libfreetype-dev liblbfgs-dev"
  [test]="catch2 valgrind clang clang-format libclang-rt-dev ccache unzip python3 python3-pip libzstd-dev liblz4-dev
          libbenchmark-dev libopenmpi-dev openmpi-bin"
  [browser]="chromium"
  [clean]="debootstrap git"
  [bench]="libbenchmark-dev"
  [mpi]="libopenmpi-dev openmpi-bin"
)

if (($# == 0)); then echo "install_packages.sh: no group given; there are: ${!groups[*]} (see --help)" >&2; exit 2; fi
wanted=()
for group in "$@"; do
  if [[ $group == -h || $group == --help ]]; then sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0; fi
  [[ -v "groups[$group]" ]] || { echo "install_packages.sh: no group '$group'; there are: ${!groups[*]}" >&2; exit 2; }
  read -r -d '' -a names <<<"${groups[$group]}" || true
  wanted+=("${names[@]}")
done
command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || {
  echo "install_packages.sh: not a Debian system: nothing was installed. You need the equivalents of" \
       "${wanted[*]}" >&2
  exit 0  # they may be there: CMake names those that are not
}

missing=()
for package in "${wanted[@]}"; do
  # ${db:Status-Status} is "installed" for a package that is really there.
  [[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" == installed ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then exit 0; fi

sudo=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || {
    echo "install_packages.sh: missing packages must be installed by root, and sudo is not available; as root, run" \
         "$(realpath "$0") $*, or apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  }
  sudo=(sudo)
fi
echo "Installing Debian packages: ${missing[*]}"
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
