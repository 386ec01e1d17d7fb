// The order in which an epoch takes the samples.
#pragma once

#include <cstdint>

namespace cuclip {

/// The permutation behind the shuffle: position -> sample, both in [0, size). A Feistel network over the next
/// power of four, walked until it falls inside (Black and Rogaway 2002, "Ciphers with arbitrary finite
/// domains").
class Permutation {
 public:
  Permutation(int64_t size, uint64_t seed, uint64_t epoch);
  int64_t operator()(int64_t position) const;

 private:
  uint64_t size_;
  int half_bits_;
  uint64_t key_;
};

}  // namespace cuclip
