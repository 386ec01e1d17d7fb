// The contrastive loss with its logits in memory, and the mark between benchmarks.
#include "bench/cuda/naive.h"
#include "bench/cuda/naive_kernels.cuh"

namespace cuclip::bench::naive {
namespace {

struct LogitRow {
  const float *s, *log_scale;
  float* lse;
  int64_t n;
  __device__ void operator()(int64_t row, BlockSum sum) const {
    const float scale = expf(*log_scale);
    float max = -INFINITY, total = 0;
    for (int64_t i = threadIdx.x; i < n; i += kThreads) max = nan_max(max, scale * s[row * n + i]);
    max = block_max(max);
    for (int64_t i = threadIdx.x; i < n; i += kThreads) total += expf(scale * s[row * n + i] - max);
    total = sum(total);
    if (threadIdx.x == 0) lse[row] = max + logf(total);
  }
};

// A block takes 32 columns, each of its warps every eighth row of them.
struct LogitColumns {
  static constexpr int kWarps = kThreads / kWarp;
  const float *s, *log_scale;
  float* lse;
  int64_t n;
  __device__ void operator()(int64_t block, BlockSum) const {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    const int64_t column = block * kWarp + lane;
    const float scale = expf(*log_scale);
    __shared__ float maxima[kWarps][kWarp], sums[kWarps][kWarp];
    float max = -INFINITY, total = 0;
    if (column < n) {
      for (int64_t i = warp; i < n; i += kWarps) max = nan_max(max, scale * s[i * n + column]);
      for (int64_t i = warp; i < n; i += kWarps) total += expf(scale * s[i * n + column] - max);
    }
    maxima[warp][lane] = max;
    sums[warp][lane] = total;
    __syncthreads();
    if (warp != 0 || column >= n) return;
    for (int other = 1; other < kWarps; ++other) max = nan_max(max, maxima[other][lane]);
    total = 0;
    for (int other = 0; other < kWarps; ++other) total += sums[other][lane] * expf(maxima[other][lane] - max);
    lse[column] = max + logf(total);
  }
};

struct Loss {
  const float *s, *log_scale, *row_lse, *column_lse;
  float* loss;
  int64_t n;
  __device__ void operator()(int64_t, BlockSum sum) const {
    float total = 0;
    for (int64_t i = threadIdx.x; i < n; i += kThreads) {
      total += (row_lse[i] + column_lse[i]) / 2 - expf(*log_scale) * s[i * n + i];
    }
    total = sum(total);
    if (threadIdx.x == 0) *loss = total / static_cast<float>(n);
  }
};

template <typename T>
struct LossGradient {
  const float *s, *log_scale, *row_lse, *column_lse;
  T* gradient;
  float* dlog_scale;
  int64_t n;
  __device__ void operator()(int64_t i, BlockSum sum) const {
    const float scale = expf(*log_scale);
    float total = 0;
    for (int64_t j = threadIdx.x; j < n; j += kThreads) {
      const float logit = scale * s[i * n + j];
      const float g = (expf(logit - row_lse[i]) + expf(logit - column_lse[j]) - (i == j ? 2.0f : 0.0f)) /
                      (2.0f * static_cast<float>(n));
      total += g * logit;
      gradient[i * n + j] = from_float<T>(scale * g);
    }
    total = sum(total);
    if (threadIdx.x == 0) atomicAdd(dlog_scale, total);
  }
};

__global__ void benchmark_mark_kernel() {}

}  // namespace

void logit_rows(const TensorView& s, const TensorView& log_scale, const TensorView& lse,
                const ExecContext& ctx) {
  const int64_t n = s.size(0);
  each_row(n, LogitRow{s.as<float>(), log_scale.as<float>(), lse.as<float>(), n}, ctx);
}
void logit_columns(const TensorView& s, const TensorView& log_scale, const TensorView& lse,
                   const ExecContext& ctx) {
  const int64_t n = s.size(0);
  each_row(ceil_div(n, kWarp), LogitColumns{s.as<float>(), log_scale.as<float>(), lse.as<float>(), n}, ctx);
}
void contrastive_loss(const TensorView& s, const TensorView& log_scale, const TensorView& row_lse,
                      const TensorView& column_lse, const TensorView& loss, const ExecContext& ctx) {
  each_row(1,
           Loss{s.as<float>(), log_scale.as<float>(), row_lse.as<float>(), column_lse.as<float>(),
                loss.as<float>(), s.size(0)},
           ctx);
}
void contrastive_gradient(const TensorView& s, const TensorView& log_scale, const TensorView& row_lse,
                          const TensorView& column_lse, const TensorView& gradient,
                          const TensorView& dlog_scale, const ExecContext& ctx) {
  with_type(gradient, [&](auto* t) {
    using T = CUCLIP_TYPE(t);
    each_row(s.size(0),
             LossGradient<T>{s.as<float>(), log_scale.as<float>(), row_lse.as<float>(),
                             column_lse.as<float>(), gradient.as<T>(), dlog_scale.as<float>(), s.size(0)},
             ctx);
  });
}

void mark(int64_t serial, const ExecContext& ctx) {
  launch({.kernel = "benchmark_mark", .grid = {serial}, .threads = 1}, benchmark_mark_kernel, ctx);
}

}  // namespace cuclip::bench::naive
