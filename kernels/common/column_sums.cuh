// Sums down the columns of a matrix, in an order that the code fixes.
#pragma once

#include "kernels/common/reduce.cuh"
#include "kernels/common/vec.cuh"

namespace cuclip {

inline constexpr int kColumnSumWarps = 8;
inline constexpr int kColumnSumThreads = kColumnSumWarps * kWarp;

/// out[c] += in[c] + in[step + c] + ... of `rows` rows, for the kWarp * N columns c that follow blockIdx.x *
/// kWarp * N and are below `width`. Each warp adds every eighth row, and the first adds the warps', in their
/// order. The whole block of kColumnSumThreads calls it, once.
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

}  // namespace cuclip
