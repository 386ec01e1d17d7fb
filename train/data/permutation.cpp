#include "train/data/permutation.h"

#include <bit>

#include "core/rng.h"

namespace cuclip {
namespace {

constexpr uint64_t kShuffle = 0x73687566;  // sets these keys apart from other uses of the seed
constexpr int kRounds = 6;

}  // namespace

Permutation::Permutation(int64_t size, uint64_t seed, uint64_t epoch)
    : size_(static_cast<uint64_t>(size)), key_(sample_rng(seed ^ kShuffle, epoch, 0).next()) {
  const int bits = static_cast<int>(std::bit_width(size_ - 1));
  half_bits_ = (bits + 1) / 2;
}

int64_t Permutation::operator()(int64_t position) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  auto value = static_cast<uint64_t>(position);
  // The domain is less than four times the size: four walks on average at most.
  do {
    uint64_t left = value >> half_bits_, right = value & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t next = left ^ (SplitMix64::mix(key_ + (round << 58) + right) & mask);
      left = right;
      right = next;
    }
    value = left << half_bits_ | right;
  } while (value >= size_);
  return static_cast<int64_t>(value);
}

}  // namespace cuclip
