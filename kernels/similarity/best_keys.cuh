// The best few of many candidates, kept in order by a warp.
//
// A candidate is a 64-bit key: the value's bits, turned so that larger values come first and NaN last, then
// the index. No two keys are equal, so the smallest ones are the same in whatever order they are offered.
#pragma once

#include <cstdint>

#include "kernels/common/reduce.cuh"

namespace cuclip {

inline constexpr uint64_t kNoKey = ~uint64_t{0};  ///< after every key: indices are below 2^31

/// +0 and -0 are equal; so are all NaN.
__device__ __forceinline__ uint64_t key_of(float value, int64_t index) {
  const uint32_t bits = __float_as_uint(value == 0.0f ? 0.0f : value);
  const uint32_t order = isnan(value) ? ~0u : bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
  return uint64_t{order} << 32 | static_cast<uint64_t>(index);
}
/// The value of a key; NaN for kNoKey.
__device__ __forceinline__ float value_of(uint64_t key) {
  const auto order = static_cast<uint32_t>(key >> 32);
  return __uint_as_float(order == ~0u ? 0x7fffffffu : order & 0x80000000u ? order : ~order & 0x7fffffffu);
}
__device__ __forceinline__ int32_t index_of(uint64_t key) { return static_cast<int32_t>(key); }

/// The lanes' keys in ascending order (bitonic sort, Batcher 1968). With kRun = 2 they may come in any order;
/// with kWarp they must ascend up to some lane and descend from there.
template <int kRun>
__device__ __forceinline__ uint64_t sorted(uint64_t key, int lane) {
#pragma unroll
  for (int run = kRun; run <= kWarp; run *= 2) {
#pragma unroll
    for (int distance = run / 2; distance > 0; distance /= 2) {
      const uint64_t other = __shfl_xor_sync(kAllLanes, key, distance);
      const bool takes_smaller = ((lane & run) == 0) == ((lane & distance) == 0);
      key = (key < other) == takes_smaller ? key : other;
    }
  }
  return key;
}

/// The `kept` (at most kWarp) smallest of the keys that the warp was offered, ascending, one per lane. All
/// lanes call every function.
class BestKeys {
 public:
  /// The lanes' keys of a list, of which the first `kept` count.
  __device__ __forceinline__ BestKeys(int kept, uint64_t key)
      : lane_(static_cast<int>(threadIdx.x % kWarp)), kept_(kept), key_(lane_ < kept ? key : kNoKey) {
    find_worst();
  }

  /// Offers one key per lane.
  __device__ __forceinline__ void offer(uint64_t key) {
    constexpr int kFew = 8;  // are put in one by one with fewer instructions
    uint32_t better = __ballot_sync(kAllLanes, key < worst_);
    if (better == 0) return;
    if (__popc(better) > kFew) {
      const uint64_t other = __shfl_xor_sync(kAllLanes, sorted<2>(key, lane_), kWarp - 1);
      key_ = sorted<kWarp>(min(key_, other), lane_);
    } else {
      for (; better != 0; better &= better - 1) insert(__shfl_sync(kAllLanes, key, __ffs(better) - 1));
    }
    find_worst();
  }

  /// The lane's key: one of the `kept`, or a later one, or kNoKey.
  __device__ __forceinline__ uint64_t key() const { return key_; }
  /// The last of the `kept`; kNoKey while there are fewer.
  __device__ __forceinline__ uint64_t worst() const { return worst_; }

 private:
  __device__ __forceinline__ void insert(uint64_t key) {
    const uint64_t before = __shfl_up_sync(kAllLanes, key_, 1);
    if (key_ > key) key_ = lane_ == 0 || before < key ? key : before;
  }
  __device__ __forceinline__ void find_worst() { worst_ = __shfl_sync(kAllLanes, key_, kept_ - 1); }

  int lane_, kept_;
  uint64_t key_, worst_;
};

}  // namespace cuclip
