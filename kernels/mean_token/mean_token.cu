// The mean token on CUDA. A thread has a 16-byte vector of a picture's channels and goes through the tokens:
// a warp's vectors are 512 consecutive bytes of a token. dpositions is a sum down the columns
// (column_sums.cuh). Bytes moved: x once and y once, and the positions from the cache; in the backward dy
// twice and dx once.
#include "kernels/common/column_sums.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/vec.cuh"
#include "kernels/mean_token/mean_token_cuda.h"

namespace cuclip {
namespace {

constexpr int kThreads = 128;

template <typename T>
struct Arguments {
  const T* in;
  T* out;
  const float* positions;  // null in the backward
  int64_t batch, length, width;
};

// A thread's picture and its first channel.
template <typename T>
struct Place {
  int64_t picture, channel, left;
  bool inside;

  __device__ __forceinline__ explicit Place(const Arguments<T>& p) {
    const int64_t vectors = (p.width + Vec<T>::kSize - 1) / Vec<T>::kSize;
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    picture = i / vectors;
    channel = i % vectors * Vec<T>::kSize;
    left = p.width - channel;
    inside = picture < p.batch;
  }
};

// v += the positions of its channels.
template <bool kWhole, int kSize>
__device__ __forceinline__ void add_positions(const float* positions, int64_t left, float (&v)[kSize]) {
  float added[kSize];
  if constexpr (kWhole) {
    load_floats(positions, added);
  } else {
    load_part(positions, left, added);
  }
#pragma unroll
  for (int j = 0; j < kSize; ++j) v[j] += added[j];
}

template <bool kWhole, typename T>
__global__ void __launch_bounds__(kThreads) mean_token_forward_kernel(const Arguments<T> p) {
  constexpr int kSize = Vec<T>::kSize;
  const Place<T> place(p);
  if (!place.inside) return;
  const T* x = p.in + place.picture * p.length * p.width + place.channel;
  T* first = p.out + place.picture * (p.length + 1) * p.width + place.channel;
  const float* positions = p.positions + place.channel;
  float sum[kSize] = {};
#pragma unroll 4
  for (int64_t s = 0; s < p.length; ++s) {
    float v[kSize];
    unpack(load_first<kWhole>(x + s * p.width, place.left), v);
#pragma unroll
    for (int j = 0; j < kSize; ++j) sum[j] += v[j];
    add_positions<kWhole>(positions + (s + 1) * p.width, place.left, v);
    store_columns<kWhole>(first + (s + 1) * p.width, place.left, v);
  }
  const float scale = 1.0f / static_cast<float>(p.length);
#pragma unroll
  for (int j = 0; j < kSize; ++j) sum[j] *= scale;
  add_positions<kWhole>(positions, place.left, sum);
  store_columns<kWhole>(first, place.left, sum);
}

template <bool kWhole, typename T>
__global__ void __launch_bounds__(kThreads) mean_token_backward_kernel(const Arguments<T> p) {
  constexpr int kSize = Vec<T>::kSize;
  const Place<T> place(p);
  if (!place.inside) return;
  const T* first = p.in + place.picture * (p.length + 1) * p.width + place.channel;
  T* dx = p.out + place.picture * p.length * p.width + place.channel;
  const float scale = 1.0f / static_cast<float>(p.length);
  float mean[kSize];
  unpack(load_first<kWhole>(first, place.left), mean);
#pragma unroll 4
  for (int64_t s = 0; s < p.length; ++s) {
    float v[kSize];
    unpack(load_first<kWhole>(first + (s + 1) * p.width, place.left), v);
#pragma unroll
    for (int j = 0; j < kSize; ++j) v[j] = fmaf(mean[j], scale, v[j]);
    store_columns<kWhole>(dx + s * p.width, place.left, v);
  }
}

template <typename T>
LaunchConfig config(const char* kernel, const Arguments<T>& a) {
  return {.kernel = kernel,
          .grid = {ceil_div(a.batch * ceil_div(a.width, Vec<T>::kSize), kThreads)},
          .threads = kThreads};
}

template <typename T>
void forward(const MeanTokenForward& p, const ExecContext& ctx) {
  const Arguments<T> a{.in = p.x.as<T>(),
                       .out = p.y.as<T>(),
                       .positions = p.positions.as<float>(),
                       .batch = p.x.size(0),
                       .length = p.x.size(1),
                       .width = p.x.size(2)};
  const bool whole = a.width % Vec<T>::kSize == 0 && aligned_to(kVecBytes, a.in, a.out, a.positions);
  launch(config("mean_token_forward_kernel", a),
         whole ? mean_token_forward_kernel<true, T> : mean_token_forward_kernel<false, T>, ctx, a);
}

template <typename T>
void backward(const MeanTokenBackward& p, const ExecContext& ctx) {
  const Arguments<T> a{.in = p.dy.as<T>(),
                       .out = p.dx.as<T>(),
                       .positions = nullptr,
                       .batch = p.dx.size(0),
                       .length = p.dx.size(1),
                       .width = p.dx.size(2)};
  const bool whole = a.width % Vec<T>::kSize == 0 && aligned_to(kVecBytes, a.in, a.out);
  launch(config("mean_token_backward_kernel", a),
         whole ? mean_token_backward_kernel<true, T> : mean_token_backward_kernel<false, T>, ctx, a);
  constexpr int kColumns = 4;  // 16 bytes of f32, 8 of bf16
  float* sums = p.dpositions.as<float>();
  if (a.width % kColumns == 0 && aligned_to(kVecBytes, a.in, sums)) {
    add_batch_sums<kColumns, true>(a.in, a.batch, a.length + 1, a.width, a.length + 1, sums, ctx);
  } else {
    add_batch_sums<kColumns, false>(a.in, a.batch, a.length + 1, a.width, a.length + 1, sums, ctx);
  }
}

}  // namespace

void mean_token_forward_cuda(const MeanTokenForward& p, const ExecContext& ctx) {
  if (p.x.dtype == DType::f32) {
    forward<float>(p, ctx);
  } else {
    forward<bfloat16>(p, ctx);
  }
}

void mean_token_backward_cuda(const MeanTokenBackward& p, const ExecContext& ctx) {
  if (p.dx.dtype == DType::f32) {
    backward<float>(p, ctx);
  } else {
    backward<bfloat16>(p, ctx);
  }
}

}  // namespace cuclip
