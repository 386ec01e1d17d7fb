// Batch norm backward on CUDA.
//
// Threads: channel_block.cuh. The first kernel sums g and g (x - mean) over each run: a thread over its rows
// in registers, then pairs of threads, and of pairs, in shared memory (2 x 8 KB in bf16); it also writes
// dresidual. The second adds the runs' sums in f64, in order. The third writes dx. No atomics: the same bits
// on every run. Bytes moved of N x C elements of b bytes: 5 N C b (dy and x twice, dx once), with a ReLU 7 N
// C b (y twice too); with dresidual, which the third kernel reads instead of dy and y, 6 N C b, and with a
// ReLU 7 N C b. The runs' sums take 8 C a run, written and read once.
#include "kernels/batch_norm/batch_norm_cuda.h"
#include "kernels/batch_norm/channel_block.cuh"
#include "kernels/common/scratch_plan.h"

namespace cuclip {
namespace {

template <typename T>
struct BackwardArguments {
  const T* dy;
  const T* x;
  const T* y;    // read where the kernel masks
  T* dresidual;  // null where it is not wanted
  T* dx;
  const float* mean;
  const float* rstd;
  const float* weight;
  float* dweight;
  float* dbias;
  float* sums;      // [runs, channels]
  float* products;  // there too
  float* terms;     // [3, channels]: dx = scale * g + offset + slope * (x - mean)
};

// g of one vector: dy, or what of it passed the ReLU.
template <bool kWhole, bool kMask, typename T, int kSize>
__device__ __forceinline__ void load_masked(const T* dy, const T* y, int64_t at, int64_t left,
                                            float (&g)[kSize]) {
  unpack(load_first<kWhole>(dy + at, left), g);
  if constexpr (kMask) {
    float passed[kSize];
    unpack(load_first<kWhole>(y + at, left), passed);
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      if (!(passed[j] > 0)) g[j] = 0;
    }
  }
}

template <typename T, bool kWhole, bool kMask>
__global__ void __launch_bounds__(kChannelBlockThreads, kChannelBlocksEach)
    run_gradients_kernel(const ChannelBlocks b, const BackwardArguments<T> p) {
  constexpr int kSize = Vec<T>::kSize;
  const ChannelPlace<kSize> place(b);
  float sum[kSize] = {}, product[kSize] = {};
  if (place.begin < place.end) {
    float mean[kSize];
    load_channels<kWhole>(p.mean + place.channel, place.left, mean);
    int64_t at = place.begin * b.channels + place.channel;
#pragma unroll 2
    for (int64_t row = place.begin; row < place.end; row += place.step, at += place.step * b.channels) {
      float g[kSize], x[kSize];
      unpack(load_first<kWhole>(p.x + at, place.left), x);
      load_masked<kWhole, kMask>(p.dy, p.y, at, place.left, g);
#pragma unroll
      for (int j = 0; j < kSize; ++j) {
        sum[j] += g[j];
        product[j] = fmaf(g[j], x[j] - mean[j], product[j]);
      }
      if (p.dresidual) store_columns<kWhole>(p.dresidual + at, place.left, g);
    }
  }
  fold_down<2 * kSize>(
      place, b.columns, [&](int i) { return i < kSize ? sum[i] : product[i - kSize]; },
      [&](auto&& other) {
#pragma unroll
        for (int j = 0; j < kSize; ++j) {
          sum[j] += other(j);
          product[j] += other(kSize + j);
        }
      });
  if (place.writes_sums()) {
    const int64_t to = blockIdx.x * b.channels + place.channel;
    store_columns<kWhole>(p.sums + to, place.left, sum);
    store_columns<kWhole>(p.products + to, place.left, product);
  }
}

template <typename T>
__global__ void __launch_bounds__(kRunWarps* kWarp)
    add_runs_kernel(const ChannelBlocks b, const BackwardArguments<T> p) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t c = static_cast<int64_t>(blockIdx.x) * kWarp + lane;
  double warp_sum = 0, warp_product = 0;
  for (int64_t run = warp; c < b.channels && run < b.runs; run += kRunWarps) {
    warp_sum += static_cast<double>(p.sums[run * b.channels + c]);
    warp_product += static_cast<double>(p.products[run * b.channels + c]);
  }
  const double sum = sum_of_warps(warp_sum), product = sum_of_warps(warp_product);
  if (warp > 0 || c >= b.channels) return;
  const auto rows = static_cast<double>(b.rows), rstd = static_cast<double>(p.rstd[c]);
  const double g_xhat = rstd * product, scale = rstd * static_cast<double>(p.weight[c]);
  p.terms[c] = static_cast<float>(scale);
  p.terms[b.channels + c] = static_cast<float>(-scale * sum / rows);
  p.terms[2 * b.channels + c] = static_cast<float>(-scale * rstd * g_xhat / rows);
  p.dbias[c] += static_cast<float>(sum);
  p.dweight[c] += static_cast<float>(g_xhat);
}

