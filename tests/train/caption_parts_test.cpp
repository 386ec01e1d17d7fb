// Captions as people search, and the sets of words by which duplicates are known.
#include "train/data/caption_parts.h"

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "tests/support/buffer.h"
#include "train/data/caption_words.h"

using namespace cuclip;

namespace {

using Strings = std::vector<std::string>;

bool contains(const WordSet& all, const WordSet& part) {
  for (size_t i = 0; i < all.size(); ++i) {
    if ((part[i] & ~all[i]) != 0) return false;
  }
  return true;
}

// A number in letters.
std::string letters(uint64_t number) {
  std::string text;
  for (; number > 0; number /= 26) text += static_cast<char>('a' + number % 26);
  return text;
}

}  // namespace

TEST_CASE("the parts of a caption are its title, the title's words, and its keywords") {
  CHECK(caption_parts("Red bicycle, vehicle, old") ==
        Strings{"Red bicycle", "Red", "bicycle", "vehicle", "old"});
  CHECK(caption_parts("bird") == Strings{"bird"});
  CHECK(caption_parts("a cat on the sofa, road sign ,,  cat, cat") ==
        Strings{"a cat on the sofa", "cat", "sofa", "road sign"});
  CHECK(caption_parts("Bob's 12 cats") == Strings{"Bob's 12 cats", "Bob's", "cats"});
  CHECK(caption_parts("\u00C9cole, \u9CE5") == Strings{"\u00C9cole", "\u9CE5"});
  for (const char* nothing : {"", ",", " , ,", "12, 7", "of the, a"}) CHECK(caption_parts(nothing).empty());
}

TEST_CASE("what turns a caption around counts as a word") {
  CHECK_FALSE(contains(word_set("a man without a hat"), word_set("a man with a hat and a bag")));
  CHECK_FALSE(contains(word_set("a man with a hat"), word_set("a man without a hat")));
}

TEST_CASE("a caption of many words seems to contain no other") {
  std::string caption;
  std::vector<std::string> words;
  while (words.size() < 80) {
    words.push_back(fmt::format("{}q", letters(test::rng()() % 1'000'000)));
    caption += words.back() + " ";
    if (words.size() <= 10) CHECK(contains(word_set(caption), word_set(words[0])));
  }
  CHECK(word_set(caption) == WordSet{});
}

TEST_CASE("a query has its phrase in it, sometimes with an article or within a template") {
  SplitMix64 rng(test::rng()());
  std::map<std::string, int> seen;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) ++seen[as_query("apple", rng)];
  CHECK(seen.size() == 10);  // bare and with an article, each plain and in four templates
  // Shares of 0.45; a binomial's deviation of more than 5 standard deviations has a probability below 1e-6.
  for (const char* form : {"apple", "an apple"}) CHECK(std::abs(seen[form] - 0.45 * kDraws) < 5 * 71);
  for (int i = 0; i < 100; ++i) {
    CHECK_THAT(as_query("flowers", rng), !Catch::Matchers::Contains("a flowers"));
    CHECK_THAT(as_query("the moon", rng), !Catch::Matchers::Contains("a the"));
  }
}

TEST_CASE("a caption that has all the words of another has its set of bits") {
  const WordSet whole = word_set("Red Bicycles, vehicle of two wheels");
  for (const char* part : {"a red bicycle", "BICYCLE", "the wheel", "vehicles with wheels", "of the"})
    CHECK(contains(whole, word_set(part)));
  CHECK(word_set("") == WordSet{});
  CHECK(word_set("of the") == WordSet{});
  // Two bits each of 128: a word's bits are among another's with a probability of 2.4e-4, here 39 times.
  std::set<std::string> words;
  while (words.size() < 400) words.insert(fmt::format("{}q", letters(test::rng()() % 1'000'000)));
  int64_t collisions = -std::ssize(words);  // each with itself
  for (const std::string& a : words) {
    for (const std::string& b : words) collisions += contains(word_set(a), word_set(b));
  }
  CHECK(collisions < 80);
}
