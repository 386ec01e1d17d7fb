// Whether features that come from outside have unit length.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace cuclip {

/// Throws InputError unless each row of values [N, width] has length 1, as far as bf16 keeps it: similarities
/// would not be cosines. `name` begins the message, `advice` ends it.
void require_unit_rows(std::span<const float> values, std::size_t width, std::string_view name,
                       std::string_view advice = "");

}  // namespace cuclip
