#include "train/data/caption_parts.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "models/text/english.h"
#include "train/data/caption_words.h"

namespace cuclip {
namespace {

// Words that are no part of what a caption is about.
bool is_function_word(const std::string& lower) {
  static constexpr std::array<std::string_view, 21> kWords = {
      "a",    "an",  "and", "as", "at", "by", "for", "from",  "his", "her", "in",
      "into", "its", "is",  "of", "on", "or", "the", "their", "to",  "with"};
  return std::find(kWords.begin(), kWords.end(), lower) != kWords.end();
}

bool says_something(const std::string& word) {
  return word.size() > 1 && !is_digits(word) && !is_function_word(lower_utf8(word));
}

// "flowers", but not "glass" and "octopus": "a flowers" is no English.
bool looks_plural(const std::string& phrase) { return singular_phrase(phrase) != phrase; }

bool starts_with_article(const std::string& phrase) {
  const std::vector<std::string> words = caption_words(phrase);
  if (words.empty()) return false;
  const std::string first = lower_utf8(words.front());
  return first == "a" || first == "an" || first == "the";
}

}  // namespace

std::vector<std::string> caption_parts(std::string_view caption) {
  std::vector<std::string> parts;
  const auto add = [&](std::string part) {
    if (std::find(parts.begin(), parts.end(), part) == parts.end()) parts.push_back(std::move(part));
  };
  bool title = true;
  for (const std::string& part : split_parts(caption, ',')) {
    const std::vector<std::string> words = caption_words(part);
    const bool is_title = std::exchange(title, false);
    if (std::none_of(words.begin(), words.end(), says_something)) continue;
    add(part);
    for (const std::string& word : words) {
      if (is_title && says_something(word)) add(word);
    }
  }
  return parts;
}

std::string as_query(const std::string& phrase, SplitMix64& rng) {
  static constexpr std::array<std::string_view, 4> kTemplates = {"a photo of ", "a picture of ",
                                                                 "a drawing of ", "an image of "};
  constexpr double kWithArticle = 0.5, kWithTemplate = 0.1;
  const bool article = rng.uniform() < kWithArticle && !looks_plural(phrase) && !starts_with_article(phrase);
  std::string query = article ? with_article(phrase) : phrase;
  if (rng.uniform() < kWithTemplate) query = std::string(kTemplates[rng.below(kTemplates.size())]) + query;
  return query;
}

WordSet word_set(std::string_view caption) {
  constexpr int kBitsPerWord = 2, kMostBits = 40;
  WordSet set{};
  for (const std::string& folded : folded_words(caption)) {
    if (is_function_word(folded)) continue;
    uint64_t hash = XXH64(folded.data(), folded.size(), 0);
    for (int i = 0; i < kBitsPerWord; ++i, hash >>= 7)
      set[(hash >> 5) & 3] |= static_cast<int32_t>(1u << (hash & 31));
  }
  int bits = 0;
  for (const int32_t word : set) bits += std::popcount(static_cast<uint32_t>(word));
  return bits <= kMostBits ? set : WordSet{};
}

}  // namespace cuclip
