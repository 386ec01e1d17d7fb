// JSON from files that may be damaged or hostile.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace cuclip {

/// Parses JSON whose outermost value is an object. Throws InputError, naming `name`, where it is not JSON,
/// where an object has a key twice (parsers keep one of the two without a word), and where it is nested more
/// than 16 deep (printing a value in a message recurses).
nlohmann::json parse_strict_json(std::string_view text, std::string_view name);

/// A value for a message: its JSON, cut where it would be longer than a name may be (shortened_name).
std::string excerpt(const nlohmann::json& value);

/// A number of a size that a ratio, a mean or a deviation can have, and that f32 can hold.
bool is_moderate(const nlohmann::json& value);

/// A whole number in 1 ... limit - 1. Throws InputError, which says that "{where}: {key}" must be one, and
/// what it is.
int positive_whole_number(const nlohmann::json& value, std::string_view where, std::string_view key,
                          int limit);

}  // namespace cuclip
