#!/usr/bin/env bash
# Fetches CLIP's merges file from the PyPI wheel of open_clip_torch (or of clip-anytorch) to DEST, for the
# tests. Does nothing when DEST is there already. Usage: fetch_clip_merges.sh DEST
set -euo pipefail

file=bpe_simple_vocab_16e6.txt.gz
sha256=924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a

if [[ $# -ne 1 ]]; then
  echo "usage: $0 DEST, for example build/test-data/$file" >&2
  exit 2
fi
dest=$1
is_right() { [[ -f $1 ]] && echo "$sha256  $1" | sha256sum --check --status; }
if is_right "$dest"; then
  exit 0
fi

temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
for wheel in open_clip_torch/open_clip clip-anytorch/clip; do
  package=${wheel%/*}
  member=${wheel#*/}/$file
  rm -f "$temporary"/*.whl
  if python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
      --dest "$temporary" "$package" >"$temporary/log" 2>&1 &&
      python3 -m zipfile -e "$temporary"/*.whl "$temporary/unpacked" >>"$temporary/log" 2>&1 &&
      is_right "$temporary/unpacked/$member"; then
    mkdir -p "$(dirname "$dest")"
    cp "$temporary/unpacked/$member" "$dest.part"
    mv "$dest.part" "$dest"
    exit 0
  fi
  echo "$0: no $file from the wheel $package:" >&2
  tail -n 3 "$temporary/log" >&2
done
echo "$0: cannot fetch CLIP's merges file; the tests that need it will be skipped" >&2
exit 1
