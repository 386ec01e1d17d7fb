// Random numbers for the data side: small, fast, and the same on every machine and for any number of threads,
// since every sample of every epoch has a generator of its own. (Initialisation uses
// kernels/random's Philox; augmentation and patch dropout use this.)
#pragma once

#include <cstdint>

namespace cuclip {

/// SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
class SplitMix64 {
 public:
  explicit constexpr SplitMix64(uint64_t state) : state_(state) {}

  constexpr uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15u); }

  /// Uniform in [0, 1), 53 bits.
  constexpr double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  /// Uniform in [low, high).
  constexpr double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// Uniform in 0 ... n - 1, for n >= 1. Draws again where the last incomplete run of n would favour small
  /// numbers.
  constexpr uint64_t below(uint64_t n) {
    const uint64_t rest = (~uint64_t{0} % n + 1) % n;  // 2^64 mod n
    uint64_t value = next();
    while (value > ~uint64_t{0} - rest) value = next();
    return value % n;
  }

  /// A bijection of 64-bit numbers that spreads every input bit over all output bits.
  static constexpr uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

/// The generator of one sample in one epoch of the run with this seed.
constexpr SplitMix64 sample_rng(uint64_t seed, uint64_t epoch, uint64_t sample) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;
  uint64_t state = SplitMix64::mix(seed + kGolden);
  state = SplitMix64::mix(state + epoch * kGolden + kGolden);
  return SplitMix64(SplitMix64::mix(state + sample * kGolden + kGolden));
}

}  // namespace cuclip