template <typename T, bool kWhole, bool kMask>
__global__ void __launch_bounds__(kChannelBlockThreads, kChannelBlocksEach)
    input_gradient_kernel(const ChannelBlocks b, const BackwardArguments<T> p) {
  constexpr int kSize = Vec<T>::kSize;
  const ChannelPlace<kSize> place(b);
  if (place.begin >= place.end) return;
  float mean[kSize], scale[kSize], offset[kSize], slope[kSize];
  load_channels<kWhole>(p.mean + place.channel, place.left, mean);
  load_channels<kWhole>(p.terms + place.channel, place.left, scale);
  load_channels<kWhole>(p.terms + b.channels + place.channel, place.left, offset);
  load_channels<kWhole>(p.terms + 2 * b.channels + place.channel, place.left, slope);
  int64_t at = place.begin * b.channels + place.channel;
  for (int64_t row = place.begin; row < place.end; row += place.step, at += place.step * b.channels) {
    float g[kSize], x[kSize];
    unpack(load_first<kWhole>(p.x + at, place.left), x);
    load_masked<kWhole, kMask>(p.dresidual ? p.dresidual : p.dy, p.y, at, place.left, g);
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      g[j] = fmaf(g[j], scale[j], fmaf(x[j] - mean[j], slope[j], offset[j]));
    }
    store_columns<kWhole>(p.dx + at, place.left, g);
  }
}

template <typename T, bool kWhole>
void launch_backward(const ChannelBlocks& b, const BackwardArguments<T>& a, const ExecContext& ctx) {
  launch(b.launch_config("run_gradients_kernel"),
         a.y ? run_gradients_kernel<T, kWhole, true> : run_gradients_kernel<T, kWhole, false>, ctx, b, a);
  launch({.kernel = "add_runs_kernel", .grid = {ceil_div(b.channels, kWarp)}, .threads = kRunWarps * kWarp},
         add_runs_kernel<T>, ctx, b, a);
  const bool mask = a.y && !a.dresidual;  // otherwise g is there already
  launch(b.launch_config("input_gradient_kernel"),
         mask ? input_gradient_kernel<T, kWhole, true> : input_gradient_kernel<T, kWhole, false>, ctx, b, a);
}

template <typename T>
void backward(const BatchNormBackward& p, const ExecContext& ctx) {
  const int64_t channels = p.weight.size(0);
  const ChannelBlocks b(p.x.elements() / channels, channels, Vec<T>::kSize);
  ScratchPlan plan;
  const auto sums = plan.add<float>(b.runs * channels), products = plan.add<float>(b.runs * channels);
  const auto terms = plan.add<float>(3 * channels);
  plan.reserve(ctx);
  const BackwardArguments<T> a{.dy = p.dy.as<T>(),
                               .x = p.x.as<T>(),
                               .y = p.y ? p.y.as<T>() : nullptr,
                               .dresidual = p.dresidual ? p.dresidual.as<T>() : nullptr,
                               .dx = p.dx.as<T>(),
                               .mean = p.mean.as<float>(),
                               .rstd = p.rstd.as<float>(),
                               .weight = p.weight.as<float>(),
                               .dweight = p.dweight.as<float>(),
                               .dbias = p.dbias.as<float>(),
                               .sums = plan[sums],
                               .products = plan[products],
                               .terms = plan[terms]};
  if (channels % Vec<T>::kSize == 0 && aligned_to(kVecBytes, a.dy, a.x, a.y, a.dresidual, a.dx, a.mean)) {
    launch_backward<T, true>(b, a, ctx);
  } else {
    launch_backward<T, false>(b, a, ctx);
  }
}

}  // namespace

void batch_norm_backward_cuda(const BatchNormBackward& p, const ExecContext& ctx) {
  if (p.x.dtype == DType::f32) {
    backward<float>(p, ctx);
  } else {
    backward<bfloat16>(p, ctx);
  }
}

}  // namespace cuclip
