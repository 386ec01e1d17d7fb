#include "models/text/tokenizer.h"

#include <catch2/catch.hpp>
#include <numeric>
#include <thread>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "models/files/gzip.h"
#include "models/text/text_cleaning.h"
#include "models/text/unicode.h"
#include "models/text/word_split.h"
#include "tests/support/buffer.h"
#include "tests/support/clip_merges.h"
#include "tests/support/command.h"

namespace cuclip {
namespace {

using Catch::Contains;
using Ids = std::vector<int32_t>;

// "th", "the</w>", "in", "ing</w>": ids 512 to 515.
constexpr const char* kMerges = "#version\nt h\nth e</w>\ni n\nin g</w>\n";
Tokenizer small_tokenizer() { return Tokenizer::from_merges_text(kMerges); }
int32_t id_of(char c) { return symbol_of_byte(static_cast<uint8_t>(c)); }
int32_t last_id_of(char c) { return id_of(c) + kByteSymbols; }

std::vector<std::string> words(const char* text) {
  const std::u32string decoded = decode_utf8(text);
  std::vector<std::string> out;
  for (const auto word : split_words(decoded)) out.push_back(encode_utf8(word));
  return out;
}

// CLIP's algorithm as it is written down: rescan the word for the lowest merge and apply it everywhere.
Ids merge_by_rescanning(const Tokenizer& tokenizer, const std::string& word) {
  Ids symbols;
  for (const char c : word) symbols.push_back(id_of(c));
  symbols.back() += kByteSymbols;
  const auto& merges = tokenizer.merges();
  for (;;) {
    size_t lowest = merges.size();
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = std::find(merges.begin(), merges.end(), Merge{symbols[i], symbols[i + 1]});
      lowest = std::min(lowest, static_cast<size_t>(found - merges.begin()));
    }
    if (lowest == merges.size()) return symbols;
    Ids merged;
    for (size_t i = 0; i < symbols.size(); ++i) {
      const bool match = i + 1 < symbols.size() && merges[lowest] == Merge{symbols[i], symbols[i + 1]};
      merged.push_back(match ? kFirstMerged + static_cast<int32_t>(lowest) : symbols[i]);
      i += match;
    }
    symbols = merged;
  }
}

// Any merges over the letters a, b, c that a file could hold.
Tokenizer random_tokenizer(int merges) {
  const auto pick = [](size_t n) { return static_cast<size_t>(test::rng()() % n); };
  std::vector<std::pair<std::string, std::string>> symbols = {
      {"a", ""}, {"b", ""}, {"c", ""}};  // bytes, </w>
  for (const char* c : {"a", "b", "c"}) symbols.emplace_back(c, "</w>");
  std::string text = "#version";
  for (int made = 0; made < merges;) {
    const auto left = symbols[pick(symbols.size())];
    const auto right = symbols[pick(symbols.size())];
    const std::pair joined(left.first + right.first, right.second);
    if (!left.second.empty() || std::find(symbols.begin(), symbols.end(), joined) != symbols.end()) continue;
    text += "\n" + left.first + " " + right.first + right.second;
    symbols.push_back(joined);
    ++made;
  }
  return Tokenizer::from_merges_text(text);
}

TEST_CASE("known texts have CLIP's ids") {
  CUCLIP_NEEDS_CLIP_MERGES(path);
  const Tokenizer tokenizer = Tokenizer::load(path);
  CHECK(tokenizer.vocab_size() == 49408);
  CHECK(tokenizer.start_token() == 49406);
  CHECK(tokenizer.end_token() == 49407);
  CHECK(tokenizer.encode_with_specials("hello world") == Ids{49406, 3306, 1002, 49407});
  CHECK(tokenizer.encode_with_specials("a photo of a fox") == Ids{49406, 320, 1125, 539, 320, 3240, 49407});
  CHECK(tokenizer.encode_with_specials("this is a test string of text") ==
        Ids{49406, 589, 533, 320, 1628, 9696, 539, 4160, 49407});
  CHECK(tokenizer.decode(Ids{49406, 320, 1125, 539, 320, 3240, 49407, 0, 0}) == "a photo of a fox");
  CHECK(tokenizer.decode(tokenizer.encode("Größe: 25 °C!")) == "größe : 2 5 ° c !");
}

TEST_CASE("CLIP's own file is written back line for line") {
  CUCLIP_NEEDS_CLIP_MERGES(path);
  const std::string original = gunzip(read_file(path), path.string(), 64 << 20);
  const std::string written = format_merges(Tokenizer::load(path).merges());
  const size_t start = original.find('\n'), ours = written.find('\n');
  CHECK(original.compare(start, written.size() - ours, written, ours) == 0);
  CHECK(original[start + written.size() - ours] == '\n');
}

TEST_CASE("text is split into words as CLIP's pattern says") {
  using W = std::vector<std::string>;
  CHECK(words("it's we're they've i'm you'll he'd can't") ==
        W{"it", "'s", "we", "'re", "they", "'ve", "i", "'m", "you", "'ll", "he", "'d", "can", "'t"});
  CHECK(words("IT'S 'Tis 'x") == W{"IT", "'S", "'T", "is", "'", "x"});
  CHECK(words("a1b22 ²½Ⅷ٣") == W{"a", "1", "b", "2", "2", "²", "½", "Ⅷ", "٣"});
  CHECK(words("x,.;!? -- (y)") == W{"x", ",.;!?", "--", "(", "y", ")"});
  CHECK(words("!'s") == W{"!'", "s"});
  CHECK(words("日本語 हिन्दी") == W{"日本語", "ह", "ि", "न", "्", "द", "ी"});  // marks are not letters
  CHECK(words("<|startoftext|>a<|EndOfText|><|x|>") ==
        W{"<|startoftext|>", "a", "<|EndOfText|>", "<|", "x", "|>"});
  CHECK(words("it'ſ α\u0345x") == W{"it", "'ſ", "α", "x"});  // as the regex module ignores case
  CHECK(words("").empty());
}

TEST_CASE("merges are applied lowest first") {
  const Tokenizer tokenizer = small_tokenizer();
  CHECK(tokenizer.vocab_size() == 512 + 4 + 2);
  CHECK(tokenizer.encode("The thing") == Ids{513, 512, 515});
  CHECK(tokenizer.encode("in") == Ids{id_of('i'), last_id_of('n')});  // "in" ends the word here: no merge
  CHECK(tokenizer.encode("é") == Ids{id_of('\xC3'), last_id_of('\xA9')});
  CHECK(tokenizer.encode("").empty());
  CHECK(tokenizer.encode_with_specials("") == Ids{516, 517});
}

TEST_CASE("merging with a heap gives what rescanning the word gives") {
  for (int round = 0; round < 60; ++round) {
    const Tokenizer tokenizer = random_tokenizer(40);
    for (int i = 0; i < 20; ++i) {
      std::string word(1 + test::rng()() % 40, 'a');
      for (char& c : word) c = static_cast<char>('a' + test::rng()() % 3);
      CHECK(tokenizer.encode(word) == merge_by_rescanning(tokenizer, word));
    }
  }
}

TEST_CASE("the words for start and end of text are their ids") {
  const Tokenizer tokenizer = small_tokenizer();
  CHECK(tokenizer.encode("the <|endoftext|><|startoftext|>") == Ids{513, 517, 516});
}

TEST_CASE("padded rows start, end and fill as CLIP's do") {
  const Tokenizer tokenizer = small_tokenizer();
  const std::vector<std::string> texts = {"the", "", "the the the", "the the the the"};
  CHECK(tokenizer.encode_padded(texts, 5) == Ids{516, 513, 517, 0,   0,    //
                                                 516, 517, 0,   0,   0,    //
                                                 516, 513, 513, 513, 517,  //
                                                 516, 513, 513, 513, 517});
  CHECK(tokenizer.encode_padded(texts, 2) == Ids{516, 517, 516, 517, 516, 517, 516, 517});
  CHECK(tokenizer.encode_padded({}, 5).empty());
  CHECK_THROWS_WITH(tokenizer.encode_padded(texts, 1), Contains("at least 2, got 1"));
}

TEST_CASE("the bytes of the ids are the cleaned text without its spaces") {
  const Tokenizer tokenizer = random_tokenizer(60);
  const std::vector<std::string> pieces = {"a",       "b",     "ab", " ",  "'s", "é", "日本", "1",
                                           "!?",      "&amp;", "Σ",  "ก",  "😀",  "<", "\n",   "\xFF",
                                           "e\u0301", "C",     "½",  "<|", "_",  "-"};
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < 30; ++i) text += pieces[test::rng()() % pieces.size()];
    std::string expected;
    for (const char c : clean_caption(text)) {
      if (c != ' ') expected += c;
    }
    const Ids ids = tokenizer.encode(text);
    std::string bytes;
    const auto symbols = make_symbols(tokenizer.merges());
    for (const int32_t id : ids) bytes += symbols[static_cast<size_t>(id)].bytes;
    CHECK(bytes == expected);
  }
}

