#include "train/data/caption_words.h"

#include <utf8proc.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace cuclip {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || (c & 0x80) != 0; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower(char c) { return is_letter(c) && !is_upper(c); }

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

std::vector<std::string> caption_words(std::string_view text) {
  std::vector<std::string> words;
  size_t i = 0;
  while (i < text.size()) {
    const size_t start = i;
    if (is_digit(text[i])) {
      while (i < text.size() && is_digit(text[i])) ++i;
    } else if (is_letter(text[i])) {
      auto apostrophe = [&] { return text[i] == '\'' && i + 1 < text.size() && is_letter(text[i + 1]); };
      while (i < text.size() && (is_letter(text[i]) || apostrophe())) ++i;
    } else {
      ++i;
      continue;
    }
    words.emplace_back(text.substr(start, i - start));
  }
  return words;
}

std::string split_camel_case(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i > 0 && is_lower(text[i - 1]) && is_upper(text[i])) out += ' ';
    out += text[i];
  }
  return out;
}

bool is_digits(std::string_view word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), is_digit);
}

std::string lower_utf8(std::string_view text) {
  std::string out;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t length = utf8proc_iterate(bytes, left, &c);
    if (length <= 0) {  // not UTF-8: as it is
      out += static_cast<char>(*bytes);
      ++bytes, --left;
      continue;
    }
    utf8proc_uint8_t encoded[4];
    const utf8proc_ssize_t n = utf8proc_encode_char(utf8proc_tolower(c), encoded);
    out.append(reinterpret_cast<const char*>(encoded), static_cast<size_t>(n));
    bytes += length;
    left -= length;
  }
  return out;
}

std::string without_accents(std::string_view text) {
  const std::string lower = lower_utf8(text);
  utf8proc_uint8_t* mapped = nullptr;
  const auto options =
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_STRIPMARK);
  const utf8proc_ssize_t length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(lower.data()),
                                               static_cast<utf8proc_ssize_t>(lower.size()), &mapped, options);
  if (length < 0) return lower;  // not UTF-8
  std::string out(reinterpret_cast<const char*>(mapped), static_cast<size_t>(length));
  std::free(mapped);
  return out;
}

std::string with_article(const std::string& word) {
  const std::string plain = without_accents(word);
  const bool vowel = !plain.empty() && std::string_view("aeiou").find(plain.front()) != std::string::npos;
  return (vowel ? "an " : "a ") + word;
}

std::string fold_word(std::string_view word) {
  std::string folded = lower_utf8(word);
  if (folded.size() > 3 && ends_with(folded, "ies")) return folded.replace(folded.size() - 3, 3, "y");
  if (folded.size() > 3 && ends_with(folded, "s") && !ends_with(folded, "ss")) folded.pop_back();
  return folded;
}

std::vector<std::string> folded_words(std::string_view text) {
  std::vector<std::string> words = caption_words(text);
  for (std::string& word : words) word = fold_word(word);
  return words;
}

std::string caption_key(std::string_view caption, Numbers numbers) {
  std::string key;
  for (const std::string& word : folded_words(caption)) {
    if (numbers == Numbers::leave_out && is_digits(word)) continue;
    if (!key.empty()) key += ' ';
    key += word;
  }
  return key;
}

}  // namespace cuclip
