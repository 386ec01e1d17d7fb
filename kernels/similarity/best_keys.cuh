// The first of many candidates, kept in order by a warp.
//
// A candidate is a 64-bit key: the value's bits, turned so that larger values come first and NaN last, then
// the index. No two keys are equal, so that whoever keeps the smallest ones gets the same, in whatever order
// they are offered.
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
/// NaN of kNoKey.
__device__ __forceinline__ float value_of(uint64_t key) {
  const auto order = static_cast<uint32_t>(key >> 32);
  return __uint_as_float(order == ~0u ? 0x7fffffffu : order & 0x80000000u ? order : ~order & 0x7fffffffu);
}
__device__ __forceinline__ int32_t index_of(uint64_t key) { return static_cast<int32_t>(key); }

/// The smallest of the lanes' keys.
__device__ __forceinline__ uint64_t warp_first(uint64_t key) {
  const auto high = static_cast<uint32_t>(key >> 32), low = static_cast<uint32_t>(key);
  const uint32_t first = __reduce_min_sync(kAllLanes, high);
  return uint64_t{first} << 32 | __reduce_min_sync(kAllLanes, high == first ? low : ~0u);
}

/// The `kept` (at most kWarp) smallest of the keys that the warp was offered, ascending, one a lane. All
/// lanes call every function.
class BestKeys {
 public:
  __device__ __forceinline__ BestKeys(int kept, uint64_t key)
      : lane_(static_cast<int>(threadIdx.x % kWarp)), kept_(kept), key_(lane_ < kept ? key : kNoKey) {
    find_worst();
  }

  /// One key a lane. The smallest goes in first: when all are better than what is kept, those that would only
  /// be pushed out again never enter.
  __device__ __forceinline__ void offer(uint64_t key) {
    while (true) {
      const uint64_t first = warp_first(key);
      if (first >= worst_) return;
      const uint64_t before = __shfl_up_sync(kAllLanes, key_, 1);
      if (key_ > first) key_ = lane_ == 0 || before < first ? first : before;
      if (key == first) key = kNoKey;
      find_worst();
    }
  }

  /// The lane's key: one of the `kept`, or a later one or none.
  __device__ __forceinline__ uint64_t key() const { return key_; }
  /// The last of the `kept`, kNoKey while there are fewer.
  __device__ __forceinline__ uint64_t worst() const { return worst_; }

 private:
  __device__ __forceinline__ void find_worst() { worst_ = __shfl_sync(kAllLanes, key_, kept_ - 1); }

  int lane_, kept_;
  uint64_t key_, worst_;
};

}  // namespace cuclip
