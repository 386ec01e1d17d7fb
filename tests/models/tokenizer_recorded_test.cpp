// The tokeniser against CLIP's own, on texts recorded by tests/tools/record_tokenizer.py.
#include <catch2/catch.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/file_io.h"
#include "models/files/gzip.h"
#include "models/text/text_cleaning.h"
#include "models/text/tokenizer.h"
#include "tests/support/clip_merges.h"
#include "tests/support/paths.h"

using namespace cuclip;

namespace {

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

struct Difference {
  int count = 0;
  std::string shown;
};

}  // namespace

TEST_CASE("tokenizer gives the ids that CLIP's tokeniser gives") {
  CUCLIP_NEEDS_CLIP_MERGES(path);
  const Tokenizer tokenizer = Tokenizer::load(path);
  const std::string file = test::test_data() + "/tokenizer/recorded.jsonl.gz";
  std::istringstream lines(gunzip(read_file(file), file, 64 << 20));
  std::map<std::string, Difference> differences;
  int texts = 0;
  for (std::string line; std::getline(lines, line); ++texts) {
    const auto record = nlohmann::json::parse(line);
    const std::string text = record.contains("text") ? record["text"].get<std::string>()
                                                     : from_hex(record["bytes"].get<std::string>());
    const auto expected = record["ids"].get<std::vector<int32_t>>();
    const auto actual = tokenizer.encode(text);
    if (actual == expected) continue;
    Difference& difference = differences[record["kind"].get<std::string>()];
    ++difference.count;
    difference.shown += "\n  " + text + "\n    is cleaned to " + clean_caption(text) +
                        "\n    CLIP reads       " + tokenizer.decode(expected);
  }
  CHECK(texts >= 2000);
  // How many texts of a kind differ on purpose: all of them are texts whose mojibake ftfy repairs differently
  // (models/text/text_cleaning.h). Where nothing is broken there is no difference.
  const std::map<std::string, int> deliberate = {
      {"mojibake", 10},         // 7 between Japanese words, 3 Armenian: ftfy decodes less of them
      {"mojibake word", 4},     // Armenian, which ftfy leaves as it is
      {"mojibake damaged", 2},  // U+FFFD for a lost byte: ftfy drops the rest of the character
      {"mojibake other", 34},   // windows-1250, -1251, MacRoman, CP437: not tried here
      {"invalid", 4},           // the same U+FFFD, next to what looks like mojibake
  };
  for (const auto& [kind, difference] : differences) {
    const auto found = deliberate.find(kind);
    INFO("kind " << kind << ":" << difference.shown);
    CHECK(difference.count == (found == deliberate.end() ? 0 : found->second));
  }
}
