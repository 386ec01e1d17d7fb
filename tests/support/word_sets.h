// Sets of 128 bits, as the contrastive loss takes them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tests/support/buffer.h"

namespace cuclip::test {

using WordSet = std::array<uint32_t, 4>;

inline void add_bit(WordSet& set, uint32_t bit) { set[bit / 32] |= 1u << bit % 32; }

/// [sets, 4] i32
Buffer buffer_of(const std::vector<WordSet>& sets);

/// Sets of up to `most` words of a vocabulary, each of two bits: few words contain each other often, and one
/// in `most` + 1 sets is empty.
std::vector<WordSet> random_sets(int64_t count, uint32_t vocabulary, uint32_t most);

}  // namespace cuclip::test
