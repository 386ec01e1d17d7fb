// Division and rounding upwards.
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>

namespace cuclip {

/// The 64-bit type for two numbers that are not negative: size_t where either is one, else int64_t.
template <std::integral A, std::integral B>
constexpr auto ceil_div(A a, B b) {
  using Wide = std::common_type_t<A, B, int64_t>;
  return (static_cast<Wide>(a) + static_cast<Wide>(b) - 1) / static_cast<Wide>(b);
}
template <std::integral A, std::integral B>
constexpr auto round_up(A a, B multiple) {
  return ceil_div(a, multiple) * static_cast<std::common_type_t<A, B, int64_t>>(multiple);
}

}  // namespace cuclip
