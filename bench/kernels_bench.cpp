// The CPU kernels one by one, at the sizes of CLIP models (the loss has its own program): useful FLOP/s and
// the least traffic possible per second.
//
//   build/cpu/bench/kernels_bench --benchmark_filter=attention
//
// matrix_product is the yardstick for FLOP/s: oneDNN alone, on all threads.
#include "bench/bench_support.h"
#include "kernels/adamw/adamw.h"
#include "kernels/attention/attention.h"
#include "kernels/gemm/gemm.h"
#include "kernels/layer_norm/layer_norm.h"
#include "tests/cases/similarity_cases.h"
#include "train/loop/machine_peak.h"

namespace cuclip::bench {
namespace {

double number(int64_t n) { return static_cast<double>(n); }

void configure(benchmark::internal::Benchmark* b) { b->Unit(benchmark::kMicrosecond)->UseRealTime(); }

// What every other rate is compared with.
void matrix_product(benchmark::State& state, DType dtype) {
  Context context;
  const PeakProduct product(context, dtype);
  for (auto _ : state) product.run();
  set_rates(state, PeakProduct::kFlop, 0);
}
BENCHMARK_CAPTURE(matrix_product, f32, DType::f32)->Apply(configure);
BENCHMARK_CAPTURE(matrix_product, bf16, DType::bf16)->Apply(configure);

// The first product of a transformer's MLP: bias and QuickGELU in the epilogue.
void gemm_quick_gelu(benchmark::State& state, DType dtype) {
  const int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  Context context;
  const Tensor a = normal(context, {m, k}, dtype), w = normal(context, {n, k}, dtype, 0.05f);
  const Tensor bias = normal(context, {n}, DType::f32), c = Tensor::zeros(context, {m, n}, dtype);
  const Tensor z = Tensor::zeros(context, {m, n}, dtype);
  for (auto _ : state) {
    gemm({.a = a,
          .b = w,
          .c = c,
          .transpose_b = true,
          .bias = bias,
          .activation = Activation::quick_gelu,
          .pre_activation = z},
         context.exec());
  }
  set_rates(state, 2.0 * number(m * n * k), 0);
}

void gemm_weight_gradient(benchmark::State& state, DType dtype) {
  const int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  Context context;
  const Tensor dy = normal(context, {m, n}, dtype), x = normal(context, {m, k}, dtype);
  const Tensor dweight = Tensor::zeros(context, {n, k}, DType::f32),
               dbias = Tensor::zeros(context, {n}, DType::f32);
  for (auto _ : state) {
    cuclip::gemm_weight_gradient({.dy = dy, .x = x, .dweight = dweight, .dbias = dbias}, context.exec());
  }
  set_rates(state, 2.0 * number(m * n * k), 0);
}

// Width 256 and 64 tokens, the size that trains on a CPU; ViT-B's width 768 and 197 tokens.
void gemm_sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"M", "N", "K"})->Args({64 * 65, 1024, 256})->Args({8 * 197, 3072, 768})->Apply(configure);
}
BENCHMARK_CAPTURE(gemm_quick_gelu, f32, DType::f32)->Apply(gemm_sizes);
BENCHMARK_CAPTURE(gemm_quick_gelu, bf16, DType::bf16)->Apply(gemm_sizes);
BENCHMARK_CAPTURE(gemm_weight_gradient, f32, DType::f32)->Apply(gemm_sizes);
BENCHMARK_CAPTURE(gemm_weight_gradient, bf16, DType::bf16)->Apply(gemm_sizes);

void layer_norm(benchmark::State& state, DType dtype, bool backward) {
  const int64_t rows = state.range(0), width = state.range(1);
  Context context;
  const Tensor x = normal(context, {rows, width}, dtype), dy = normal(context, {rows, width}, dtype, 1, 1);
  const Tensor y = Tensor::zeros(context, {rows, width}, dtype),
               weight = normal(context, {width}, DType::f32);
  const Tensor bias = normal(context, {width}, DType::f32), mean = Tensor::zeros(context, {rows}, DType::f32);
  const Tensor rstd = Tensor::zeros(context, {rows}, DType::f32);
  const Tensor dweight = Tensor::zeros(context, {width}, DType::f32),
               dbias = Tensor::zeros(context, {width}, DType::f32);
  const auto forward = [&] {
    layer_norm_forward({.x = x, .weight = weight, .bias = bias, .y = y, .mean = mean, .rstd = rstd},
                       context.exec());
  };
  forward();
  for (auto _ : state) {
    if (!backward) {
      forward();
      continue;
    }
    layer_norm_backward({.dy = dy,
                         .x = x,
                         .weight = weight,
                         .mean = mean,
                         .rstd = rstd,
                         .dx = y,
                         .dweight = dweight,
                         .dbias = dbias},
                        context.exec());
  }
  set_rates(state, 0,
            number(rows * width) * number(static_cast<int64_t>(size_of(dtype))) * (backward ? 3 : 2));
}
void layer_norm_sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "width"})->Args({256 * 65, 256})->Args({64 * 197, 768})->Apply(configure);
}
BENCHMARK_CAPTURE(layer_norm, forward_f32, DType::f32, false)->Apply(layer_norm_sizes);
BENCHMARK_CAPTURE(layer_norm, forward_bf16, DType::bf16, false)->Apply(layer_norm_sizes);
BENCHMARK_CAPTURE(layer_norm, backward_f32, DType::f32, true)->Apply(layer_norm_sizes);
BENCHMARK_CAPTURE(layer_norm, backward_bf16, DType::bf16, true)->Apply(layer_norm_sizes);

