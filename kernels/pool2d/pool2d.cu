// Average pooling on CUDA. A thread has a window's 16-byte vector of channels; a block is a part of a row of
// windows, so that a warp's vectors follow one another in memory but for the windows' rows. In the backward
// the windows that the border cuts off count too: they write zeros. No shared memory. Bytes moved: x once and
// y once, dy once and dx once.
#include <algorithm>

#include "kernels/common/divisor.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/vec.cuh"
#include "kernels/pool2d/pool2d_cuda.h"

namespace cuclip {
namespace {

constexpr int kThreads = 256;

template <typename T>
struct Arguments {
  const T* in;
  T* out;
  int64_t height, width, channels;      // of the pictures
  int64_t pooled_height, pooled_width;  // of what they are pooled to
  int k;
  Divisor vectors;  // of a pixel
  int row_vectors;  // of a row of windows
  int pieces;       // blocks of a row of windows
  float scale;      // 1 / k^2
};

// A thread's window: its row among those of all pictures, its column, its first channel.
template <typename T>
struct Window {
  int64_t row, channel, left;
  int column;
  bool inside;  // there is such a window

  __device__ __forceinline__ explicit Window(const Arguments<T>& p) {
    row = blockIdx.x / static_cast<unsigned>(p.pieces);
    const int i = static_cast<int>(blockIdx.x % static_cast<unsigned>(p.pieces)) * kThreads +
                  static_cast<int>(threadIdx.x);
    inside = i < p.row_vectors;
    column = i / p.vectors;
    channel = static_cast<int64_t>(i % p.vectors) * Vec<T>::kSize;
    left = p.channels - channel;
  }
};

template <bool kWhole, typename T>
__global__ void __launch_bounds__(kThreads) avg_pool2d_forward_kernel(const Arguments<T> p) {
  constexpr int kSize = Vec<T>::kSize;
  const Window<T> window(p);
  if (!window.inside) return;
  const int64_t picture = window.row / p.pooled_height, i = window.row % p.pooled_height;
  const T* in =
      p.in + ((picture * p.height + i * p.k) * p.width + window.column * p.k) * p.channels + window.channel;
  float sum[kSize] = {};
  for (int a = 0; a < p.k; ++a, in += p.width * p.channels) {
#pragma unroll 2
    for (int b = 0; b < p.k; ++b) {
      float v[kSize];
      unpack(load_first<kWhole>(in + b * p.channels, window.left), v);
#pragma unroll
      for (int j = 0; j < kSize; ++j) sum[j] += v[j];
    }
  }
#pragma unroll
  for (int j = 0; j < kSize; ++j) sum[j] *= p.scale;
  store_columns<kWhole>(p.out + (window.row * p.pooled_width + window.column) * p.channels + window.channel,
                        window.left, sum);
}

template <bool kWhole, typename T>
__global__ void __launch_bounds__(kThreads)
    avg_pool2d_backward_kernel(const Arguments<T> p, int64_t rows_of_windows) {
  constexpr int kSize = Vec<T>::kSize;
  const Window<T> window(p);
  if (!window.inside) return;
  const int64_t picture = window.row / rows_of_windows, i = window.row % rows_of_windows;
  float v[kSize] = {};
  if (i < p.pooled_height && window.column < p.pooled_width) {
    const int64_t pixel = (picture * p.pooled_height + i) * p.pooled_width + window.column;
    unpack(load_first<kWhole>(p.in + pixel * p.channels + window.channel, window.left), v);
  }
#pragma unroll
  for (int j = 0; j < kSize; ++j) v[j] *= p.scale;
  const int64_t first_row = i * p.k, first_column = static_cast<int64_t>(window.column) * p.k;
  for (int64_t h = first_row; h < min(first_row + p.k, p.height); ++h) {
    for (int64_t w = first_column; w < min(first_column + p.k, p.width); ++w) {
      T* out = p.out + ((picture * p.height + h) * p.width + w) * p.channels + window.channel;
      store_columns<kWhole>(out, window.left, v);
    }
  }
}

template <typename T>
Arguments<T> arguments(const TensorView& full, const TensorView& pooled, const TensorView& in,
                       const TensorView& out, int64_t k, int64_t windows) {
  const int64_t vectors = ceil_div(full.size(3), Vec<T>::kSize);
  CUCLIP_CHECK(windows * vectors < (int64_t{1} << 30),
               "avg_pool2d: a row of {} x {} channels is too long for CUDA", full.size(2), full.size(3));
  return {.in = in.as<T>(),
          .out = out.as<T>(),
          .height = full.size(1),
          .width = full.size(2),
          .channels = full.size(3),
          .pooled_height = pooled.size(1),
          .pooled_width = pooled.size(2),
          .k = static_cast<int>(k),
          .vectors = Divisor(std::max<int64_t>(1, vectors)),
          .row_vectors = static_cast<int>(windows * vectors),
          .pieces = static_cast<int>(ceil_div(windows * vectors, kThreads)),
          .scale = 1.0f / static_cast<float>(k * k)};
}

template <typename T>
bool whole_vectors(const Arguments<T>& a) {
  return a.channels % Vec<T>::kSize == 0 && aligned_to(kVecBytes, a.in, a.out);
}

template <typename T>
void forward(const AvgPool2dForward& p, const ExecContext& ctx) {
  const auto a = arguments<T>(p.x, p.y, p.x, p.y, p.k, p.y.size(2));
  launch({.kernel = "avg_pool2d_forward_kernel",
          .grid = {p.y.size(0) * p.y.size(1) * a.pieces},
          .threads = kThreads},
         whole_vectors(a) ? avg_pool2d_forward_kernel<true, T> : avg_pool2d_forward_kernel<false, T>, ctx, a);
}

template <typename T>
void backward(const AvgPool2dBackward& p, const ExecContext& ctx) {
  const auto a = arguments<T>(p.dx, p.dy, p.dy, p.dx, p.k, ceil_div(p.dx.size(2), p.k));
  const int64_t rows_of_windows = ceil_div(a.height, p.k);
  launch({.kernel = "avg_pool2d_backward_kernel",
          .grid = {p.dx.size(0) * rows_of_windows * a.pieces},
          .threads = kThreads},
         whole_vectors(a) ? avg_pool2d_backward_kernel<true, T> : avg_pool2d_backward_kernel<false, T>, ctx,
         a, rows_of_windows);
}

}  // namespace

void avg_pool2d_forward_cuda(const AvgPool2dForward& p, const ExecContext& ctx) {
  if (p.x.dtype == DType::f32) {
    forward<float>(p, ctx);
  } else {
    forward<bfloat16>(p, ctx);
  }
}

void avg_pool2d_backward_cuda(const AvgPool2dBackward& p, const ExecContext& ctx) {
  if (p.dx.dtype == DType::f32) {
    backward<float>(p, ctx);
  } else {
    backward<bfloat16>(p, ctx);
  }
}

}  // namespace cuclip
