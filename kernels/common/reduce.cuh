// Sums over the lanes of a warp and the warps of a block, and maxima over a warp's lanes, in a fixed order:
// the same bits on every run. Sums are in f32 or f64. Every lane of the warp, or every thread of the block,
// must call them, and all get the result.
#pragma once

#include <cstdint>

namespace cuclip {

inline constexpr int kWarp = 32;
inline constexpr uint32_t kAllLanes = 0xffffffffu;

/// Over groups of kLanes lanes that are kApart apart (both powers of two): consecutive ones, or a column of
/// lanes. A butterfly: both lanes of a pair add the same two numbers, so all end with the same bits.
template <int kLanes = kWarp, int kApart = 1, typename T>
__device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
  for (int distance = kLanes / 2 * kApart; distance >= kApart; distance /= 2) {
    x += __shfl_xor_sync(kAllLanes, x, distance);
  }
  return x;
}

/// NaN wins: fmaxf alone would drop it.
__device__ __forceinline__ float nan_max(float a, float b) { return a > b || isnan(a) ? a : b; }

template <int kLanes = kWarp, int kApart = 1>
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int distance = kLanes / 2 * kApart; distance >= kApart; distance /= 2) {
    x = nan_max(x, __shfl_xor_sync(kAllLanes, x, distance));
  }
  return x;
}

/// Sums each of N values over `warps` neighbouring warps, of which this is number `warp`, in their order.
/// `shared` has N * warps elements, is the same for all of them, and may be reused after the call. The whole
/// block must call it (there are barriers, unless warps is 1), but each team of warps may have its own
/// `shared`.
template <int N, typename T>
__device__ __forceinline__ void team_sum(T (&x)[N], int warp, int warps, T* shared) {
#pragma unroll
  for (int i = 0; i < N; ++i) x[i] = warp_sum(x[i]);
  if (warps == 1) return;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    if (threadIdx.x % kWarp == 0) shared[i * warps + warp] = x[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < N; ++i) {
    x[i] = shared[i * warps];
    for (int other = 1; other < warps; ++other) x[i] += shared[i * warps + other];
  }
  __syncthreads();
}

template <typename T>
__device__ __forceinline__ T team_sum(T x, int warp, int warps, T* shared) {
  T values[] = {x};
  team_sum(values, warp, warps, shared);
  return values[0];
}

/// Over a one-dimensional block of whole warps. `shared` has 32 elements.
template <typename T>
__device__ __forceinline__ T block_sum(T x, T* shared) {
  return team_sum(x, static_cast<int>(threadIdx.x) / kWarp, static_cast<int>(blockDim.x) / kWarp, shared);
}

/// The sum of `count` values in memory: each thread's share in order, then over the block.
template <typename T>
__device__ __forceinline__ T block_sum_of(const T* values, int64_t count, T* shared) {
  T sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += values[i];
  return block_sum(sum, shared);
}

}  // namespace cuclip