void attention(benchmark::State& state, DType dtype, bool backward) {
  const int64_t batch = state.range(0), length = state.range(1), heads = state.range(2),
                head_dim = state.range(3);
  const bool causal = state.range(4) != 0;
  const int64_t width = heads * head_dim;
  Context context;
  const Tensor qkv = normal(context, {batch, length, 3 * width}, dtype);
  const Tensor dout = normal(context, {batch, length, width}, dtype, 1, 1);
  const Tensor out = Tensor::zeros(context, {batch, length, width}, dtype);
  const Tensor lse = Tensor::zeros(context, {batch, heads, length}, DType::f32);
  const Tensor dqkv = Tensor::zeros(context, qkv.shape(), dtype);
  const auto forward = [&] {
    attention_forward({.qkv = qkv, .out = out, .lse = lse, .heads = heads, .causal = causal}, context.exec());
  };
  forward();
  for (auto _ : state) {
    if (!backward) {
      forward();
      continue;
    }
    attention_backward(
        {.qkv = qkv, .out = out, .lse = lse, .dout = dout, .dqkv = dqkv, .heads = heads, .causal = causal},
        context.exec());
  }
  // Two products forward, five backward; a causal mask leaves (S + 1) / 2 keys for each query.
  const double keys = causal ? number(length + 1) / 2 : number(length);
  set_rates(state, (backward ? 5 : 2) * 2 * number(batch * length * width) * keys, 0);
}
void attention_sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"B", "S", "H", "D", "causal"});
  b->Args({64, 65, 4, 64, 0})->Args({64, 77, 8, 64, 1})->Args({8, 197, 12, 64, 0})->Apply(configure);
}
BENCHMARK_CAPTURE(attention, forward_f32, DType::f32, false)->Apply(attention_sizes);
BENCHMARK_CAPTURE(attention, forward_bf16, DType::bf16, false)->Apply(attention_sizes);
BENCHMARK_CAPTURE(attention, backward_f32, DType::f32, true)->Apply(attention_sizes);
BENCHMARK_CAPTURE(attention, backward_bf16, DType::bf16, true)->Apply(attention_sizes);

void cosine_top_k(benchmark::State& state, DType dtype) {
  const int64_t m = state.range(0), n = state.range(1), d = 512, k = 10;
  Context context;
  const Tensor a = normal(context, {m, d}, dtype), b = normal(context, {n, d}, dtype, 1, 1);
  const Tensor values = Tensor::zeros(context, {m, k}, DType::f32),
               indices = Tensor::zeros(context, {m, k}, DType::i32);
  for (auto _ : state) top_k({.a = a, .b = b, .k = k, .values = values, .indices = indices}, context.exec());
  set_rates(state, cases::SimilarityCase{m, n, d}.flop(),
            number(n * d) * number(static_cast<int64_t>(size_of(dtype))));
}
void top_k_sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"queries", "index"})->Args({1, 100000})->Args({512, 20000})->Apply(configure);
}
BENCHMARK_CAPTURE(cosine_top_k, f32, DType::f32)->Apply(top_k_sizes);
BENCHMARK_CAPTURE(cosine_top_k, bf16, DType::bf16)->Apply(top_k_sizes);

struct Arena {
  explicit Arena(int64_t n) : segments{{0, n, 0.2f}} {
    for (Tensor* x : {&weights, &gradients, &exp_avg}) *x = normal(context, {n}, DType::f32, 0.01f);
    exp_avg_sq = Tensor::zeros(context, {n}, DType::f32);
    weights_bf16 = Tensor::zeros(context, {n}, DType::bf16);
    lr = Tensor::full(context, {1}, 1e-3f);
  }
  Context context;
  std::vector<AdamWSegment> segments;
  AdamWControl control{.steps = 1, .bias1 = 0.1, .lr = 1e-3};
  Tensor weights, gradients, exp_avg, exp_avg_sq, weights_bf16, lr;
};

// 30 B per parameter: weights, gradient and two moments are read, all but the gradient written, and the bf16
// copy.
void adamw(benchmark::State& state) {
  Arena a(state.range(0));
  for (auto _ : state) {
    adamw_step({.weights = a.weights,
                .gradients = a.gradients,
                .exp_avg = a.exp_avg,
                .exp_avg_sq = a.exp_avg_sq,
                .weights_bf16 = a.weights_bf16,
                .segments = a.segments,
                .control = &a.control},
               a.context.exec());
  }
  set_rates(state, 0, 30.0 * number(state.range(0)));
}
BENCHMARK(adamw)->Arg(20'000'000)->Apply(configure);

void adamw_begin(benchmark::State& state) {
  Arena a(state.range(0));
  for (auto _ : state) {
    cuclip::adamw_begin({.gradients = a.gradients, .segments = a.segments, .lr = a.lr, .control = &a.control},
                        a.context.exec());
  }
  set_rates(state, 0, 4.0 * number(state.range(0)));
}
BENCHMARK(adamw_begin)->Arg(20'000'000)->Apply(configure);

void random_normal(benchmark::State& state) {
  Context context;
  const Tensor x = Tensor::zeros(context, {state.range(0)}, DType::f32);
  for (auto _ : state) fill_normal({.out = x}, context.exec());
  set_rates(state, 0, 4.0 * number(state.range(0)));
}
BENCHMARK(random_normal)->Arg(1'000'000)->Apply(configure);

}  // namespace
}  // namespace cuclip::bench

BENCHMARK_MAIN();
