#include "models/files/names.h"

#include <catch2/catch.hpp>
#include <limits>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"
#include "models/files/message.h"
#include "train/loop/number_range.h"
#include "train/loop/train_config.h"
#include "train/loop/train_settings.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

TEST_CASE("messages are read by people, whatever they quote") {
  CHECK(escaped_message("cannot read a\x1b[0m\n  because") == "cannot read a\\x1b[0m\n  because");
  CHECK(escaped_message(std::string(4096, 'x')).size() == 4096);
  const std::string cut = escaped_message("begins " + std::string(3'000'000, 'x') + " ends");
  CHECK(cut.size() < 4200);
  CHECK_THAT(cut,
             Catch::StartsWith("begins xxx") && Contains("bytes left out") && Catch::EndsWith("xxx ends"));
  // Between two characters, wherever they are.
  for (const char* start : {"", "a", "ab"}) {
    std::string umlauts = start;
    for (int i = 0; i < 5000; ++i) umlauts += "\u20AC";
    CHECK(is_utf8(escaped_message(umlauts)));
  }
}

TEST_CASE("names are one line of a terminal, and harmless") {
  CHECK(escaped_name("photos/grün 😀 a\\b.jpg") == "photos/grün 😀 a\\b.jpg");
  CHECK(escaped_name("a\nb\tc\rd") == "a\\nb\\tc\\rd");
  CHECK(escaped_name("\x1b[31mred\x7f") == "\\x1b[31mred\\x7f");
  CHECK(escaped_name("caf\xE9.jpg") == "caf\\xe9.jpg");
  CHECK(escaped_name("\u0085") == "\\xc2\\x85");
  CHECK(escaped_name("\u202Egpj.exe") == "\\xe2\\x80\\xaegpj.exe");
  CHECK(escaped_name(std::string(1000, 'x')).size() == 1000);
  CHECK(escaped_text("one\n\ttwo\x1b") == "one\n\ttwo\\x1b");
}

TEST_CASE("names that others chose are shortened at a character's end and made printable") {
  CHECK(shortened_name("plain/ünï.jpg") == "plain/ünï.jpg");
  CHECK(shortened_name("a\x1b[31m\nb\xff") == "a\\x1b[31m\\nb\\xff");
  const std::string longest(200, 'x');
  CHECK(shortened_name(longest) == longest);
  CHECK(shortened_name(longest + "y") == longest + "...");
  const std::string almost(199, 'x');
  CHECK(shortened_name(almost + "ü") == almost + "...");
  CHECK(shortened_name(almost + "\n") == almost + "...");
}

TEST_CASE("JSON keeps the bytes of a name that is not valid UTF-8") {
  nlohmann::ordered_json json;
  put_name(json, "path", "photos/caf\xE9 1%.jpg");
  put_name(json, "other", "grün");
  put_names(json, "rows", {"a", "\xFF"});
  CHECK(
      json_text(json, -1) ==
      "{\"path\":\"photos/caf\uFFFD 1%.jpg\",\"path_bytes\":\"photos/caf%E9%201%25.jpg\",\"other\":\"grün\","
      "\"rows\":[\"a\",\"\uFFFD\"],\"rows_bytes\":{\"1\":\"%FF\"}}");
}

TEST_CASE("percent encoding is undone exactly") {
  std::string all;
  for (int byte = 1; byte < 256; ++byte) all += static_cast<char>(byte);
  CHECK(percent_decoded(percent_encoded(all)) == all);
  CHECK(percent_decoded("100% %4 %zz %4") == "100% %4 %zz %4");
}

TEST_CASE("numbers are read whole or not at all, and the message has name, range and what was given") {
  const WholeRange whole{2, 10, "a reason"};
  CHECK(parse_number("--n", whole, "10") == 10);
  CHECK(parse_number("--n", whole, "010") == 10);
  for (const std::string text : {"", " 5", "5 ", "5.0", "1e1", "0x5", "+5", "five", "5,000"}) {
    CHECK_THROWS_WITH(parse_number("--n", whole, text),
                      Contains("--n must be a whole number, at least 2 and at "
                               "most 10 (a reason), got \"" +
                               text + '"'));
  }
  for (const std::string text : {"1", "11", "-3", "99999999999999999999"})
    CHECK_THROWS_WITH(parse_number("--n", whole, text),
                      "--n must be at least 2 and at most 10 (a reason), got " + text);
  const RealRange share{.low = 0, .high = 1, .high_open = true};
  CHECK(parse_number("--p", share, "1e-3") == 1e-3);
  CHECK(parse_number("--p", share, "0") == 0);
  for (const std::string text : {"1", "-0.1", "nan", "inf", "-inf"})
    CHECK_THROWS_WITH(parse_number("--p", share, text), Contains("--p must be in [0, 1), got " + text));
  for (const std::string text : {"", "0,5", "half", "0x1p-3", "1e999"})
    CHECK_THROWS_AS(parse_number("--p", share, text), InputError);
}

TEST_CASE("threads are bound by the CPUs") {
  const WholeRange range = thread_range();
  CHECK(range.low == 0);
  CHECK(range.high >= available_cpus());
  CHECK(range.high <= std::max(64, 4 * available_cpus()));
}

TEST_CASE("the library refuses the numbers that the command line refuses") {
  TrainConfig good;
  good.train_data = "synthetic:shapes";
  good.out = "run";
  CHECK_NOTHROW(validate(good));
  for (const Setting& setting : train_settings()) {
    const auto refused = Contains(std::string(setting.flag) + " must be");
    TrainConfig config = good;
    if (const auto* whole = std::get_if<WholeSetting>(&setting.value)) {
      config.*whole->value = whole->range.low - 1;
      CHECK_THROWS_WITH(validate(config), refused);
    } else if (const auto* real = std::get_if<RealSetting>(&setting.value)) {
      for (const double value :
           {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
            real->range.low - 1, 2 * real->range.high}) {
        config.*real->value = value;
        CHECK_THROWS_WITH(validate(config), refused);
      }
    }
  }
  good.aug_scale_min = 0.9;
  good.aug_scale_max = 0.8;
  CHECK_THROWS_WITH(validate(good), Contains("--aug-scale-min") && Contains("--aug-scale-max"));
}

}  // namespace
}  // namespace cuclip::test
