#include "models/text/english.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace cuclip {
namespace {

template <size_t N>
bool is_one_of(const std::array<std::string_view, N>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), lower_utf8(word)) != words.end();
}

constexpr std::array<std::string_view, 3> kArticles = {"a", "an", "the"};
// What joins things of equal rank, or makes the noun before it a measure or a container of the one after it.
constexpr std::array<std::string_view, 4> kJoining = {"and", "or", "of", "&"};
// What a description begins with that follows its noun.
constexpr std::array<std::string_view, 29> kAfterHead = {
    "about", "above",  "across",  "against", "along", "among", "around", "at",     "before", "behind",
    "below", "beside", "between", "by",      "for",   "from",  "in",     "inside", "near",   "on",
    "over",  "that",   "through", "to",      "under", "which", "who",    "with",   "without"};

std::vector<std::string> words_between_blanks(std::string_view text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    if (std::string_view(" \t\r\n").find(c) == std::string_view::npos) {
      words.back() += c;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

}  // namespace

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

std::string with_toggled_article(const std::string& phrase) {
  const std::vector<std::string> words = words_between_blanks(phrase);
  if (words.size() < 2 || !is_one_of(kArticles, words.front())) return with_article(phrase);
  const size_t after = phrase.find(words.front()) + words.front().size();
  return phrase.substr(phrase.find_first_not_of(" \t\r\n", after));
}

std::string head_of_phrase(std::string_view phrase) {
  const size_t last = phrase.find_last_not_of(" \t\r\n.!?");
  if (last == phrase.npos) return "";
  const std::string_view text = phrase.substr(0, last + 1);
  if (text.find_first_of("!\"#$%()*+,./:;<=>?@[\\]^_`{|}~") != text.npos) return "";
  std::vector<std::string> words = words_between_blanks(text);
  if (is_one_of(kArticles, words.front())) words.erase(words.begin());
  const auto joining = [](const std::string& word) { return is_one_of(kJoining, word); };
  if (words.size() < 2 || std::any_of(words.begin(), words.end(), joining)) return "";
  const auto end = std::find_if(words.begin(), words.end(),
                                [](const std::string& word) { return is_one_of(kAfterHead, word); });
  return end == words.begin() ? "" : *std::prev(end);
}

}  // namespace cuclip
