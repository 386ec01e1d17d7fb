// Batch norm of the sizes of a small ResNet's layers, and a copy: both are bound by memory.
#include <benchmark/benchmark.h>

#include <cstring>

#include "bench/bench_support.h"
#include "kernels/batch_norm/batch_norm.h"

namespace cuclip::bench {
namespace {

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "channels"})->Unit(benchmark::kMicrosecond)->UseRealTime();
  b->Args({256 * 32 * 32, 32})->Args({256 * 16 * 16, 64})->Args({256 * 8 * 8, 128});
}

// The bytes of `tensors` activations, each read or written once.
void set_bytes(benchmark::State& state, DType dtype, int tensors) {
  const int64_t bytes = state.range(0) * state.range(1) * static_cast<int64_t>(size_of(dtype));
  set_rates(state, 0, static_cast<double>(bytes * tensors));
}

// The rate to compare with.
void copy(benchmark::State& state, DType dtype) {
  Context context;
  const Tensor x = normal(context, {state.range(0), state.range(1)}, dtype);
  const Tensor y = Tensor::zeros(context, x.shape(), dtype);
  const auto from = static_cast<const char*>(x.view().data);
  const auto to = static_cast<char*>(y.view().data);
  constexpr size_t kTask = 256 * 1024;
  for (auto _ : state) {
    parallel_for(context.exec(), static_cast<int64_t>(ceil_div(x.bytes(), kTask)), [&](int64_t task, int) {
      const size_t at = static_cast<size_t>(task) * kTask;
      std::memcpy(to + at, from + at, std::min(kTask, x.bytes() - at));
    });
  }
  set_bytes(state, dtype, 2);
}
BENCHMARK_CAPTURE(copy, f32, DType::f32)->Apply(sizes);
BENCHMARK_CAPTURE(copy, bf16, DType::bf16)->Apply(sizes);

void batch_norm(benchmark::State& state, DType dtype, bool backward) {
  const Shape shape{state.range(0), state.range(1)}, channels{state.range(1)};
  Context context;
  const Tensor x = normal(context, shape, dtype), dy = normal(context, shape, dtype, 1, 1);
  const Tensor y = Tensor::zeros(context, shape, dtype), dx = Tensor::zeros(context, shape, dtype);
  const Tensor weight = normal(context, channels, DType::f32), bias = normal(context, channels, DType::f32);
  const Tensor mean = Tensor::zeros(context, channels, DType::f32);
  const Tensor rstd = Tensor::zeros(context, channels, DType::f32);
  const auto forward = [&] {
    batch_norm_forward(
        {.x = x, .weight = weight, .bias = bias, .relu = true, .y = y, .mean = mean, .rstd = rstd},
        context.exec());
  };
  forward();
  for (auto _ : state) {
    if (!backward) {
      forward();
      continue;
    }
    batch_norm_backward({.dy = dy,
                         .x = x,
                         .weight = weight,
                         .mean = mean,
                         .rstd = rstd,
                         .y = y,
                         .dx = dx,
                         .dweight = bias,
                         .dbias = bias},
                        context.exec());
  }
  set_bytes(state, dtype, backward ? 7 : 3);
}
BENCHMARK_CAPTURE(batch_norm, forward_f32, DType::f32, false)->Apply(sizes);
BENCHMARK_CAPTURE(batch_norm, forward_bf16, DType::bf16, false)->Apply(sizes);
BENCHMARK_CAPTURE(batch_norm, backward_f32, DType::f32, true)->Apply(sizes);
BENCHMARK_CAPTURE(batch_norm, backward_bf16, DType::bf16, true)->Apply(sizes);

}  // namespace
}  // namespace cuclip::bench

BENCHMARK_MAIN();
