// Batch norm forward on CUDA.
//
// Threads: channel_block.cuh. The first kernel takes each run's mean and sum of squares around it: a thread
// sums differences from its own first row, so that no mean is large beside them, and pairs of threads, then
// of pairs, are merged in shared memory (2 x 8 KB in bf16) by Chan's formula. The second merges the runs in
// f64, in order, and moves the running statistics. The third writes y. No atomics: the same bits on every
// run. Bytes moved of N x C elements of b bytes: 3 N C b, x twice and y once, with a residual 4 N C b; the
// runs' statistics take 8 C a run, written once and read twice.
#include "kernels/batch_norm/batch_norm_cuda.h"
#include "kernels/batch_norm/channel_block.cuh"
#include "kernels/common/scratch_plan.h"

namespace cuclip {
namespace {

// Of a number of rows: the mean of each, and the sum of squares around it.
template <int kSize>
struct Statistics {
  float count;
  float mean[kSize];
  float square[kSize];
};

// Merges those of the threads that share a vector of channels, by Chan's formula.
template <int kSize>
__device__ __forceinline__ void merge_down(Statistics<kSize>& own, const ChannelPlace<kSize>& place,
                                           int columns) {
  constexpr int kCount = 2 * kSize;  // after the means and the squares
  const auto value = [&](int i) {
    return i == kCount ? own.count : i < kSize ? own.mean[i] : own.square[i - kSize];
  };
  fold_down<kCount + 1>(place, columns, value, [&](auto&& other) {
    if (!(other(kCount) > 0)) return;
    const float count = own.count + other(kCount), share = other(kCount) / count;
    const float weight = own.count * share;
    own.count = count;
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      const float apart = other(j) - own.mean[j];
      own.mean[j] = fmaf(apart, share, own.mean[j]);
      own.square[j] = fmaf(apart * apart, weight, own.square[j] + other(kSize + j));
    }
  });
}

template <typename T, bool kWhole>
__global__ void __launch_bounds__(kChannelBlockThreads, kChannelBlocksEach)
    run_statistics_kernel(const ChannelBlocks b, const T* x, float* means, float* squares) {
  constexpr int kSize = Vec<T>::kSize;
  constexpr int kUnroll = kWhole ? 4 : 1;  // eight accesses for a vector would spill on sm_120
  const ChannelPlace<kSize> place(b);
  Statistics<kSize> own{};
  if (place.begin < place.end) {
    float pivot[kSize], sum[kSize] = {}, square[kSize] = {}, v[kSize];
    const T* in = x + place.begin * b.channels + place.channel;
    unpack(load_first<kWhole>(in, place.left), pivot);
    int count = 1;
#pragma unroll kUnroll
    for (int64_t row = place.begin + place.step; row < place.end; row += place.step) {
      in += place.step * b.channels;
      unpack(load_first<kWhole>(in, place.left), v);
      ++count;
#pragma unroll
      for (int j = 0; j < kSize; ++j) {
        const float apart = v[j] - pivot[j];
        sum[j] += apart;
        square[j] = fmaf(apart, apart, square[j]);
      }
    }
    own.count = static_cast<float>(count);
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      const float off = sum[j] / own.count, around = fmaf(-off, sum[j], square[j]);
      own.mean[j] = pivot[j] + off;
      own.square[j] = around < 0 ? 0.0f : around;  // NaN stays
    }
  }
  merge_down(own, place, b.columns);
  if (place.writes_sums()) {
    const int64_t at = blockIdx.x * b.channels + place.channel;
    store_columns<kWhole>(means + at, place.left, own.mean);
    store_columns<kWhole>(squares + at, place.left, own.square);
  }
}

struct StatisticsArguments {
  const float* means;    // [runs, channels]
  const float* squares;  // there too
  float* mean;
  float* rstd;
  float* running_mean;  // null, or both
  float* running_var;
  float momentum;
  float eps;
};

__device__ void move_statistic(float& running, double batch, double momentum) {
  running = static_cast<float>((1.0 - momentum) * static_cast<double>(running) + momentum * batch);
}

