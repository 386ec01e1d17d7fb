// A bit for each byte of some memory: whether it has been written.
#pragma once

#include <cstdint>
#include <vector>

namespace emu {

class Bits {
 public:
  explicit Bits(uint64_t count = 0) { clear(count); }

  /// `count` bits, all off.
  void clear(uint64_t count) { words_.assign(count / 64 + 2, 0); }

  /// Are the bits [first, first + count) all on?
  bool all(uint64_t first, uint64_t count) const {
    bool on = true;
    each_word(first, count, [&](uint64_t word, uint64_t mask) { on &= (words_[word] & mask) == mask; });
    return on;
  }

  /// Is one of the bits [first, first + count) on?
  bool any(uint64_t first, uint64_t count) const {
    bool on = false;
    each_word(first, count, [&](uint64_t word, uint64_t mask) { on |= (words_[word] & mask) != 0; });
    return on;
  }

  /// Turns bits on. Other threads may do so with their neighbours.
  void set(uint64_t first, uint64_t count) {
    each_word(first, count, [&](uint64_t word, uint64_t mask) {
      if ((words_[word] & mask) != mask) __atomic_fetch_or(&words_[word], mask, __ATOMIC_RELAXED);
    });
  }

  /// Turns bits off.
  void reset(uint64_t first, uint64_t count) {
    each_word(first, count, [&](uint64_t word, uint64_t mask) {
      __atomic_fetch_and(&words_[word], ~mask, __ATOMIC_RELAXED);
    });
  }

 private:
  // Calls body(word, mask) for each word that the bits lie in.
  template <class Body>
  static void each_word(uint64_t first, uint64_t count, const Body& body) {
    for (const uint64_t end = first + count; first < end;) {
      const uint64_t at = first % 64, bits = end - first < 64 - at ? end - first : 64 - at;
      body(first / 64, ~uint64_t{0} >> (64 - bits) << at);
      first += bits;
    }
  }

  std::vector<uint64_t> words_;
};

}  // namespace emu
