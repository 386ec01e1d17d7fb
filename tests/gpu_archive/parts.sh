# The parts of gpu_check.sh, which reads this file.

# What there is to work with. Sets gpu_problem, torch_problem, sanitizer_problem and ncu_problem, which are
# empty where nothing stands in the way.
probe() {
  local bench=$work/bench.json code=0 smi
  limited 60 bench/cuda_bench --benchmark_filter='^layer_norm_forward/.*/bf16/cuclip' --benchmark_out="$bench" \
    >"$work/probe.log" 2>&1 || code=$?
  gpu_problem=
  if [[ ! -s $bench ]]; then gpu_problem=$(last_line "$work/probe.log"); fi
  gpu_problem=${gpu_problem#cuda_bench: no GPU can be used: }
  if stopped $code; then gpu_problem="the GPU did not answer within 60 s"; fi
  if [[ -n $gpu_problem ]]; then
    note probe "no GPU: $gpu_problem"
  elif ((code == 0)); then
    passed
    note probe "$(context card), driver $(context driver)"
    note "" "a large copy $(tera copy_bytes_per_second) TB/s, a large product in bf16 $(tera product_flop_per_second_bf16) TFLOP/s"
    note "" "clocks after it $(context clocks_after_large_products); cuBLASLt: $(context cublaslt); cuDNN: $(context cudnn)"
  else
    failed
    note probe "FAILED: $(last_line "$work/probe.log")"
  fi
  smi=$(nvidia-smi --query-gpu=name,driver_version,memory.total,memory.used,clocks.sm,clocks.mem,temperature.gpu,power.draw \
    --format=csv,noheader 2>&1 | head -n 1)
  local torch
  torch_problem=
  torch=$(limited 60 python3 -c 'import torch; print(torch.__version__)' 2>&1) ||
    torch_problem="python3 has no PyTorch ($(tail -n 1 <<<"$torch"))"
  try_tools
  note "" "PyTorch: ${torch_problem:-$torch}"
  note "" "compute-sanitizer: ${sanitizer_problem:-works}; ncu: ${ncu_problem:-works}"
  cat >"$OUT/probe.json" <<JSON
{"gpu_problem": $(json_string "$gpu_problem"), "nvidia_smi": $(json_string "$smi"), "torch": $(json_string "${torch_problem:-$torch}"),
 "compute_sanitizer": $(json_string "${sanitizer_problem:-works}"), "ncu": $(json_string "${ncu_problem:-works}"),
 "libraries": $(json_string "${LD_LIBRARY_PATH-}"), "archive": $(json_string "$(<commit)"),
 "cuda_bench": $(if [[ -s $bench ]]; then cat "$bench"; else echo null; fi)}
JSON
}
# context NAME: from what cuda_bench says of the machine.
context() { sed -n "s/^ *\"$1\": \"\(.*\)\",\?$/\1/p" "$work/bench.json" | head -n 1; }

tera() { awk -v value="$(context "$1")" 'BEGIN { printf "%.4g", value / 1e12 }'; }

try_tools() {
  local log=$work/tool.log
  sanitizer_problem=$gpu_problem ncu_problem=$gpu_problem
  if [[ -n $gpu_problem ]]; then return; fi
  if ! sanitizer=$(find_tool compute-sanitizer | head -n 1) || [[ -z $sanitizer ]]; then
    sanitizer_problem="compute-sanitizer was not found"
  elif ! limited 30 "$sanitizer" --error-exitcode 9 tests/cuda_counts adamw >"$log" 2>&1; then
    sanitizer_problem="$sanitizer does not work here: $(last_line "$log")"
  fi
  if ! ncu=$(find_tool ncu | head -n 1) || [[ -z $ncu ]]; then
    ncu_problem="ncu was not found"
  elif ! limited 30 "$ncu" --clock-control none --csv --metrics sm__inst_executed.sum tests/cuda_counts adamw >"$log" 2>&1 ||
    ! grep -q sm__inst_executed.sum "$log"; then
    ncu_problem="$ncu does not work here: $(grep -m 1 ERROR "$log" || last_line "$log")"
  fi
}

# run_test FOLDER SECONDS PROGRAM COMMAND...: one test program, if need be by way of a command.
run_test() {
  local folder=$1 most=$2 program=$3 start=$SECONDS code=0 result said= line
  local name=${program##*/}
  shift 3
  limited "$most" "$@" "$program" >"$folder/$name.log" 2>&1 || code=$?
  case $code in
    0) result=passed ;;
    4) result=skipped ;;  # all of its cases
    124 | 137) result=stopped ;;
    *) result=failed ;;
  esac
  if [[ $result == failed || $result == stopped ]]; then said=$(tail -n 30 "$folder/$name.log"); fi
  printf '{"name": "%s", "result": "%s", "exit_code": %d, "seconds": %d, "skipped": %s, "said": %s}' "$name" $result $code \
    $((SECONDS - start)) "$(json_string "$(grep '^skipped: ' "$folder/$name.log")")" "$(json_string "$said")" >"$folder/$name.json"
}
# run_tests PART SECONDS COMMAND...: all test programs, as many at a time as there are processors.
run_tests() {
  local part=$1 most=$2 folder=$work/$1 program start=$SECONDS result names said
  shift 2
  mkdir "$folder"
  for program in tests/*_test; do
    while (($(jobs -rp | wc -l) >= jobs)); do wait -n; done
    run_test "$folder" "$most" "$program" "$@" &
  done
  wait
  json_list "$folder"/*.json >"$OUT/$part.json"
  said=
  for result in passed skipped stopped failed; do
    names=$(grep -l "\"result\": \"$result\"" "$folder"/*.json | sed 's|.*/||; s|\.json$||')
    if [[ -z $names ]]; then continue; fi
    said+=", $(wc -l <<<"$names") $result"
    case $result in
      passed) verified=$((verified + $(wc -l <<<"$names"))) ;;
      failed | stopped) said+=" (${names//$'\n'/, })" ;;
    esac
    if [[ $result == failed ]]; then failures=$((failures + $(wc -l <<<"$names"))); fi
  done
  note "$part" "$(($(ls tests/*_test | wc -l))) programs: ${said#, }; $((SECONDS - start)) s"
  # Why cases were skipped, most often first.
  while read -r line; do note "" "$line"; done < <(sed -n 's/^skipped: [0-9]* of [0-9]* cases: \(.*\)/\1/p' "$folder"/*.log |
    cut -c 1-110 | sort | uniq -c | sort -rn | head -n 5 | sed 's/^ *\([0-9]*\) /cases skipped in \1 programs: /')
}
part_tests() {
  run_tests tests 200
  local stuck
  stuck=$(grep -c '"result": "stopped"' "$OUT/tests.json")  # on a GPU they take seconds
  failures=$((failures + stuck))
}

part_training() {
  local code=0
  limited 900 tests/training_steps recorded/training.json >"$OUT/training.json" 2>"$work/training.log" || code=$?
  while read -r line; do note training "$line"; done <"$work/training.log"
  if stopped $code; then
    skip training "stopped at the time limit"
  elif ((code > 1)); then
    failed
  fi
  verified=$((verified + $(grep -c ': passed: ' "$work/training.log"))) failures=$((failures + $(grep -c ': FAILED: ' "$work/training.log")))
}

part_memcheck() {
  if [[ -n $sanitizer_problem ]]; then skip memcheck "$sanitizer_problem"; return; fi
  CUCLIP_TEST_REDUCED=1 run_tests memcheck 90 "$sanitizer" --tool memcheck --error-exitcode 9
}

part_kernels() {
  local code=0
  limited 900 bench/cuda_bench --time_limit=$((deadline - SECONDS - 15)) --benchmark_out="$OUT/kernels.json" \
    >"$work/kernels.log" 2>&1 || code=$?
  if stopped $code; then
    note kernels "stopped at the time limit: kernels.json is not whole"
  elif ((code == 0)); then
    passed
  else
    failed
    note kernels "FAILED: $(last_line "$work/kernels.log")"
  fi
  if ! python3 bench/report "$OUT/kernels.json" >"$OUT/kernels.md" 2>"$work/report.log" && [[ ! -s $OUT/kernels.md ]]; then
    note kernels "no tables: $(last_line "$work/report.log"); elsewhere: bench/report kernels.json"
    return
  fi
  note kernels "cuclip is faster by (median of the shapes; all in kernels.md)"
  while read -r line; do note "" "$line"; done < <(sed -n '/^## Overview/,/^## /p' "$OUT/kernels.md" | grep -E '^\| (operation|.* bf16 )')
}

part_steps() {
  local model pairs length log files=() code steps=10 cases=("ViT-B-32 256 77" "ViT-B-16 128 77" "cuclip-small 1024 32")
  if [[ -n ${CUCLIP_TEST_REDUCED-} ]]; then cases=("cuclip-tiny 2 16") steps=1; fi
  for case in "${cases[@]}"; do
    read -r model pairs length <<<"$case"
    log=$work/$model.log code=0
    limited 60 bench/train_step "$model" "$pairs" "$length" $steps cuda >"$log" 2>&1 || code=$?
    printf '{"model": "%s", "pairs": %d, "text_length": %d, "exit_code": %d, "said": %s}' "$model" "$pairs" "$length" $code \
      "$(json_string "$(<"$log")")" >"$work/$model.step.json"
    files+=("$work/$model.step.json")
    if ((code != 0)); then
      note steps "$model, $pairs pairs: skipped: $(stopped $code && echo "time limit" || last_line "$log")"
    else
      while read -r line; do note steps "$model, $pairs pairs: $line"; done < <(grep -E '^(f32|bf16) ' "$log")
    fi
  done
  json_list "${files[@]}" >"$OUT/steps.json"
}

part_pytorch() {
  if [[ -n $torch_problem ]]; then skip pytorch "$torch_problem"; return; fi
  local code=0
  limited 900 python3 bench/compare.py --build . --device cuda --rounds 5 --tasks loss train_step encode_images --precisions bf16 \
    fp32 --out "$OUT/pytorch.json" >"$OUT/pytorch.md" 2>"$work/pytorch.log" || code=$?
  if ((code != 0)) && [[ ! -s $OUT/pytorch.json ]]; then
    skip pytorch "$(stopped $code && echo "time limit" || last_line "$work/pytorch.log")"
    return
  fi
  while read -r line; do note pytorch "$line"; done < <(grep -E '^\| [a-z_]+ ' "$OUT/pytorch.md" | grep -v '^| task' | head -n 8)
  note pytorch "not run: $(grep -c '^- ' "$OUT/pytorch.md") (reasons in pytorch.md)$(stopped $code && echo ", the rest for want of time")"
}

part_counters() {
  if [[ -n $ncu_problem ]]; then skip counters "$ncu_problem"; return; fi
  local code=0 metrics
  metrics=$(python3 bench/compare_counts.py --metrics 2>&1) || { skip counters "$metrics"; return; }
  # shellcheck disable=SC2046
  limited 900 "$ncu" --clock-control none --csv --page raw --metrics "$metrics" tests/cuda_counts $(<recorded/operations) \
    >"$OUT/counters.csv" 2>"$work/ncu.log" || code=$?
  if ((code != 0)); then
    skip counters "$(stopped $code && echo "time limit" || { grep -m 1 ERROR "$OUT/counters.csv" || last_line "$work/ncu.log"; })"
    return
  fi
  python3 bench/compare_counts.py "$OUT/counters.csv" recorded/counts.json --json "$OUT/counters.json" >"$OUT/counters.md" \
    2>"$work/compare.log" || { skip counters "$(last_line "$work/compare.log")"; return; }
  while read -r line; do note counters "$line"; done < <(tail -n 3 "$OUT/counters.md")
}

part_shapes() {
  local run=$work/run code=0 model=cuclip-small batch=1024 steps=0 every=10 seconds=$((deadline - SECONDS - 60)) count=2000
  if [[ -n ${CUCLIP_TEST_REDUCED-} ]]; then model=cuclip-tiny batch=4 steps=3 every=1 count=2; fi
  if ((seconds > 300)); then seconds=300; fi
  local start=$SECONDS last zero_shot=null
  # So many epochs that the learning rate stays what it is after the warm-up. Interrupted, it saves a
  # checkpoint.
  timeout --signal=INT --kill-after=40 "$seconds" bin/cuclip train --model $model --train-data synthetic:shapes --device cuda \
    --precision bf16 --batch-size $batch --epochs 1000 --max-steps $steps --warmup 200 --lr 5e-4 --log-every-n-steps $every \
    --delete-previous-checkpoint --out "$run" >"$work/train.log" 2>&1 || code=$?
  member() { sed -n "s/.*\"$1\":\([^,}]*\).*/\1/p" <<<"$last"; }
  last=$(tail -n 1 "$run/metrics.jsonl" 2>/dev/null)
  if [[ $code != 0 && $code != 124 || -z $last ]]; then
    failed
    note shapes "FAILED with $code: $(last_line "$work/train.log")"
    printf '{"result": "failed", "said": %s}\n' "$(json_string "$(tail -n 30 "$work/train.log")")" >"$OUT/shapes.json"
    return
  fi
  note shapes "$model in bf16, batches of $batch: $(member step) steps in $((SECONDS - start)) s, loss $(printf %.3f "$(member loss)"), $(
    printf %.0f "$(member samples_per_second)") pairs/s"
  if limited 60 bin/cuclip eval zero-shot --model "$run" --data synthetic:shapes --device cuda --count $count --json \
    >"$work/zero_shot.json" 2>"$work/eval.log"; then
    passed
    zero_shot=$(<"$work/zero_shot.json")
    while read -r line; do note shapes "zero-shot: $line"; done < <(awk -F '[": ,{]+' '/": {$/ { name = $2 }
      /"accuracy"/ { right = $3 } /"chance"/ { printf "%s %.1f %% (by chance %.1f %%)\n", name, 100 * right, 100 * $3 }' \
      "$work/zero_shot.json")
  else
    failed
    note shapes "FAILED: zero-shot: $(last_line "$work/eval.log")"
  fi
  printf '{"model": "%s", "pairs": %d, "seconds": %d, "last": %s, "zero_shot": %s}\n' $model $batch $seconds "$last" "$zero_shot" \
    >"$OUT/shapes.json"
}
