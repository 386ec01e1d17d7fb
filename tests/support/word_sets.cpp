#include "tests/support/word_sets.h"

#include <bit>

namespace cuclip::test {
namespace {

uint32_t below(uint32_t bound) { return std::uniform_int_distribution<uint32_t>(0, bound - 1)(rng()); }

}  // namespace

Buffer buffer_of(const std::vector<WordSet>& sets) {
  Buffer words = Buffer::zeros({static_cast<int64_t>(sets.size()), 4}, DType::i32);
  for (size_t i = 0; i < sets.size(); ++i) {
    for (size_t w = 0; w < 4; ++w) words.edit<int32_t>()[i * 4 + w] = std::bit_cast<int32_t>(sets[i][w]);
  }
  return words;
}

std::vector<WordSet> random_sets(int64_t count, uint32_t vocabulary, uint32_t most) {
  std::vector<WordSet> words(vocabulary);
  for (WordSet& word : words) {
    add_bit(word, below(128));
    add_bit(word, below(128));
  }
  std::vector<WordSet> sets(static_cast<size_t>(count));
  for (WordSet& set : sets) {
    for (uint32_t left = below(most + 1); left > 0; --left) {
      const WordSet& word = words[below(vocabulary)];
      for (size_t w = 0; w < 4; ++w) set[w] |= word[w];
    }
  }
  return sets;
}

}  // namespace cuclip::test
