// Two kernels run everything: a thread an element, or a block of 256 threads a row; what they do is a
// functor. Nothing is vectorised and nothing kept from one pass to the next.
#pragma once

#include <type_traits>

#include "kernels/common/check.h"
#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/vec.cuh"

namespace cuclip::bench::naive {

constexpr int kThreads = 256;

template <typename Body>
__global__ void __launch_bounds__(kThreads) each_element_kernel(int64_t n, const Body body) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < n) body(i);
}
template <typename Body>
void each_element(int64_t n, const Body& body, const ExecContext& ctx) {
  launch({.kernel = "naive element", .grid = {ceil_div(n, kThreads)}, .threads = kThreads},
         each_element_kernel<Body>, ctx, n, body);
}

// body(row, sum), where sum(x) adds over the block.
struct BlockSum {
  float* shared;
  __device__ float operator()(float x) const { return block_sum(x, shared); }
};
inline __device__ float block_max(float x) {
  __shared__ float maxima[kThreads / kWarp];
  x = warp_max(x);
  if (threadIdx.x % kWarp == 0) maxima[threadIdx.x / kWarp] = x;
  __syncthreads();
  for (const float other : maxima) x = nan_max(x, other);
  return x;
}
template <typename Body>
__global__ void __launch_bounds__(kThreads) each_row_kernel(const Body body) {
  __shared__ float shared[kWarp];
  body(static_cast<int64_t>(blockIdx.x), BlockSum{shared});
}
template <typename Body>
void each_row(int64_t rows, const Body& body, const ExecContext& ctx) {
  launch({.kernel = "naive row", .grid = {rows}, .threads = kThreads}, each_row_kernel<Body>, ctx, body);
}

// Calls f with a null pointer of the tensor's type.
template <typename F>
void with_type(const TensorView& x, F&& f) {
  if (x.dtype == DType::bf16) {
    f(static_cast<bfloat16*>(nullptr));
  } else {
    f(static_cast<float*>(nullptr));
  }
}
#define CUCLIP_TYPE(pointer) std::remove_pointer_t<decltype(pointer)>

}  // namespace cuclip::bench::naive
