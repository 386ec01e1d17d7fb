// Enumerations that people write as words: on command lines, in configuration files, in checkpoints.
#pragma once

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
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

/// The value that a word stands for. Throws InputError, which says what `name` must be and what it is.
template <typename E>
E parse_word(std::string_view name, std::string_view text) {
  const auto& words = kWords<E>;
  const auto found = std::find(words.begin(), words.end(), text);
  CUCLIP_CHECK(found != words.end(), "{} must be one of {}, got \"{}\"", name, fmt::join(words, ", "), text);
  return static_cast<E>(found - words.begin());
}

}  // namespace cuclip
