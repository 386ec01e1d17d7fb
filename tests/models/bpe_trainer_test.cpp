#include "models/text/bpe_trainer.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "kernels/common/check.h"
#include "tests/support/buffer.h"

namespace cuclip {
namespace {

using Captions = std::vector<std::string>;

std::vector<std::string> learned(const Tokenizer& tokenizer) {
  std::vector<std::string> out;
  for (const Symbol& symbol : make_symbols(tokenizer.merges())) {
    out.push_back(symbol.bytes + (symbol.ends_word ? "_" : ""));
  }
  out.erase(out.begin(), out.begin() + kFirstMerged);
  return out;
}

Captions random_captions(int count) {
  Captions captions(static_cast<size_t>(count));
  for (std::string& caption : captions) {
    for (int word = 0; word < 8; ++word) {
      for (size_t i = 0, n = 1 + test::rng()() % 6; i < n; ++i)
        caption += static_cast<char>('a' + test::rng()() % 4);
      caption += ' ';
    }
  }
  return captions;
}

TEST_CASE("the most frequent pair is merged first, then what has become the most frequent") {
  // aab ×3, ab ×2: "a"+"b</w>" 5 times, "a"+"ab</w>" 3 times, then nothing is left.
  const Tokenizer tokenizer = train_bpe(Captions{"aab aab ab", "AAB ab"}, 600);
  CHECK(learned(tokenizer) == std::vector<std::string>{"ab_", "aab_"});
  CHECK(tokenizer.vocab_size() == 512 + 2 + 2);
  CHECK(tokenizer.encode("aab ab").size() == 2);
}

TEST_CASE("captions are counted as they are encoded: cleaned and split into words") {
  const Tokenizer tokenizer =
      train_bpe(Captions{"Caf&eacute; cafÉ", "it's it's <|endoftext|><|endoftext|>"}, 600);
  const auto symbols = learned(tokenizer);
  CHECK(std::find(symbols.begin(), symbols.end(), "café_") != symbols.end());
  CHECK(std::find(symbols.begin(), symbols.end(), "'s_") != symbols.end());
  CHECK(std::find(symbols.begin(), symbols.end(), "endoftext_") == symbols.end());
}

TEST_CASE("the vocabulary size is kept, and its first merges are those of a smaller one") {
  const Captions captions = random_captions(200);
  const Tokenizer large = train_bpe(captions, 700);
  CHECK(large.vocab_size() == 700);
  const Tokenizer small = train_bpe(captions, 600);
  CHECK(small.vocab_size() == 600);
  CHECK(std::equal(small.merges().begin(), small.merges().end(), large.merges().begin()));
  CHECK(train_bpe(captions, 514).merges().empty());
}

TEST_CASE("the order of the captions changes nothing") {
  Captions captions = random_captions(100);
  const auto merges = train_bpe(captions, 620).merges();
  std::shuffle(captions.begin(), captions.end(), test::rng());
  CHECK(train_bpe(captions, 620).merges() == merges);
}

TEST_CASE("of equally frequent pairs the lower symbols are merged") {
  CHECK(learned(train_bpe(Captions{"xy ab xy ab"}, 515)) == std::vector<std::string>{"ab_"});
}

TEST_CASE("learned merges make what they were learned from shorter, and survive their file") {
  const Captions captions = random_captions(100);
  const Tokenizer bytes = train_bpe(captions, 514);
  const Tokenizer tokenizer = train_bpe(captions, 800);
  const Tokenizer read = Tokenizer::from_merges_text(format_merges(tokenizer.merges()));
  CHECK(read.merges() == tokenizer.merges());
  size_t before = 0, after = 0;
  for (const std::string& caption : captions) {
    before += bytes.encode(caption).size();
    after += tokenizer.encode(caption).size();
    CHECK(tokenizer.decode(tokenizer.encode(caption)) + " " == caption);
  }
  CHECK(after * 2 < before);
}

TEST_CASE("no symbol is made twice") {
  for (int round = 0; round < 5; ++round) {
    auto symbols = learned(train_bpe(random_captions(300), 1500));
    std::sort(symbols.begin(), symbols.end());
    CHECK(std::adjacent_find(symbols.begin(), symbols.end()) == symbols.end());
  }
}

TEST_CASE("every merge is the most frequent pair of the text as merged so far") {
  const Captions captions = random_captions(30);
  const Tokenizer tokenizer = train_bpe(captions, 560);
  for (size_t done = 0; done + 1 < tokenizer.merges().size(); ++done) {
    const Tokenizer so_far(
        {tokenizer.merges().begin(), tokenizer.merges().begin() + static_cast<std::ptrdiff_t>(done)});
    const auto symbols = make_symbols(so_far.merges());
    std::map<std::pair<int32_t, int32_t>, int> counts;
    for (const std::string& caption : captions) {
      const auto ids = so_far.encode(caption);
      for (size_t i = 0; i + 1 < ids.size(); ++i) {
        if (!symbols[static_cast<size_t>(ids[i])].ends_word) ++counts[{ids[i], ids[i + 1]}];
      }
    }
    const Merge next = tokenizer.merges()[done];
    const int count = counts[{next.left, next.right}];
    CHECK(count >= 2);
    for (const auto& [pair, n] : counts) {
      const Symbol& right = symbols[static_cast<size_t>(pair.second)];
      const Symbol joined = {symbols[static_cast<size_t>(pair.first)].bytes + right.bytes, right.ends_word};
      if (std::find(symbols.begin(), symbols.end(), joined) == symbols.end()) CHECK(n <= count);
    }
  }
}

TEST_CASE("words of any length are survived; overlong ones are not learned from") {
  Captions captions = {std::string(1 << 20, 'a'), std::string(1 << 20, 'a'), "bc bc"};
  CHECK(learned(train_bpe(captions, 600)) == std::vector<std::string>{"bc_"});
}

TEST_CASE("impossible vocabularies and empty captions are refused") {
  CHECK_THROWS_AS(train_bpe(Captions{"a b"}, 513), InputError);
  CHECK_THROWS_AS(train_bpe(Captions{"a b"}, 49409), InputError);
  CHECK_THROWS_AS(train_bpe(Captions{}, 600), InputError);
  CHECK_THROWS_AS(train_bpe(Captions{"", "  "}, 600), InputError);
}

}  // namespace
}  // namespace cuclip
