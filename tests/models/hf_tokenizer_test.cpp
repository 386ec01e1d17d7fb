// A tokeniser's files for transformers, against what CLIPTokenizer does with them, written down anew.
#include "models/text/hf_tokenizer.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "kernels/common/check.h"
#include "models/text/bpe_trainer.h"
#include "models/text/text_cleaning.h"
#include "models/text/unicode.h"
#include "models/text/word_split.h"
#include "tests/support/buffer.h"
#include "tests/support/clip_merges.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using nlohmann::json;
using Words = std::vector<std::string>;

std::map<std::string, std::string> files_of(const Tokenizer& tokenizer, int64_t context_length = 77) {
  const auto files = hf_tokenizer_files(tokenizer, context_length);
  return {files.begin(), files.end()};
}

// GPT-2's table: visible bytes of Latin-1 stand for themselves, the others for U+0100 and following, in
// order.
std::vector<std::string> byte_characters() {
  std::vector<std::string> table;
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    table.push_back(encode_utf8(std::u32string(1, visible ? byte : next)));
    next += !visible;
  }
  return table;
}

// CLIPTokenizer by its two files: the pair of the lowest rank, everywhere, until there is none.
class Reference {
 public:
  explicit Reference(const std::map<std::string, std::string>& files)
      : ids_(json::parse(files.at("vocab.json"))) {
    std::istringstream lines(files.at("merges.txt"));
    std::string line;
    std::getline(lines, line);
    REQUIRE(line.starts_with("#version"));
    for (int rank = 0; std::getline(lines, line); ++rank) {
      const size_t space = line.find(' ');
      REQUIRE(ranks_.emplace(std::pair(line.substr(0, space), line.substr(space + 1)), rank).second);
    }
  }

  std::vector<int32_t> encode(const std::string& text) const {
    std::vector<int32_t> ids = {ids_.at("<|startoftext|>")};
    const std::u32string cleaned = clean_caption_utf32(text);
    for (const std::u32string_view word : split_words(cleaned)) {
      for (const std::string& symbol : merged(encode_utf8(word))) ids.push_back(ids_.at(symbol));
    }
    ids.push_back(ids_.at("<|endoftext|>"));
    return ids;
  }

  const json& ids() const { return ids_; }

 private:
  Words merged(const std::string& bytes) const {
    Words word;
    for (const char byte : bytes) word.push_back(table_[static_cast<uint8_t>(byte)]);
    word.back() += "</w>";
    for (;;) {
      auto best = ranks_.end();
      for (size_t i = 0; i + 1 < word.size(); ++i) {
        const auto found = ranks_.find({word[i], word[i + 1]});
        if (found != ranks_.end() && (best == ranks_.end() || found->second < best->second)) best = found;
      }
      if (best == ranks_.end()) return word;
      Words next;
      for (size_t i = 0; i < word.size(); ++i) {
        const bool match =
            i + 1 < word.size() && word[i] == best->first.first && word[i + 1] == best->first.second;
        next.push_back(match ? word[i] + word[i + 1] : word[i]);
        i += match;
      }
      word = next;
    }
  }

  json ids_;
  std::map<std::pair<std::string, std::string>, int> ranks_;
  const std::vector<std::string> table_ = byte_characters();
};

// Words of a few letters, so that merges apply, among any other characters of one to four bytes.
std::string random_text() {
  std::u32string text;
  const auto draw = [](uint64_t n) { return static_cast<char32_t>(rng()() % n); };
  for (auto n = 1 + draw(40); n > 0; --n) {
    const char32_t kinds[] = {
        U'a' + draw(5),    U'a' + draw(5),     U'a' + draw(5),        U' ',
        0x21 + draw(0x5E), 0xA1 + draw(0x500), 0x3040 + draw(0x4000), 0x1F300 + draw(0x200)};
    text += kinds[draw(8)];
  }
  return encode_utf8(text);
}

Tokenizer learned() {
  std::vector<std::string> captions;
  for (int i = 0; i < 400; ++i) captions.push_back(random_text());
  return train_bpe(captions, 900);
}

TEST_CASE("transformers' files of a vocabulary give any text the tokeniser's ids") {
  for (const Tokenizer& tokenizer : {learned(), tiny_tokenizer(), Tokenizer(std::vector<Merge>{})}) {
    const Reference reference(files_of(tokenizer));
    for (int i = 0; i < 200; ++i) {
      const std::string text = random_text();
      INFO(text);
      REQUIRE(reference.encode(text) == tokenizer.encode_with_specials(text));
    }
  }
}