TEST_CASE("decoding leaves out start, end and padding, and refuses foreign ids") {
  const Tokenizer tokenizer = small_tokenizer();
  CHECK(tokenizer.decode(Ids{516, 513, 512, 515, 517, 0, 0}) == "the thing");
  CHECK(tokenizer.decode(Ids{}) == "");
  CHECK(tokenizer.decode(Ids{id_of('\xC3')}) == "\uFFFD");  // half a character
  CHECK_THROWS_WITH(tokenizer.decode(Ids{518}), Contains("id 518") && Contains("518"));
  CHECK_THROWS_AS(tokenizer.decode(Ids{-1}), InputError);
}

TEST_CASE("invalid UTF-8 is encoded as replacement characters") {
  const Tokenizer tokenizer = small_tokenizer();
  CHECK(tokenizer.encode("a\xFF") == tokenizer.encode("a\uFFFD"));
  CHECK(tokenizer.encode("\xE2\x82") == tokenizer.encode("\uFFFD"));
}

TEST_CASE("a word of a megabyte is encoded in nearly linear time") {
  const Tokenizer tokenizer = random_tokenizer(300);
  std::string word(1 << 20, 'a');
  for (char& c : word) c = static_cast<char>('a' + test::rng()() % 3);
  const Ids ids = tokenizer.encode(word);  // rescanning it for each merge would take hours
  CHECK(ids.size() < word.size());
  CHECK(tokenizer.decode(ids) == word);
  const std::vector<std::string> texts = {word};
  CHECK(tokenizer.encode_padded(texts, 16).back() == tokenizer.end_token());
}

