// Sums down the columns of a matrix, in a fixed order.
#pragma once

#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/vec.cuh"

namespace cuclip {

inline constexpr int kColumnSumWarps = 8;
inline constexpr int kColumnSumThreads = kColumnSumWarps * kWarp;

/// out[c] += in[c] + in[step + c] + ... of `rows` rows, for the kWarp * N columns c that follow blockIdx.x *
/// kWarp * N and are below `width`. Each warp adds every eighth row, and the first warp adds up the warps'
/// sums, in order. The whole block of kColumnSumThreads calls it, once.
template <int N, bool kWhole, typename T>
__device__ void add_column_sums(const T* in, int64_t rows, int64_t step, int64_t width, float* out) {
  __shared__ Vec<float, N> shared[kColumnSumWarps][kWarp];
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t c = (static_cast<int64_t>(blockIdx.x) * kWarp + lane) * N;
  float sum[N] = {}, term[N];
  if (c < width) {
#pragma unroll 4
    for (int64_t row = warp; row < rows; row += kColumnSumWarps) {
      load_columns<kWhole>(in + row * step + c, width - c, term);
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] += term[j];
    }
  }
  shared[warp][lane] = pack<float>(sum);
  __syncthreads();
  if (warp > 0 || c >= width) return;
  for (int other = 1; other < kColumnSumWarps; ++other) {
    unpack(shared[other][lane], term);
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] += term[j];
  }
  add_to_columns<kWhole>(out + c, width - c, sum);
}

// out[s, :] += the sum over b of in[b, s, :]; s is blockIdx.y.
template <int N, bool kWhole, typename T>
__global__ void __launch_bounds__(kColumnSumThreads)
    batch_sums_kernel(const T* in, int64_t batch, int64_t step, int64_t width, float* out) {
  add_column_sums<N, kWhole>(in + blockIdx.y * width, batch, step, width, out + blockIdx.y * width);
}

/// out [rows, width] += the sum over b of the first `rows` rows of in[b] [length, width]. kWhole: N
/// neighbouring columns lie in one aligned access.
template <int N, bool kWhole, typename T>
void add_batch_sums(const T* in, int64_t batch, int64_t length, int64_t width, int64_t rows, float* out,
                    const ExecContext& ctx) {
  launch({.kernel = "batch_sums_kernel",
          .grid = {ceil_div(width, kWarp * N), rows},
          .threads = kColumnSumThreads},
         batch_sums_kernel<N, kWhole, T>, ctx, in, batch, length * width, width, out);
}

}  // namespace cuclip
