#!/usr/bin/env bash
# Checks, measures or trains cuclip on this machine's GPU. Needs bash and the driver; what else there is
# (python3 with PyTorch, cuDNN, cuBLASLt, compute-sanitizer, ncu) takes part, and what is not is named.
#
#   OUT=FOLDER ./gpu_check.sh check   [PART...]    is everything right?  tests training memcheck
#   OUT=FOLDER ./gpu_check.sh measure [PART...]    how fast is it?       kernels steps pytorch counters
#   OUT=FOLDER ./gpu_check.sh train                five minutes of training, and what was learned
#
# A call takes less than nine minutes, which its parts share; fewer parts have more time each. No part stops
# the next; each writes PART.json into FOLDER ("results" without OUT) when it is done. A summary of at most 40
# lines comes last, and is kept as FOLDER/summary.txt. Exit code 0: nothing failed, 1: something did, 2: wrong
# arguments, 4: nothing could be verified, and the summary says why.
set -uo pipefail
LC_ALL=C

# Tests of this script on the emulator take reduced cases, and need patience.
most_seconds=500 patience=1
if [[ -n ${CUCLIP_TEST_REDUCED-} ]]; then most_seconds=3000 patience=10; fi
declare -A parts=([check]="tests training memcheck" [measure]="kernels steps pytorch counters" [train]="shapes")
declare -A shares=([tests]=44 [training]=14 [memcheck]=42 [kernels]=45 [steps]=10 [pytorch]=25 [counters]=20 [shapes]=100)

refuse() { echo "gpu_check.sh: $1 (see --help)" >&2; exit 2; }
case ${1-} in
  -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
  check | measure | train) ;;
  *) refuse "expected check, measure or train, got '${1-}'" ;;
esac
what=$1
shift
read -r -a chosen <<<"${*:-${parts[$what]}}"
total=0
for part in "${chosen[@]}"; do
  [[ " ${parts[$what]} " == *" $part "* ]] || refuse "$what has the parts ${parts[$what]}; there is no '$part'"
  total=$((total + shares[$part]))
done
OUT=${OUT:-results}
mkdir -p "$OUT" || refuse "cannot make the folder $OUT"
OUT=$(cd "$OUT" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2
archive=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
jobs=$(nproc)

notes=() failures=0 verified=0
# note PART TEXT: a line of the summary.
note() { notes+=("$(printf '%-9s %s' "$1" "$2")"); }
passed() { verified=$((verified + 1)); }
failed() { failures=$((failures + 1)); }

# json_string TEXT: as JSON writes it.
json_string() {
  local text=$1
  text=${text//\\/\\\\} text=${text//\"/\\\"} text=${text//$'\n'/\\n}
  printf '"%s"' "${text//[[:cntrl:]]/ }"
}
# json_list FILE...: the files' contents as an array.
json_list() {
  local file separator=
  printf '['
  for file; do
    printf '%s\n%s' "$separator" "$(<"$file")"
    separator=,
  done
  printf ']'
}
# skip PART REASON: nothing is known of it, and the report says why.
skip() {
  note "$1" "skipped: $2"
  printf '{"result": "skipped", "reason": %s}\n' "$(json_string "$2")" >"$OUT/$1.json"
}
last_line() { grep -v '^[[:space:]]*$' "$1" | tail -n 1; }

# limited SECONDS COMMAND...: for so long at most, and not beyond the end of the part.
limited() {
  local most=$((patience * $1)) left=$((deadline - SECONDS))
  shift
  if ((left < most)); then most=$left; fi
  if ((most <= 0)); then return 124; fi
  timeout --kill-after=5 "$most" "$@"
}
stopped() { [[ $1 == 124 || $1 == 137 ]]; }

# find_tool NAME: where one of NVIDIA's tools is.
find_tool() {
  command -v "$1" || compgen -G "/usr/local/cuda*/bin/$1" || compgen -G "/opt/nvidia/*/$1" || compgen -G "/opt/nvidia/*/*/$1"
}

# cuBLASLt and cuDNN, wherever they are installed; our own libraries are found by the programs themselves.
find_libraries() {
  local top folder found=()
  for top in $(python3 -c 'import sys; print(*(f"{p}/nvidia" for p in sys.path if p))' 2>/dev/null) /usr/local/cuda*; do
    for folder in "$top"/lib64 "$top"/lib "$top"/*/lib; do
      if [[ -e $folder/libcublasLt.so.13 || -e $folder/libcudnn.so.9 ]]; then found+=(":$folder"); fi
    done
  done
  LD_LIBRARY_PATH=${LD_LIBRARY_PATH-}$(printf '%s' "${found[@]-}")
  export LD_LIBRARY_PATH=${LD_LIBRARY_PATH#:}
}

source ./parts.sh
find_libraries
export CUCLIP_TEST_DEVICE=cuda CUCLIP_TEST_DATA=$archive/tests/data CUCLIP_EXECUTABLE=$archive/bin/cuclip
begin=$SECONDS deadline=$((SECONDS + 60 * patience))
probe
for part in "${chosen[@]}"; do
  echo "== $part" >&2
  deadline=$((SECONDS + (most_seconds - 60 * patience) * shares[$part] / total))
  if [[ -n $gpu_problem ]]; then
    skip "$part" "$gpu_problem"
  else
    "part_$part"
  fi
done

if ((failures > 0)); then
  code=1 verdict="FAILED: $failures of $((failures + verified)) verifications"
elif ((verified > 0)); then
  code=0 verdict="nothing failed; verifications that passed: $verified"
else
  code=4 verdict="NOTHING WAS VERIFIED: see above for the reasons"
fi
{
  echo "cuclip $what, archive of commit $(<commit), $((SECONDS - begin)) s"
  printf '%s\n' "${notes[@]}" | head -n 38
  echo "$verdict; details in $OUT"
} | cut -c 1-160 | tee "$OUT/summary.txt"
exit $code