TEST_CASE("threads may share a tokeniser") {
  const Tokenizer tokenizer = random_tokenizer(50);
  const Ids expected = tokenizer.encode("abcab cabcba É");
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) count += tokenizer.encode("abcab cabcba É") != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(std::accumulate(wrong.begin(), wrong.end(), 0) == 0);
}

TEST_CASE("files are saved and loaded, plain and compressed") {
  const test::TemporaryFolder folder;
  const Tokenizer tokenizer = random_tokenizer(50);
  for (const char* name : {"merges.txt", "merges.txt.gz"}) {
    tokenizer.save(folder / name);
    CHECK(Tokenizer::load(folder / name).merges() == tokenizer.merges());
  }
  CHECK(is_gzip(read_file(folder / "merges.txt.gz")));
  CHECK_FALSE(is_gzip(read_file(folder / "merges.txt")));
  CHECK_FALSE(read_file(folder / "merges.txt").ends_with('\n'));  // open_clip would count one more merge
  CHECK(Tokenizer::load(folder / "merges.txt", 7).vocab_size() == 512 + 7 + 2);
}

TEST_CASE("a merges file without merges is a vocabulary of bytes") {
  const Tokenizer tokenizer = Tokenizer::from_merges_text("#version: 0.2\n");
  CHECK(tokenizer.vocab_size() == 514);
  CHECK(tokenizer.decode(tokenizer.encode("Any text, été")) == "any text , été");
}

TEST_CASE("lines that are not merges are refused with their number") {
  const std::pair<const char*, const char*> cases[] = {
      {"", "is empty"},
      {"#version\na b\nab\n", "line 3: expected two symbols with a space between them, found \"ab\""},
      {"#version\na b c\n", "line 2: expected two symbols"},
      {"#version\na b\n\nc d\n", "line 3: expected two symbols"},
      {"#version\n a\n", "line 2: expected two symbols of CLIP's byte alphabet"},
      {"#version\na 日\n", "line 2: expected two symbols of CLIP's byte alphabet"},
      {"#version\na</w> b\n", "the first without </w>"},
      {"#version\nab c\n", "line 2: no earlier line makes the symbol \"ab\""},
      {"#version\na bc</w>\n", "line 2: no earlier line makes the symbol \"bc</w>\""},
      {"#version\na b\na b\n", "line 3: an earlier line makes the same symbol"},
      {"#version\na b\nb c\nab c\na bc\n", "line 5: an earlier line makes the same symbol"},
      {"a b\nc d\n", "line 1: expected \"#version"},
      {"{\"version\": 1,\n\"vocab\": {}}", "line 1: expected \"#version"},
  };
  for (const auto& [text, message] : cases) {
    CHECK_THROWS_WITH(Tokenizer::from_merges_text(text, "some.txt"),
                      Contains("some.txt") && Contains(message));
    CHECK_THROWS_AS(Tokenizer::from_merges_text(text), InputError);
  }
  CHECK_THROWS_AS(Tokenizer({Merge{0, 600}}), InputError);
  CHECK_THROWS_AS(Tokenizer({Merge{0, 1}, Merge{0, 1}}), InputError);
  CHECK_THROWS_AS(Tokenizer({Merge{256, 1}}), InputError);
}

TEST_CASE("damaged files are refused by name") {
  const test::TemporaryFolder folder;
  const std::string packed = gzip(kMerges);
  CHECK_THROWS_WITH(Tokenizer::load(folder.write("cut.gz", packed.substr(0, packed.size() - 6))),
                    Contains("cut.gz") && Contains("cut off"));
  std::string damaged = packed;
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 0x55);
  CHECK_THROWS_WITH(Tokenizer::load(folder.write("bad.gz", damaged)), Contains("bad.gz"));
  CHECK_THROWS_WITH(Tokenizer::load(folder / "none.gz"), Contains("none.gz"));
  CHECK_THROWS_WITH(gunzip(gzip(std::string(1 << 20, 'x')), "bomb", 1 << 16),
                    Contains("bomb: unpacks to more than"));
  CHECK(gunzip(gzip("one") + gzip("two"), "members", 100) == "onetwo");
  CHECK(gunzip(gzip(""), "empty", 100).empty());
}

}  // namespace
}  // namespace cuclip
