// Random numbers that are a function of what they are for, not of who drew before.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace cuclip {

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
/// generators"): a bijection in which every output bit depends on every input bit.
constexpr uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// SplitMix64 started from a key such as {seed, epoch, sample index}: two threads that work on different
/// samples, in whatever order, draw the same numbers as one thread would.
class CounterRng {
 public:
  constexpr CounterRng(std::initializer_list<uint64_t> key) {
    for (uint64_t part : key) state_ = mix64(state_ + kGolden + mix64(part + kGolden));
  }

  constexpr uint64_t next() { return mix64(state_ += kGolden); }

  /// Uniform in [0, 1), 53 bits.
  constexpr double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  constexpr double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// Uniform in [0, bound), bound in [1, 2^32] (multiply-shift: its bias is below 2^-32).
  constexpr int64_t below(int64_t bound) {
    return static_cast<int64_t>(((next() >> 32) * static_cast<uint64_t>(bound)) >> 32);
  }

 private:
  static constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio, SplitMix64's increment
  uint64_t state_ = 0;
};

}  // namespace cuclip
