#include "train/data/captions.h"

#include <catch2/catch.hpp>

#include "kernels/common/check.h"
#include "train/data/sample.h"

using namespace cuclip;
using Catch::Matchers::Contains;

namespace {
std::string text(std::string_view caption) { return normalise_caption(caption).text; }
CaptionState state(std::string_view caption) { return normalise_caption(caption).state; }
using Strings = std::vector<std::string>;
}  // namespace

TEST_CASE("captions: white space and control characters collapse, ends are trimmed") {
  CHECK(text("  a red\t\n\r car  ") == "a red car");
  CHECK(text(std::string_view("a\0b\x01"
                              "c",
                              5)) == "a b c");
  CHECK(text("a\u00a0b\u2003c\u3000d\u2028e\u0085f") == "a b c d e f");
  CHECK(text("\ufeffzero\u200bwidth so\u00adft") == "zerowidth soft");
  CHECK(text("x\ufffey\U0001fffe") == "xy");
}

TEST_CASE("captions: other scripts and emoji sequences stay as they are") {
  const std::string family = "\U0001f468\u200d\U0001f469\u200d\U0001f467";
  CHECK(text(family + " Ünïcode 漢字 हिन्दी") == family + " Ünïcode 漢字 हिन्दी");
}

TEST_CASE("captions: the empty and the invalid are told apart") {
  CHECK(state("") == CaptionState::empty);
  CHECK(state(" \t\n\ufeff ") == CaptionState::empty);
  for (const char* bad : {"caf\xe9", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "end\xe2\x82", "\xff"}) {
    CHECK(state(bad) == CaptionState::invalid_utf8);
    CHECK(text(bad).empty());
  }
  // Invalid bytes after the cut are still noticed.
  CHECK(state(std::string(5000, 'a') + "\xff") == CaptionState::invalid_utf8);
}

TEST_CASE("captions: long ones are cut between words, or between code points") {
  std::string words;
  while (words.size() < 5000) words += "word ";
  const NormalisedCaption cut = normalise_caption(words, 100);
  CHECK(cut.state == CaptionState::cut);
  CHECK(cut.text.size() <= 100);
  CHECK(cut.text.substr(cut.text.size() - 4) == "word");
  for (int64_t limit = 1; limit < 20; ++limit) {
    std::string snowmen;
    for (int i = 0; i < 30; ++i) snowmen += "☃";
    const NormalisedCaption result = normalise_caption(snowmen, limit);
    CHECK(static_cast<int64_t>(result.text.size()) == limit / 3 * 3);
    CHECK(result.state == (limit < 3 ? CaptionState::empty : CaptionState::cut));
  }
  CHECK(normalise_caption("exactly ten", 11).state == CaptionState::ok);
  CHECK(normalise_caption("exactly ten   ", 11).state == CaptionState::ok);
  CHECK(normalise_caption("not the whole word", 16).text == "not the whole");
  CHECK(normalise_caption("onelongword", 8).text == "onelongw");
}

TEST_CASE("captions: huge ones cost no more memory than their limit") {
  const std::string huge(50 << 20, 'x');
  CHECK(normalise_caption(huge).text.size() == static_cast<size_t>(kMaxCaptionBytes));
}

TEST_CASE("captions: JSON gives one or several") {
  CHECK(captions_from_json(R"({"caption": " one ", "url": 3})", "x").captions == Strings{"one"});
  CHECK(captions_from_json(R"({"captions": ["b", "a", "b", ""]})", "x").captions == Strings{"b", "a"});
  CHECK(captions_from_json(R"({"caption": "a", "captions": ["a", "b"]})", "x").captions == Strings{"a", "b"});
  CHECK(captions_from_json(R"(["a", "b"])", "x").captions == Strings{"a", "b"});
  CHECK(captions_from_json(R"("a")", "x").captions == Strings{"a"});
  CHECK(captions_from_json(R"({"captions": ["b", ""]})", "x").empty == 1);
  CHECK(captions_from_json(R"({"width": 3})", "x").captions.empty());
  CHECK_THROWS_WITH(captions_from_json("{\"caption\": ", "x.json"), Contains("x.json: expected JSON"));
  CHECK_THROWS_WITH(captions_from_json(R"({"caption": 3})", "x.json"), Contains("found number"));
  CHECK_THROWS_WITH(captions_from_json(R"({"captions": ["a", null]})", "x.json"), Contains("found null"));
}

TEST_CASE("captions: JSON as Python writes it, with numbers that are not finite and with None") {
  for (const char* number : {"NaN", "Infinity", "-Infinity"}) {
    INFO(number);
    const std::string text =
        fmt::format(R"({{"similarity": {0}, "caption": "a \" {0}", "boxes": [{0},{0}]}})", number);
    CHECK(captions_from_json(text, "x").captions == Strings{fmt::format("a \" {}", number)});
  }
  for (const char* broken : {R"({"caption": "a", "n": nan})", R"({"caption": "a", "n": NaNs})",
                             R"({"caption": "a", "n": +Infinity})", R"({"caption": "a", "n": --Infinity})",
                             R"({"caption": "a", NaN: 1})", R"({"caption": "a\)"}) {
    INFO(broken);
    CHECK_THROWS_WITH(captions_from_json(broken, "x.json"), Contains("x.json: expected JSON"));
  }
  CHECK(captions_from_json(R"({"caption": null, "captions": ["a", "b"]})", "x").captions ==
        Strings{"a", "b"});
  CHECK(captions_from_json(R"({"caption": "a", "captions": null})", "x").captions == Strings{"a"});
  CHECK(captions_from_json(R"({"caption": NaN})", "x").captions.empty());
}

TEST_CASE("captions: none is another reason than an empty one") {
  const auto reason = [](const std::string& json) -> std::string {
    try {
      read_caption_files({.json = json, .text = {}}, "x", kMaxCaptionBytes);
    } catch (const SampleError& error) {
      return error.reason();
    }
    return "";
  };
  for (const char* none :
       {R"({"caption": null})", "{}", "null", R"({"captions": []})", R"({"caption": NaN})"})
    CHECK(reason(none) == "no caption");
  CHECK(reason(R"({"caption": " "})") == "empty caption");
  CHECK(reason(R"({"caption": 3})") == "unreadable caption");
  CHECK(read_caption_files({.json = R"({"caption": null})", .text = "t"}, "x", kMaxCaptionBytes) ==
        Strings{"t"});
}

TEST_CASE("captions: a picture's files give its captions or the reason why not") {
  auto read = [](CaptionFiles files) { return read_caption_files(files, "x", kMaxCaptionBytes); };
  CHECK(read({.json = R"({"captions": ["j"]})", .text = "t"}) == Strings{"j"});
  CHECK(read({.json = R"({"width": 3})", .text = "t"}) == Strings{"t"});
  CHECK(read({.json = "broken", .text = "t"}) == Strings{"t"});
  CHECK_THROWS_WITH(read({.json = "broken", .text = {}}), Contains("expected JSON"));
  CHECK_THROWS_WITH(read({.json = {}, .text = " \n"}), Contains("empty"));
  CHECK_THROWS_WITH(read({.json = {}, .text = "\xff"}), Contains("UTF-8"));
}