__global__ void __launch_bounds__(kRunWarps* kWarp)
    merge_statistics_kernel(const ChannelBlocks b, const StatisticsArguments p) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t c = static_cast<int64_t>(blockIdx.x) * kWarp + lane;
  const bool inside = c < b.channels;
  const auto rows_of = [&](int64_t run) {
    return static_cast<double>(min(b.run_rows, b.rows - run * b.run_rows));
  };
  const auto rows = static_cast<double>(b.rows);
  double sum = 0;
  for (int64_t run = warp; inside && run < b.runs; run += kRunWarps) {
    sum += rows_of(run) * static_cast<double>(p.means[run * b.channels + c]);
  }
  const double mean = sum_of_warps(sum) / rows;
  sum = 0;
  for (int64_t run = warp; inside && run < b.runs; run += kRunWarps) {
    const double apart = static_cast<double>(p.means[run * b.channels + c]) - mean;
    sum += static_cast<double>(p.squares[run * b.channels + c]) + rows_of(run) * apart * apart;
  }
  const double square = sum_of_warps(sum);
  if (warp > 0 || !inside) return;
  p.mean[c] = static_cast<float>(mean);
  // Squares that have overflowed say nothing about the channel: 1 / infinity would make y the bias.
  p.rstd[c] =
      isfinite(square) ? static_cast<float>(1.0 / sqrt(square / rows + static_cast<double>(p.eps))) : NAN;
  const double variance = square / (rows - 1);
  if (p.running_mean && isfinite(static_cast<float>(variance))) {
    move_statistic(p.running_mean[c], mean, static_cast<double>(p.momentum));
    move_statistic(p.running_var[c], variance, static_cast<double>(p.momentum));
  }
}

template <typename T>
struct NormaliseArguments {
  const T* x;
  const T* residual;  // null where there is none
  T* y;
  const float* weight;
  const float* bias;
  const float* mean;
  const float* rstd;
  bool relu;
};

// (x - mean) * scale + bias of one vector, and what follows.
template <typename T, int kSize>
__device__ __forceinline__ Vec<T> normalise(const Vec<T>& x, const Vec<T>& residual,
                                            const float (&mean)[kSize], const float (&scale)[kSize],
                                            const float (&bias)[kSize], bool relu) {
  float v[kSize], added[kSize];
  unpack(x, v);
  unpack(residual, added);
#pragma unroll
  for (int j = 0; j < kSize; ++j) {
    v[j] = fmaf(v[j] - mean[j], scale[j], bias[j]) + added[j];
    if (relu && v[j] < 0) v[j] = 0;  // NaN is not below 0
  }
  return pack<T>(v);
}

template <bool kWhole, typename T>
__device__ __forceinline__ void store_first(T* p, int64_t n, const Vec<T>& v) {
  float values[Vec<T>::kSize];
  unpack(v, values);
  store_columns<kWhole>(p, n, values);
}

template <typename T, bool kWhole>
__global__ void __launch_bounds__(kChannelBlockThreads, kChannelBlocksEach)
    normalise_kernel(const ChannelBlocks b, const NormaliseArguments<T> p) {
  constexpr int kSize = Vec<T>::kSize;
  const ChannelPlace<kSize> place(b);
  if (place.begin >= place.end) return;
  float mean[kSize], scale[kSize], bias[kSize];
  load_channels<kWhole>(p.mean + place.channel, place.left, mean);
  load_channels<kWhole>(p.weight + place.channel, place.left, scale);
  load_channels<kWhole>(p.rstd + place.channel, place.left, bias);
#pragma unroll
  for (int j = 0; j < kSize; ++j) scale[j] *= bias[j];
  load_channels<kWhole>(p.bias + place.channel, place.left, bias);
  const int64_t step = place.step * b.channels;
  int64_t at = place.begin * b.channels + place.channel;
  // Two rows at a time: the compiler does not know that y is other memory, and lets no load pass a store.
  for (int64_t row = place.begin; row < place.end; row += 2 * place.step, at += 2 * step) {
    const bool both = row + place.step < place.end;
    const Vec<T> x0 = load_first<kWhole>(p.x + at, place.left);
    const Vec<T> x1 = both ? load_first<kWhole>(p.x + at + step, place.left) : Vec<T>{};
    Vec<T> r0{}, r1{};
    if (p.residual) {
      r0 = load_first<kWhole>(p.residual + at, place.left);
      if (both) r1 = load_first<kWhole>(p.residual + at + step, place.left);
    }
    store_first<kWhole>(p.y + at, place.left, normalise(x0, r0, mean, scale, bias, p.relu));
    if (both) store_first<kWhole>(p.y + at + step, place.left, normalise(x1, r1, mean, scale, bias, p.relu));
  }
}

