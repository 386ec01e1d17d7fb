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

constexpr std::string_view kBlanks = " \t\r\n";
// What can precede a noun and says nothing about it.
constexpr std::array<std::string_view, 28> kDeterminers = {
    "a",    "an",    "the",   "some",  "any",   "my",    "your", "his",    "her",   "its",
    "our",  "their", "this",  "that",  "these", "those", "one",  "two",    "three", "four",
    "five", "six",   "seven", "eight", "nine",  "ten",   "many", "several"};
// Of what the noun comes after "of": "a photo of a bird".
constexpr std::array<std::string_view, 9> kPictures = {
    "photo", "photograph", "picture", "image", "drawing", "painting", "sketch", "icon", "illustration"};
// What joins things of equal rank, or makes the noun before it a measure or a container of the one after it.
constexpr std::array<std::string_view, 4> kJoining = {"and", "or", "of", "&"};
// What a description begins with that follows its noun.
constexpr std::array<std::string_view, 38> kAfterHead = {
    "about",  "above", "across", "against", "along", "among", "are",  "around", "at",   "before",
    "behind", "below", "beside", "between", "by",    "for",   "from", "has",    "in",   "inside",
    "into",   "is",    "like",   "near",    "off",   "on",    "onto", "over",   "that", "through",
    "to",     "under", "was",    "which",   "while", "who",   "with", "without"};

// Plurals that are not spelled by rule, what to take from their end and what to put there: the everyday ones.
struct Irregular {
  std::string_view plural;
  size_t drop;
  std::string_view add;
};
constexpr std::array<Irregular, 26> kIrregular = {{
    {"children", 3, ""}, {"men", 2, "an"},      {"women", 2, "an"},   {"people", 6, "person"},
    {"feet", 3, "oot"},  {"teeth", 4, "ooth"},  {"geese", 4, "oose"}, {"mice", 3, "ouse"},
    {"knives", 3, "fe"}, {"wives", 3, "fe"},    {"lives", 3, "fe"},   {"leaves", 3, "f"},
    {"wolves", 3, "f"},  {"shelves", 3, "f"},   {"halves", 3, "f"},   {"loaves", 3, "f"},
    {"scarves", 3, "f"}, {"movies", 1, ""},     {"cookies", 1, ""},   {"zombies", 1, ""},
    {"lens", 0, ""},     {"lenses", 2, ""},     {"fuses", 1, ""},     {"mangoes", 2, ""},
    {"gas", 0, ""},      {"mosquitoes", 2, ""},
}};

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

std::vector<std::string> words_between_blanks(std::string_view text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    if (kBlanks.find(c) == kBlanks.npos) {
      words.back() += c;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
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

std::string bare_phrase(std::string_view phrase) {
  const size_t last = phrase.find_last_not_of(" \t\r\n.!?");
  if (last == phrase.npos) return std::string(phrase);
  std::vector<std::string> words = words_between_blanks(phrase.substr(0, last + 1));
  const auto is = [&](size_t at, const auto& list) {
    return at < words.size() && is_one_of(list, words[at]);
  };
  size_t first = 0;
  while (first + 1 < words.size()) {
    if (is(first, kDeterminers)) {
      first += 1;
    } else if (is(first, kPictures) && words[first + 1] == "of" && first + 2 < words.size()) {
      first += 2;
    } else {
      break;
    }
  }
  words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(first));
  std::string bare;
  for (const std::string& word : words) bare += (bare.empty() ? "" : " ") + word;
  return bare;
}

std::string singular_phrase(const std::string& phrase) {
  const std::string lower = lower_utf8(phrase);
  const size_t blank = lower.find_last_of(kBlanks);
  const std::string_view word = std::string_view(lower).substr(blank == lower.npos ? 0 : blank + 1);
  // With the letters that stay as they are written.
  const auto ending_in = [&](size_t drop, std::string_view add) {
    return phrase.substr(0, phrase.size() - drop).append(add);
  };
  for (const auto& [plural, drop, add] : kIrregular) {
    if (word == plural) return ending_in(drop, add);
  }
  const auto ends = [&](std::string_view end) { return word.ends_with(end) && word.size() > end.size(); };
  if (ends("ies")) return word.size() == 4 ? ending_in(1, "") : ending_in(3, "y");
  if (word.ends_with("aches") || ends("ouses") || ends("auses")) return ending_in(1, "");
  for (const char* end : {"ches", "shes", "xes", "sses", "uses", "atoes", "eroes"}) {
    if (ends(end)) return ending_in(2, "");
  }
  const bool singular = word.ends_with("ss") || word.ends_with("us") || word.ends_with("is");
  if (ends("s") && word.size() > 2 && !singular) return ending_in(1, "");
  return phrase;
}

std::string head_of_phrase(std::string_view phrase) {
  const std::string bare = bare_phrase(phrase);
  if (bare.find_first_of("!\"#$%()*+,./:;<=>?@[\\]^_`{|}~") != bare.npos) return "";
  const std::vector<std::string> words = words_between_blanks(bare);
  const auto joining = [](const std::string& word) { return is_one_of(kJoining, word); };
  if (words.size() < 2 || std::any_of(words.begin(), words.end(), joining)) return "";
  const auto end = std::find_if(words.begin(), words.end(),
                                [](const std::string& word) { return is_one_of(kAfterHead, word); });
  return end == words.begin() ? "" : *std::prev(end);
}

}  // namespace cuclip
