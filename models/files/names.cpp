#include "models/files/names.h"

#include <fmt/core.h>
#include <utf8proc.h>

#include <algorithm>
#include <cctype>
#include <charconv>

namespace cuclip {
namespace {

// The length in bytes of the first character, or 0 if it is not valid UTF-8; its code point goes to `c`.
size_t first_character(std::string_view text, utf8proc_int32_t& c) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const utf8proc_ssize_t length = utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size()), &c);
  return length > 0 ? static_cast<size_t>(length) : 0;
}

// Control characters, and those that turn the direction of what follows.
bool disturbs(utf8proc_int32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || (c >= 0x202a && c <= 0x202e) ||
         (c >= 0x2066 && c <= 0x2069);
}

std::string escape(std::string_view bytes) {
  if (bytes == "\n") return "\\n";
  if (bytes == "\t") return "\\t";
  if (bytes == "\r") return "\\r";
  std::string out;
  for (const char byte : bytes) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  return out;
}

std::string escaped(std::string_view text, std::string_view kept, size_t longest = std::string_view::npos) {
  std::string out;
  while (!text.empty()) {
    utf8proc_int32_t c = 0;
    const size_t length = first_character(text, c);
    const std::string_view character = text.substr(0, std::max<size_t>(length, 1));
    const bool keep = kept.find(text[0]) != kept.npos;
    const std::string shown =
        !keep && (length == 0 || disturbs(c)) ? escape(character) : std::string(character);
    if (shown.size() > longest - out.size()) return out + "...";
    out += shown;
    text.remove_prefix(character.size());
  }
  return out;
}

}  // namespace

std::string escaped_name(std::string_view name) { return escaped(name, ""); }
std::string shortened_name(std::string_view name) { return escaped(name, "", 200); }
std::string escaped_text(std::string_view text) { return escaped(text, "\n\t"); }

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    utf8proc_int32_t c = 0;
    const size_t length = first_character(text, c);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string percent_encoded(std::string_view bytes) {
  constexpr std::string_view kPlain = "-._~/";
  std::string out;
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    const bool plain = value < 0x80 && (std::isalnum(value) != 0 || kPlain.find(byte) != kPlain.npos);
    out += plain ? std::string(1, byte) : fmt::format("%{:02X}", value);
  }
  return out;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const std::string_view digits = text[i] == '%' ? text.substr(i + 1, 2) : "";
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() == 2 && error == std::errc() && end == digits.data() + 2) {
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

void put_name(nlohmann::ordered_json& json, const std::string& key, std::string_view name) {
  json[key] = std::string(name);
  if (!is_utf8(name)) json[key + "_bytes"] = percent_encoded(name);
}

void put_names(nlohmann::ordered_json& json, const std::string& key, const std::vector<std::string>& names) {
  json[key] = names;
  for (size_t i = 0; i < names.size(); ++i) {
    if (!is_utf8(names[i])) json[key + "_bytes"][std::to_string(i)] = percent_encoded(names[i]);
  }
}

std::string json_text(const nlohmann::ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace cuclip