struct AffineArguments {
  const float *weight, *bias, *mean, *variance;
  float *scale, *shift;
  float eps;
  int64_t channels;
};

constexpr int kAffineThreads = 128;

// A thread has a channel.
__global__ void __launch_bounds__(kAffineThreads) affine_kernel(const AffineArguments p) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * kAffineThreads + threadIdx.x;
  if (c >= p.channels) return;
  const double variance = static_cast<double>(p.variance[c]) + static_cast<double>(p.eps);
  const double scale = static_cast<double>(p.weight[c]) / sqrt(variance);
  p.scale[c] = static_cast<float>(scale);
  p.shift[c] = static_cast<float>(static_cast<double>(p.bias[c]) - static_cast<double>(p.mean[c]) * scale);
}

template <typename T>
void forward(const BatchNormForward& p, const ExecContext& ctx) {
  const int64_t channels = p.weight.size(0);
  const ChannelBlocks b(p.x.elements() / channels, channels, Vec<T>::kSize);
  ScratchPlan plan;
  const auto means = plan.add<float>(b.runs * channels), squares = plan.add<float>(b.runs * channels);
  plan.reserve(ctx);
  const NormaliseArguments<T> a{.x = p.x.as<T>(),
                                .residual = p.residual ? p.residual.as<T>() : nullptr,
                                .y = p.y.as<T>(),
                                .weight = p.weight.as<float>(),
                                .bias = p.bias.as<float>(),
                                .mean = p.mean.as<float>(),
                                .rstd = p.rstd.as<float>(),
                                .relu = p.relu};
  const bool whole = channels % Vec<T>::kSize == 0 &&
                     aligned_to(kVecBytes, a.x, a.residual, a.y, a.weight, a.bias, a.mean, a.rstd);
  launch(b.launch_config("run_statistics_kernel"),
         whole ? run_statistics_kernel<T, true> : run_statistics_kernel<T, false>, ctx, b, a.x, plan[means],
         plan[squares]);
  const StatisticsArguments s{.means = plan[means],
                              .squares = plan[squares],
                              .mean = p.mean.as<float>(),
                              .rstd = p.rstd.as<float>(),
                              .running_mean = p.running_mean ? p.running_mean.as<float>() : nullptr,
                              .running_var = p.running_var ? p.running_var.as<float>() : nullptr,
                              .momentum = p.momentum,
                              .eps = p.eps};
  launch({.kernel = "merge_statistics_kernel",
          .grid = {ceil_div(channels, kWarp)},
          .threads = kRunWarps * kWarp},
         merge_statistics_kernel, ctx, b, s);
  launch(b.launch_config("normalise_kernel"), whole ? normalise_kernel<T, true> : normalise_kernel<T, false>,
         ctx, b, a);
}

}  // namespace

void batch_norm_forward_cuda(const BatchNormForward& p, const ExecContext& ctx) {
  if (p.x.dtype == DType::f32) {
    forward<float>(p, ctx);
  } else {
    forward<bfloat16>(p, ctx);
  }
}

void batch_norm_affine_cuda(const BatchNormAffine& p, const ExecContext& ctx) {
  const AffineArguments a{.weight = p.weight.as<float>(),
                          .bias = p.bias.as<float>(),
                          .mean = p.running_mean.as<float>(),
                          .variance = p.running_var.as<float>(),
                          .scale = p.scale.as<float>(),
                          .shift = p.shift.as<float>(),
                          .eps = p.eps,
                          .channels = p.weight.size(0)};
  launch(
      {.kernel = "affine_kernel", .grid = {ceil_div(a.channels, kAffineThreads)}, .threads = kAffineThreads},
      affine_kernel, ctx, a);
}

}  // namespace cuclip
