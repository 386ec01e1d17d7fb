#!/usr/bin/env bash
# Whether every tracked C++ and CUDA file is as clang-format 14 (Debian 12's) lays it out; other versions
# differ. Exits with 4, "skipped" for ctest, where that cannot be told.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

skip() { echo "skipped: $*"; exit 4; }

formatter=
for candidate in clang-format-14 clang-format; do
  if [[ "$("$candidate" --version 2>/dev/null || true)" == *"version 14."* ]]; then formatter=$candidate; break; fi
done
[[ -n $formatter ]] || skip "format: clang-format 14 is not installed (scripts/install_packages.sh test)"
git ls-files --error-unmatch .clang-format >/dev/null 2>&1 || skip "format: not a git checkout, or git is missing"

if git ls-files -z '*.cpp' '*.h' '*.cu' '*.cuh' | xargs -0 -n 100 -P 2 "$formatter" --dry-run --Werror; then exit 0; fi
echo "format: the files named above are not as .clang-format says: run $formatter -i on them" >&2
exit 1
