#!/usr/bin/env bash
# Runs every fuzzer of a build for a few seconds each, one after the other, starting from its seeds and what
# earlier runs found. Usage: run.sh BUILD_FOLDER [SECONDS]; ends with 1 when an input crashes, hangs or leaks,
# and says where it is.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=$(cd "${1:?usage: run.sh BUILD_FOLDER [SECONDS]}" && pwd)/tests/fuzz
seconds=${2:-20}

failed=0
for source in "$here"/*_fuzz.cpp "$here"/../emulator/fuzz/*_fuzz.cpp; do
  program=$(basename "$source" .cpp)
  found=$programs/found/${program%_fuzz}
  mkdir -p "$found"
  seeds=$(dirname "$source")/corpus/${program%_fuzz}
  log=$programs/$program.log
  if "$programs/$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$found/" \
    "$found" "$seeds" >"$log" 2>&1; then
    echo "$program: $(tail -n 1 "$log")"
  else
    failed=1
    echo "$program: FAILED; the input is in $found" >&2
    tail -n 40 "$log" >&2
  fi
done
exit "$failed"
