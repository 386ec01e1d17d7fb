// Sums down the columns of a matrix, in an order that the code fixes.
#pragma once

#include "kernels/common/reduce.cuh"
#include "kernels/common/vec.cuh"

namespace cuclip {

/// N neighbouring columns of a row as f32: one access where kWhole says that they lie in the row and are
/// aligned, else the first `n` of them, one by one.
template <bool kWhole, typename T, int N>
__device__ __forceinline__ void load_columns(const T* p, int64_t n, float (&out)[N]) {
  if constexpr (kWhole) {
    unpack(load_vec<T, N>(p), out);
  } else {
    load_part(p, n, out);
  }
}

/// The same to global memory.
template <bool kWhole, typename T, int N>
__device__ __forceinline__ void store_columns(T* p, int64_t n, const float (&v)[N]) {
  if constexpr (kWhole) {
    store_vec_global(p, pack<T>(v));
  } else {
    store_part(p, n, v);
  }
}

/// p[j] += v[j] for N neighbouring columns, as load_columns.
template <bool kWhole, int N>
__device__ __forceinline__ void add_to_columns(float* p, int64_t n, const float (&v)[N]) {
  float sum[N];
  load_columns<kWhole>(p, n, sum);
#pragma unroll
  for (int j = 0; j < N; ++j) sum[j] += v[j];
  store_columns<kWhole>(p, n, sum);
}

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
