// The pieces of the kernels in attention_any.cu. A warp owns kRows rows of one side (queries or keys) and
// meets the other side's rows in tiles of 32, one per lane: each lane takes its dot products, the scores,
// alone. Sums over the tile's rows are taken with the lanes along the head dimension, up to kLaneDims
// elements each.
//
// Tiles are f32 in shared memory. Their rows are an odd number of floats apart, so that lanes that read down
// a column fall into different banks.
#pragma once

#include "kernels/common/reduce.cuh"
#include "kernels/common/vec.cuh"

namespace cuclip {

inline constexpr int kRows = 4;
inline constexpr int kTileRows = kWarp;
inline constexpr int kLaneDims = 8;  // head dimensions up to 256

__host__ __device__ constexpr int tile_stride(int head_dim) { return head_dim | 1; }

/// The block copies rows [first, first + rows) of a matrix of `length` rows to `tile`, and zeros beyond.
template <typename T>
__device__ __forceinline__ void load_tile(const T* matrix, int64_t stride, int64_t first, int64_t length,
                                          int head_dim, int rows, float* tile) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  for (int row = static_cast<int>(threadIdx.x) / kWarp; row < rows; row += warps) {
    const T* source = matrix + (first + row) * stride;
    for (int d = lane; d < head_dim; d += kWarp) {
      tile[row * tile_stride(head_dim) + d] = first + row < length ? to_float(source[d]) : 0.0f;
    }
  }
}

/// dots[r] = own row r . this lane's row of the tile.
__device__ __forceinline__ void dot_rows(float (&dots)[kRows], const float* own, const float* tile,
                                         int head_dim) {
  const int stride = tile_stride(head_dim);
  const float* row = tile + threadIdx.x % kWarp * stride;
#pragma unroll
  for (int r = 0; r < kRows; ++r) dots[r] = 0.0f;
  for (int d = 0; d < head_dim; ++d) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) dots[r] = fmaf(own[r * stride + d], row[d], dots[r]);
  }
}

/// sums[r][i] += sum over the tile's rows t of weights[r] of lane t times element lane + 32 i of row t.
__device__ __forceinline__ void add_rows(float (&sums)[kRows][kLaneDims], const float (&weights)[kRows],
                                         const float* tile, int head_dim) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int t = 0; t < kTileRows; ++t) {
    const float* row = tile + t * tile_stride(head_dim);
    float w[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) w[r] = __shfl_sync(kAllLanes, weights[r], t);
#pragma unroll
    for (int i = 0; i < kLaneDims; ++i) {
      const int d = lane + i * kWarp;
      if (d < head_dim) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) sums[r][i] = fmaf(w[r], row[d], sums[r][i]);
      }
    }
  }
}

/// row[d] = factor * sums, for the lane's elements.
template <typename T>
__device__ __forceinline__ void store_row(T* row, const float (&sums)[kLaneDims], float factor,
                                          int head_dim) {
#pragma unroll
  for (int i = 0; i < kLaneDims; ++i) {
    const int d = static_cast<int>(threadIdx.x) % kWarp + i * kWarp;
    if (d < head_dim) row[d] = from_float<T>(sums[i] * factor);
  }
}

}  // namespace cuclip
