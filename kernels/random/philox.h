// Philox4x32-10, a counter-based random number generator: block `counter` of key `key` is a pure function of
// the two. Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). Header
// only.
#pragma once

#include <array>
#include <cstdint>

namespace cuclip {

using PhiloxBlock = std::array<uint32_t, 4>;

/// Ten rounds of Philox4x32.
constexpr PhiloxBlock philox4x32(PhiloxBlock counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

/// Block number `index` (four 32-bit words) of a stream: the seed is the key, the stream the upper half of
/// the counter.
constexpr PhiloxBlock philox_block(uint64_t seed, uint64_t stream, uint64_t index) {
  return philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                     static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
                    {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
}

/// The words of a stream one after another: a UniformRandomBitGenerator whose whole state is (seed, stream,
/// position), so that a checkpoint stores three numbers. Use its own below() and uniform(): the results of
/// std::shuffle and the standard distributions differ between libraries.
class PhiloxStream {
 public:
  using result_type = uint32_t;

  /// `position`: how many words have been drawn before.
  constexpr explicit PhiloxStream(uint64_t seed, uint64_t stream = 0, uint64_t position = 0)
      : seed_(seed), stream_(stream), position_(position) {
    if (position_ % 4 != 0) block_ = philox_block(seed_, stream_, position_ / 4);
  }

  static constexpr uint32_t min() { return 0; }
  static constexpr uint32_t max() { return 0xFFFFFFFFu; }

  constexpr uint32_t operator()() {
    if (position_ % 4 == 0) block_ = philox_block(seed_, stream_, position_ / 4);
    return block_[position_++ % 4];
  }

  /// Two words, the first in the lower half.
  constexpr uint64_t next_u64() {
    const uint64_t low = (*this)();
    return low | uint64_t{(*this)()} << 32;
  }

  /// Uniform in [0, 1), 53 bits.
  constexpr double uniform() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }

  /// Uniform in [0, bound) without bias, bound >= 1: draws again in the rare case that the word falls into
  /// the incomplete last stretch of 2^64.
  constexpr uint64_t below(uint64_t bound) {
    const uint64_t reject = (~bound + 1) % bound;  // 2^64 mod bound
    uint64_t word = next_u64();
    while (word < reject) word = next_u64();
    return word % bound;
  }

  constexpr uint64_t position() const { return position_; }

 private:
  uint64_t seed_;
  uint64_t stream_;
  uint64_t position_;
  PhiloxBlock block_{};
};

}  // namespace cuclip
