// Division by a number that is known when the kernel is launched, in three instructions instead of twenty.
#pragma once

#include <cstdint>

namespace cuclip {

/// n / d for 0 <= n < 2^31 and 1 <= d < 2^31. With s = ceil(log2 d), the quotient is n (2^32 + m) >> (32 + s)
/// for m = floor(2^32 (2^s - d) / d) + 1 (Granlund and Montgomery 1994, "Division by invariant integers using
/// multiplication", figure 4.1).
class Divisor {
 public:
  explicit Divisor(int64_t d) : divisor_(static_cast<int>(d)) {
    while ((int64_t{1} << shift_) < d) ++shift_;
    const auto power = uint64_t{1} << shift_, by = static_cast<uint64_t>(d);
    multiplier_ = static_cast<uint32_t>(((power - by) << 32) / by + 1);
  }

  __host__ __device__ __forceinline__ operator int() const { return divisor_; }

  friend __host__ __device__ __forceinline__ int operator/(int n, const Divisor& d) {
    const auto dividend = static_cast<uint32_t>(n);
    const auto high = static_cast<uint32_t>((uint64_t{dividend} * d.multiplier_) >> 32);
    return static_cast<int>((high + dividend) >> d.shift_);
  }
  friend __host__ __device__ __forceinline__ int operator%(int n, const Divisor& d) {
    return n - n / d * d.divisor_;
  }

 private:
  int divisor_;
  int shift_ = 0;
  uint32_t multiplier_;
};

}  // namespace cuclip
