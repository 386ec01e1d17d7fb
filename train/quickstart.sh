#!/usr/bin/env bash
# From a clean machine to a CLIP model of your own: installs Debian packages, builds, fetches and prepares
# thousands of pictures with captions, trains, evaluates on held-out pairs, and searches the pictures with
# words.
# Works from any folder and asks no questions; run again, it reuses what is there.
#
#   train/quickstart.sh                    results in runs/quickstart
#   train/quickstart.sh --max-steps N      stops training after N steps, evaluates and searches one shard: a
#                                          trial of everything, with results in runs/quickstart-N-steps
#   CUCLIP_RUNS=DIR train/quickstart.sh    results below DIR instead of runs
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

run="${CUCLIP_RUNS:-runs}/quickstart"
shortened=()
case "${1:-}" in
  "") ;;
  -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
  --max-steps)
    [[ "${2:-}" =~ ^[1-9][0-9]*$ ]] || {
      echo "train/quickstart.sh: --max-steps takes a number of steps, got '${2:-}' (see --help)" >&2
      exit 2
    }
    shortened=(--max-steps "$2")
    run="$run-$2-steps"
    shift 2 ;;
esac
if (($# > 0)); then echo "train/quickstart.sh: unknown argument '$1' (see --help)" >&2; exit 2; fi

data="$run/data"
pictures="${CUCLIP_RUNS:-runs}/pictures"
model="$run/model"
cuclip=build/bin/cuclip
say() { printf '\n== %s\n' "$*"; }

say "1/6  Debian packages: compiler and libraries; picture collections, which are only unpacked (about 440 MB)"
scripts/install_packages.sh build
scripts/fetch_pictures.sh "$pictures"

say "2/6  Build (a few minutes on 2 cores the first time)"
mkdir -p build
cmake --preset cpu >build/cpu.configure.log || { cat build/cpu.configure.log; exit 1; }
cmake --build --preset cpu --target cuclip
ln -sfn cpu/bin build/bin

say "3/6  Data: drawings, icons and photographs with captions"
if [[ ! -e "$data/statistics.json" ]] || grep -q '"unfinished"' "$data/statistics.json"; then
  "$cuclip" data prepare --from "collections:$pictures" --held-out 500 --out "$data"
else
  echo "already in $data"
fi
shards=("$data"/train-*.tar)
train_data="$data/train-{000..$(printf %03d $((${#shards[@]} - 1)))}.tar"
held_out="$data/held-out-000.tar"
seen="$train_data"  # what is evaluated and searched
if ((${#shortened[@]} > 0)); then seen="${shards[0]}"; fi

if ((${#shortened[@]} > 0)); then say "4/6  Training, ${shortened[1]} steps"; else say "4/6  Training (7 minutes on 2 fast cores, some 40 on slow ones without bf16 or AVX-512)"; fi
# Products in bf16 are twice as fast on AMX and on AMD's processors. Intel's without AMX have them too, but no
# faster than in f32 (docs/performance.md); elsewhere they would run in f32 all the same.
precision=fp32
if grep -qw amx_bf16 /proc/cpuinfo || { grep -qw avx512_bf16 /proc/cpuinfo && grep -q AuthenticAMD /proc/cpuinfo; }; then
  precision=bf16
fi
if [[ -e "$model/finished" ]]; then
  echo "already in $model; remove that folder to train again"
else
  "$cuclip" train --config train/quickstart.toml --precision "$precision" --train-data "$train_data" \
    --val-data "$held_out" --out "$model" --resume latest "${shortened[@]}"
  touch "$model/finished"
fi

say "5/6  Evaluation: pairs that were never trained on, searches with single words"
"$cuclip" report "$model" --train-data "$seen" --val-data "$held_out" --out "$run"

say "6/6  Search all pictures with words"
"$cuclip" index "$seen::$held_out" --model "$model" --out "$run/pictures.cuclip-index"
for words in "a bicycle" "a bird" "a flower" "a musical instrument" "a red bicycle"; do
  found="$run/search-${words// /-}"
  "$cuclip" search "$run/pictures.cuclip-index" "$words" --model "$model" --top 12 \
    --contact-sheet "$found.png" --html "$found.html" >"$found.txt"
  echo "$found.png"
done

say "Done"
if ((${#shortened[@]} > 0)); then echo "Training was cut to ${shortened[1]} steps: what the searches found means little."; fi
cat <<EOF
$run/report.json      the figures
$run/loss.svg         the loss curve
$run/matrix.svg       similarities of held-out pictures and captions
$run/search-*.png     what the searches found; search-*.html is the same as a page
$model                the model: try  $cuclip classify PICTURE --labels cat,dog,car --model $model
EOF
