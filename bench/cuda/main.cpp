// cuclip's CUDA kernels against cuDNN, cuBLASLt and compositions of unfused kernels: docs/benchmarks.md.
//
//   build/cuda/bench/cuda_bench --benchmark_filter=attention --benchmark_out=run.json
//   bench/report run.json > run.md
//
// Exit code 1: a contestant's result was wrong (all others are still measured).
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>

#include "bench/cuda/card.h"
#include "bench/cuda/cases.h"
#include "bench/cuda/commit.h"
#include "bench/cuda/measure.h"
#include "core/clock.h"
#include "kernels/common/check.h"
#include "kernels/common/device.h"

namespace cuclip::bench {
namespace {

struct Run {
  std::shared_ptr<ThreadPool> pool = std::make_shared<ThreadPool>(0);
  Effort effort;
  Ceilings ceilings;
  double started = seconds_now(), time_limit = std::numeric_limits<double>::infinity();
  int failures = 0;
  int64_t benchmarks = 0;
};

void count(benchmark::State& state, const Run& run, const Operation& op, const Measurement& m) {
  const double flops = op.flop / m.median, bytes = op.least_bytes() / m.median;
  state.counters["median_us"] = 1e6 * m.median;
  state.counters["p10_us"] = 1e6 * m.low;
  state.counters["p90_us"] = 1e6 * m.high;
  state.counters["launches"] = static_cast<double>(m.launches);
  state.counters["deviation"] = m.worst.value;
  state.counters["deviation_limit"] = m.limit;
  state.counters["flop"] = op.flop;
  state.counters["least_bytes"] = op.least_bytes();
  state.counters["TFLOP/s"] = 1e-12 * flops;
  state.counters["GB/s"] = 1e-9 * bytes;
  state.counters["share_of_copy"] = bytes / run.ceilings.copy;
  const auto product = run.ceilings.products.find(op.precision);
  if (product != run.ceilings.products.end()) state.counters["share_of_product"] = flops / product->second;
}

void execute(benchmark::State& state, Run& run, const Operation& op, const Contestant& contestant) {
  run.effort.serial = emulated() ? ++run.benchmarks : 0;
  state.counters["serial"] = static_cast<double>(run.effort.serial);
  std::string problem;
  try {
    if (seconds_now() - run.started > run.time_limit)
      throw Refusal(fmt::format("the time limit of {} s was over", run.time_limit));
    const Measurement m = measure(run.pool, op, contestant, run.effort);
    for (auto _ : state) state.SetIterationTime(m.median);
    count(state, run, op, m);
    state.SetLabel("deviation of " + m.worst.tensor);
    return;
  } catch (const Refusal& refusal) {
    problem = fmt::format("skipped: {}", refusal.what());
  } catch (const std::exception& failure) {
    problem = fmt::format("failed: {}", failure.what());
    ++run.failures;
  }
  state.SkipWithError(problem.c_str());
}

void add_context(const Run& run) {
  for (const auto& [name, value] : describe_card()) benchmark::AddCustomContext(name, value);
  benchmark::AddCustomContext("commit", kCommit);
  benchmark::AddCustomContext("clocks_after_large_products", clocks());
  benchmark::AddCustomContext("copy_bytes_per_second", fmt::format("{:.4g}", run.ceilings.copy));
  for (const auto& [precision, flops] : run.ceilings.products) {
    benchmark::AddCustomContext(fmt::format("product_flop_per_second_{}", word(precision)),
                                fmt::format("{:.4g}", flops));
  }
}

/// Takes our own options out of the arguments; the others are Google Benchmark's.
void take_options(int& argc, char** argv, bool& reduced, double& time_limit) {
  constexpr std::string_view kTimeLimit = "--time_limit=";
  const auto taken = [&](std::string_view argument) {
    if (argument == "--reduced") return reduced = true;
    if (!argument.starts_with(kTimeLimit)) return false;
    argument.remove_prefix(kTimeLimit.size());
    const auto [end, error] = std::from_chars(argument.data(), argument.data() + argument.size(), time_limit);
    if (error != std::errc() || end != argument.data() + argument.size() || !(time_limit >= 0))
      fail_input("{} takes seconds, got \"{}\"", kTimeLimit, argument);
    return true;
  };
  argc = static_cast<int>(std::remove_if(argv + 1, argv + argc, taken) - argv);
}

int run(int argc, char** argv) {
  Run run;
  bool reduced = emulated();
  take_options(argc, argv, reduced, run.time_limit);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  if (const std::string problem = cuda_problem(); !problem.empty()) {
    fmt::print(stderr, "cuda_bench: no GPU can be used: {}\n", problem);
    return 2;
  }
  if (emulated()) run.effort = {.samples = 1, .sample_seconds = 0, .warm_up_seconds = 0};
  run.ceilings = measure_ceilings(run.pool, emulated());
  add_context(run);
  for (const Operation& op : operations(reduced)) {
    for (const Contestant& contestant : op.contestants) {
      benchmark::RegisterBenchmark(
          (op.full_name() + '/' + contestant.name).c_str(),
          [&run, op, contestant](benchmark::State& state) { execute(state, run, op, contestant); })
          ->Iterations(1)
          ->UseManualTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  if (run.failures > 0) fmt::print(stderr, "cuda_bench: {} results are wrong\n", run.failures);
  return run.failures > 0 ? 1 : 0;
}

}  // namespace
}  // namespace cuclip::bench

int main(int argc, char** argv) try {
  return cuclip::bench::run(argc, argv);
} catch (const std::exception& error) {
  fmt::print(stderr, "cuda_bench: {}\n", error.what());
  return 2;
}
