// Enumerations that people write as words: on command lines, in configuration files, in checkpoints.
#pragma once

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "kernels/common/check.h"

namespace cuclip {

/// The words of an enumeration whose values count from 0, in their order; specialised beside it.
template <typename E>
inline constexpr std::array<std::string_view, 0> kWords{};

template <typename E>
constexpr std::string_view word(E value) {
  return kWords<E>[static_cast<size_t>(value)];
}

/// The value that a word stands for, if it is one of the enumeration's.
template <typename E>
constexpr std::optional<E> find_word(std::string_view text) {
  const auto found = std::find(kWords<E>.begin(), kWords<E>.end(), text);
  if (found == kWords<E>.end()) return std::nullopt;
  return static_cast<E>(found - kWords<E>.begin());
}

/// The index of a word in `words`. Throws InputError, which says what `name` must be and what it is.
inline size_t place_of_word(std::string_view name, std::span<const std::string_view> words,
                            std::string_view text) {
  const auto found = std::find(words.begin(), words.end(), text);
  CUCLIP_CHECK(found != words.end(), "{} must be one of {}, got \"{}\"", name, fmt::join(words, ", "), text);
  return static_cast<size_t>(found - words.begin());
}

/// The value that a word stands for; throws as place_of_word does.
template <typename E>
E parse_word(std::string_view name, std::string_view text) {
  return static_cast<E>(place_of_word(name, kWords<E>, text));
}

}  // namespace cuclip