TEST_CASE("vocab.json has every id once, and the special words last") {
  const Tokenizer tokenizer = learned();
  const json ids = Reference(files_of(tokenizer)).ids();
  REQUIRE(std::ssize(ids) == tokenizer.vocab_size());
  std::vector<bool> seen(ids.size());
  for (const auto& [symbol, id] : ids.items()) {
    REQUIRE(id < ids.size());
    CHECK_FALSE(seen[id.get<size_t>()]);
    seen[id.get<size_t>()] = true;
  }
  CHECK(ids.at("<|startoftext|>") == tokenizer.start_token());
  CHECK(ids.at("<|endoftext|>") == tokenizer.end_token());
  CHECK(ids.at("!") == 0);
  CHECK(ids.at("!</w>") == 256);
}

TEST_CASE(
    "tokenizer_config.json has the context length, and the special words that special_tokens_map.json has") {
  const auto files = files_of(tiny_tokenizer(), 7);
  CHECK(files.size() == 4);
  const json config = json::parse(files.at("tokenizer_config.json")),
             special = json::parse(files.at("special_tokens_map.json"));
  CHECK(config.at("tokenizer_class") == "CLIPTokenizer");
  CHECK(config.at("model_max_length") == 7);
  CHECK(special.at("bos_token") == "<|startoftext|>");
  // Not "!", token 0: whatever fills up is taken for a special word wherever a text has it.
  for (const char* key : {"eos_token", "pad_token", "unk_token"}) CHECK(special.at(key) == "<|endoftext|>");
  for (const auto& [key, word] : special.items()) CHECK(config.at(key) == word);
}

TEST_CASE("a vocabulary with two symbols that are written alike is refused") {
  const auto id = [](char c) { return symbol_of_byte(static_cast<uint8_t>(c)); };
  // The characters "</w>", then "a" before them: written as the "a" that ends a word is.
  const std::vector<Merge> merges = {{id('<'), id('/')}, {512, id('w')}, {513, id('>')}, {id('a'), 514}};
  CHECK_THROWS_AS(files_of(Tokenizer(merges)), InputError);
  CHECK_THROWS_WITH(files_of(Tokenizer(merges)), Contains("two of its symbols are written a</w>"));
}

TEST_CASE("a vocab.json must have the ids of the merges") {
  const Tokenizer tokenizer = tiny_tokenizer();
  const std::string text = files_of(tokenizer).at("vocab.json");
  check_vocab_json(tokenizer, text, "v");
  json ids = json::parse(text);
  ids["more"] = 9999;  // which no merge makes
  check_vocab_json(tokenizer, ids.dump(), "v");
  std::swap(ids.at("a</w>"), ids.at("b"));
  CHECK_THROWS_WITH(check_vocab_json(tokenizer, ids.dump(), "v"),
                    Contains("v: expected the id 65 for the token \"b\"") && Contains("found 320"));
  ids = json::parse(text);
  ids.erase("<|endoftext|>");
  CHECK_THROWS_WITH(check_vocab_json(tokenizer, ids.dump(), "v"),
                    Contains("\"<|endoftext|>\"") && Contains("found none"));
  ids["<|endoftext|>"] = "518";
  CHECK_THROWS_WITH(check_vocab_json(tokenizer, ids.dump(), "v"), Contains("found \"518\""));
  CHECK_THROWS_WITH(check_vocab_json(tokenizer, "[]", "v"), Contains("v"));
}

TEST_CASE("CLIP's own vocabulary is recognised, and no other of its size") {
  CUCLIP_NEEDS_CLIP_MERGES(path);
  const Tokenizer clips = Tokenizer::load(path);
  CHECK(is_clip_vocabulary(clips));
  CHECK_FALSE(is_clip_vocabulary(tiny_tokenizer()));
  std::vector<Merge> merges = clips.merges();
  std::swap(merges[merges.size() - 1], merges[merges.size() - 2]);
  CHECK_FALSE(is_clip_vocabulary(Tokenizer(merges)));
  const Reference reference(files_of(clips));
  CHECK(reference.encode("hello world") == std::vector<int32_t>{49406, 3306, 1002, 49407});
}

}  // namespace
}  // namespace cuclip::test
