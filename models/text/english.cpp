#include "models/text/english.h"

#include <utf8proc.h>

#include <cstdlib>

namespace cuclip {

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

std::string with_article(const std::string& phrase) {
  const std::string plain = without_accents(phrase);
  const bool vowel = !plain.empty() && std::string_view("aeiou").find(plain.front()) != std::string::npos;
  return (vowel ? "an " : "a ") + phrase;
}

std::vector<std::string> with_articles(std::span<const std::string> phrases) {
  std::vector<std::string> result;
  for (const std::string& phrase : phrases) result.push_back(with_article(phrase));
  return result;
}

}  // namespace cuclip
