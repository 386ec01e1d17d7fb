// File names and keys, which are bytes that somebody else chose, on their way to a terminal and into JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace cuclip {

/// The whole name, for one line of a terminal: line ends, escape sequences and other control characters, and
/// bytes that are not valid UTF-8, are written as \n, \t, \x1b. Everything else stays as it is.
std::string escaped_name(std::string_view name);

/// The same for messages: a name that would be longer than 200 bytes is cut there, between two characters,
/// and ends with "...".
std::string shortened_name(std::string_view name);

/// The same for a text that may have several lines: line ends stay.
std::string escaped_text(std::string_view text);

bool is_utf8(std::string_view text);

/// Every byte that is not a letter, digit or one of -._~/ as %XX: what urllib.parse.unquote_to_bytes reads.
std::string percent_encoded(std::string_view bytes);
/// The reverse. Anything else stays as it is.
std::string percent_decoded(std::string_view text);

/// json[key] = name. JSON is UTF-8, and names need not be: if this one is not, json[key] has U+FFFD in place
/// of the invalid parts, and json[key + "_bytes"] is the percent-encoded name, with which the file can be
/// opened.
void put_name(nlohmann::ordered_json& json, const std::string& key, std::string_view name);

/// The same for a list of names; json[key + "_bytes"] then has those that are not valid UTF-8, each under its
/// place in the list: {"3": "caf%E9.jpg"}.
void put_names(nlohmann::ordered_json& json, const std::string& key, const std::vector<std::string>& names);

/// JSON as text. What is not valid UTF-8 in its texts becomes U+FFFD, where nlohmann::json by itself would
/// throw.
std::string json_text(const nlohmann::ordered_json& json, int indent = 2);

}  // namespace cuclip
