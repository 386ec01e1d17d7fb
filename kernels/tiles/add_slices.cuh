// The sums of a weight gradient's slices (row_slices.h), added in order onto the gradient.
#pragma once

#include "kernels/common/launch.cuh"
#include "kernels/common/vec.cuh"

namespace cuclip {

inline constexpr int kSumThreads = 256;

// out[i] += the slices' sums, added in order; kSize neighbours per thread. There are too few slices for the
// warps of add_column_sums.
template <int kSize>
__global__ void __launch_bounds__(kSumThreads)
    add_slices_kernel(const float* partial, int64_t slices, int64_t stride, int64_t count, float* out) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kSumThreads + threadIdx.x) * kSize;
  if (i >= count) return;
  float sum[kSize] = {}, term[kSize];
#pragma unroll 4
  for (int64_t slice = 0; slice < slices; ++slice) {
    load_columns<true>(partial + slice * stride + i, kSize, term);
#pragma unroll
    for (int j = 0; j < kSize; ++j) sum[j] += term[j];
  }
  add_to_columns<true>(out + i, kSize, sum);
}

inline void add_slices(const float* partial, int64_t slices, int64_t stride, int64_t count, float* out,
                       const ExecContext& ctx) {
  const auto add = [&](auto kernel, int64_t size) {
    launch({.kernel = "add_slices_kernel",
            .grid = {ceil_div(count, kSumThreads * size)},
            .threads = kSumThreads},
           kernel, ctx, partial, slices, stride, count, out);
  };
  if (count % 4 == 0 && aligned_to(kVecBytes, partial, out)) {
    add(add_slices_kernel<4>, 4);
  } else {
    add(add_slices_kernel<1>, 1);
  }
}

}  // namespace cuclip
