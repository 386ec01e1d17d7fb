#include "models/text/html_entities.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "models/text/unicode.h"
#include "models/text/windows_1252.h"

namespace cuclip {
namespace {

struct Entity {
  std::string_view name;
  std::string_view text;
  bool without_semicolon;
};

constexpr Entity kEntities[] = {
#include "models/text/html_entities.inc"
};

constexpr size_t kLongestName = 32;  // of any name with its semicolon

const Entity* find_entity(std::string_view name) {
  const auto* found = std::lower_bound(std::begin(kEntities), std::end(kEntities), name,
                                       [](const Entity& e, std::string_view n) { return e.name < n; });
  return found != std::end(kEntities) && found->name == name ? found : nullptr;
}

// The longest prefix of `name` (of at least two characters) that counts without a semicolon.
const Entity* find_prefix(std::string_view name) {
  for (size_t length = name.size(); length >= 2; --length) {
    const Entity* entity = find_entity(name.substr(0, length));
    if (entity && entity->without_semicolon) return entity;
  }
  return nullptr;
}

bool is_ascii_digit(char32_t c) { return c >= '0' && c <= '9'; }
bool is_hex_digit(char32_t c) {
  return is_ascii_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_ascii_alphanumeric(char32_t c) {
  return is_ascii_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
// Any character but these can be part of a name, and only ASCII ones are part of a known one.
bool is_name_character(char32_t c) {
  return c != '\t' && c != '\n' && c != '\f' && c != ' ' && c != '<' && c != '&' && c != '#' && c != ';';
}

// What a numeric reference stands for: nothing for characters that HTML forbids.
std::optional<char32_t> numeric_character(char32_t value) {
  if (value == 0 || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return kReplacementCharacter;
  if (value >= 0x80 && value <= 0x9F) return kWindows1252High[value - 0x80];
  const bool control =
      (value < 0x20 && value != '\t' && value != '\n' && value != '\f' && value != '\r') || value == 0x7F;
  const bool noncharacter = (value >= 0xFDD0 && value <= 0xFDEF) || (value & 0xFFFE) == 0xFFFE;
  if (control || noncharacter) return std::nullopt;
  return value;
}

// Reads "&#…" at the start of text: how many characters belong to it (0: not a reference) and its character.
struct Numeric {
  size_t length = 0;
  std::optional<char32_t> character;
};

Numeric read_numeric(std::u32string_view text) {
  const bool hex = text.size() > 2 && (text[2] == 'x' || text[2] == 'X');
  const size_t start = hex ? 3 : 2;
  size_t end = start;
  char32_t value = 0;
  for (; end < text.size() && (hex ? is_hex_digit(text[end]) : is_ascii_digit(text[end])); ++end) {
    const char32_t c = text[end];
    const char32_t digit = is_ascii_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
    value =
        std::min<char32_t>(value * (hex ? 16 : 10) + digit, 0x110000);  // saturates: too large is too large
  }
  if (end == start) return {};
  if (end < text.size() && text[end] == ';') ++end;
  return {end, numeric_character(value)};
}

std::string ascii(std::u32string_view text) {
  std::string out;
  for (const char32_t c : text) out.push_back(c < 0x80 ? static_cast<char>(c) : '\x7F');  // matches no name
  return out;
}

std::u32string to_upper(std::string_view utf8) {
  std::u32string out;
  for (const char32_t c : decode_utf8(utf8)) {
    switch (c) {  // the characters among the entities whose upper case is longer
      case 0xDF:
        out += U"SS";
        break;
      case 0x149:
        out += U"\u02BCN";
        break;
      case 0xFB00:
        out += U"FF";
        break;
      case 0xFB01:
        out += U"FI";
        break;
      case 0xFB02:
        out += U"FL";
        break;
      case 0xFB03:
        out += U"FFI";
        break;
      case 0xFB04:
        out += U"FFL";
        break;
      default:
        out.push_back(static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
    }
  }
  return out;
}

// A name in capitals, unless it or its beginning means something in capitals already.
std::optional<std::u32string> capitalised_entity(std::string name) {
  if (find_prefix(name)) return std::nullopt;
  for (char& c : name) {
    if (c >= 'a' && c <= 'z') return std::nullopt;
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  const Entity* entity = find_entity(name);
  if (!entity) return std::nullopt;
  return to_upper(entity->text);
}

// Replaces at every "&": `replace` gets the rest of the text from there and the output, and returns how many
// characters it has dealt with (0: copy the "&").
template <typename Replace>
std::u32string replace_references(std::u32string_view text, Replace replace) {
  std::u32string out;
  out.reserve(text.size());
  size_t i = 0;
  while (i < text.size()) {
    const size_t used = text[i] == '&' ? replace(text.substr(i), out) : 0;
    if (used == 0) out.push_back(text[i]);
    i += std::max<size_t>(used, 1);
  }
  return out;
}

size_t replace_reference(std::u32string_view text, std::u32string& out) {
  if (text.size() > 1 && text[1] == '#') {
    const Numeric numeric = read_numeric(text);
    if (numeric.character) out.push_back(*numeric.character);
    return numeric.length;
  }
  size_t end = 1;
  while (end < text.size() && end <= kLongestName && is_name_character(text[end])) ++end;
  const std::string name = ascii(text.substr(1, end - 1));
  const bool semicolon = end < text.size() && text[end] == ';';
  const Entity* entity = semicolon ? find_entity(name) : nullptr;
  const size_t used = entity ? end + 1 : 0;
  if (!entity) entity = find_prefix(name);
  if (!entity) return 0;
  out += decode_utf8(entity->text);
  return used > 0 ? used : 1 + entity->name.size();
}

size_t replace_strict_reference(std::u32string_view text, std::u32string& out) {
  constexpr size_t kLongestStrict = 24;
  const size_t start = text.size() > 1 && text[1] == '#' ? 2 : 1;
  size_t end = start;
  while (end < text.size() && end - start < kLongestStrict && is_ascii_alphanumeric(text[end])) ++end;
  if (end == start || end == text.size() || text[end] != ';') return 0;
  if (start == 2) {
    const Numeric numeric = read_numeric(text);
    if (numeric.length != end + 1 || numeric.character == U';') return 0;
    if (numeric.character) out.push_back(*numeric.character);
    return end + 1;
  }
  const std::string name = ascii(text.substr(1, end - 1));
  if (const Entity* entity = find_entity(name)) {
    out += decode_utf8(entity->text);
    return end + 1;
  }
  const auto capitals = capitalised_entity(name);
  if (!capitals) return 0;
  out += *capitals;
  return end + 1;
}

}  // namespace

std::u32string unescape_html(std::u32string_view text) { return replace_references(text, replace_reference); }

std::u32string unescape_html_strict(std::u32string_view text) {
  return replace_references(text, replace_strict_reference);
}

}  // namespace cuclip
