// Errors and always-on checks.
//
// A message names the operation, says what was expected and what was found, and where it helps, what to do:
//   layer_norm: weight must be [768], got [512]
#pragma once

#include <fmt/core.h>

#include <string>

#include "kernels/common/error.h"

namespace cuclip {

/// Throws InputError with the formatted message.
template <typename... Args>
[[noreturn]] void fail_input(fmt::format_string<Args...> format, Args&&... args) {
  throw InputError(fmt::vformat(format, fmt::make_format_args(args...)));
}

/// Throws Error with the formatted message.
template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::vformat(format, fmt::make_format_args(args...)));
}

}  // namespace cuclip

/// Checks a condition on what the caller passed; throws InputError with a fmt message when it does not hold.
/// The message's arguments are evaluated only then.
#define CUCLIP_CHECK(condition, ...)     \
  do {                                   \
    if (!(condition)) [[unlikely]] {     \
      ::cuclip::fail_input(__VA_ARGS__); \
    }                                    \
  } while (false)
