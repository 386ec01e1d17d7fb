// A run's settings as TOML: what --config takes and refuses, and that a run's config.toml gives back what it
// was made with.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "core/file_io.h"
#include "tests/support/buffer.h"
#include "tests/support/command.h"
#include "train/cli/config_file.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Catch::StartsWith;
using Arguments = std::vector<std::string>;
namespace fs = std::filesystem;

CommandResult train(const Arguments& more) {
  Arguments all = {"train",     "--model", "cuclip-tiny", "--train-data", "synthetic:shapes?size=32&count=16",
                   "--threads", "1"};
  all.insert(all.end(), more.begin(), more.end());
  return run_cuclip(all);
}

TrainConfig read(const std::string& text, const std::vector<std::string>& given = {}) {
  static const TemporaryFolder folder;
  const auto is_given = [&](const Setting& setting) {
    return std::find(given.begin(), given.end(), setting.flag) != given.end();
  };
  TrainConfig config;
  apply_config_file(folder.write("c.toml", text), is_given, config);
  return config;
}

int64_t random_int(int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(rng());
}

std::string utf8(int64_t c) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xC0 | c >> 6), tail(0)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | c >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | c >> 18), tail(12), tail(6), tail(0)};
}

// Characters that mean something to TOML, controls, any character of Unicode, and, in some, bytes that are no
// UTF-8.
std::string random_text() {
  const std::vector<std::string> pieces = {"#", "\"",   "'", "\\",   "\"\"\"", "'''",    "\\u00e9", "\r\n",
                                           "[", "]",    "{", "}",    "=",      ",",      "%",       "%41",
                                           " ", "true", "7", "\x7f", "\x1b",   "\u2028", "\uFEFF",  "\uFFFF"};
  const bool any_bytes = random_int(0, 9) == 0;
  std::string text;
  for (int64_t left = random_int(0, 12); left > 0; --left) {
    const int64_t kind = random_int(0, any_bytes ? 4 : 3);
    const int64_t scalar = random_int(0x80, 0x10F7FF);  // without the surrogates
    if (kind == 0) text += pieces[static_cast<size_t>(random_int(0, std::ssize(pieces) - 1))];
    if (kind == 1) text += static_cast<char>(random_int(1, 0x1F));
    if (kind == 2) text += static_cast<char>(random_int(0x20, 0x7E));
    if (kind == 3) text += utf8(scalar < 0xD800 ? scalar : scalar + 0x800);
    if (kind == 4) text += static_cast<char>(random_int(0x80, 0xFF));
  }
  return text;
}

struct Randomise {
  TrainConfig& config;
  void operator()(const TextSetting& kind) const { config.*kind.value = random_text(); }
  void operator()(const SwitchSetting& kind) const { config.*kind.value = random_int(0, 1) == 1; }
  void operator()(const WholeSetting& kind) const {
    config.*kind.value = random_int(kind.range.low, kind.range.high);
  }
  void operator()(const RealSetting& kind) const {
    const double share = std::uniform_real_distribution<double>(0.01, 0.99)(rng());
    const double small = std::pow(10.0, -static_cast<double>(random_int(0, 30)));
    config.*kind.value = kind.range.low + (kind.range.high - kind.range.low) * share * small;
  }
  void operator()(const ChoiceSetting& kind) const {
    kind.set(config, "x", kind.words[static_cast<size_t>(random_int(0, std::ssize(kind.words) - 1))]);
  }
};

struct SameIn {
  const TrainConfig &a, &b;
  bool operator()(const ChoiceSetting& kind) const { return kind.get(a) == kind.get(b); }
  template <typename Kind>
  bool operator()(const Kind& kind) const {
    return a.*kind.value == b.*kind.value;
  }
};

TEST_CASE("reading a written configuration gives exactly that back") {
  for (int repeat = 0; repeat < 1000; ++repeat) {
    TrainConfig config;
    for (const Setting& setting : train_settings()) std::visit(Randomise{config}, setting.value);
    const std::string text = config_toml(config);
    const TrainConfig again = read(text);
    for (const Setting& setting : train_settings()) {
      INFO(setting.flag << "\n" << text);
      REQUIRE(std::visit(SameIn{config, again}, setting.value));
    }
  }
}

TEST_CASE("texts and numbers are written as TOML has them") {
  TrainConfig config;
  config.model = "a\"b\\c\n\x1b\x7f#\u00e9'";
  config.out = "caf\xE9 %";
  config.lr = 1e-30;
  const std::string text = config_toml(config);
  CHECK_THAT(text, StartsWith("model=\"a\\\"b\\\\c\\n\\u001B\\u007F#\u00e9'\"\n"));
  CHECK_THAT(text, Contains("\nout_bytes=\"caf%E9%20%25\"\n") && !Contains("\nout="));
  CHECK_THAT(text, Contains("\nlr=1e-30\n") && Contains("\nlock-image=false\n") &&
                       Contains("\nbatch-size=256\n") && Contains("\ndevice=\"auto\"\n"));
  CHECK_THAT(text, !Contains("pretrained") && !Contains("resume"));
}

TEST_CASE("TOML is read as TOML, at the top level and under [train]") {
  const TrainConfig config = read(
      "# a comment\r\nmodel = 'C:\\new#1' # another\nbatch-size = 1_000\nseed = 0x10\n\"lr\" = 1\nwd = 1e-1\n"
      "csv-separator=\"#\"\npretrained = \"\"\nval-data = \"\"\"\n[[[=\n\"\"\"\n"
      "[train]\ntrain-data = \"pics#2 \\\"x\\\" \\u00e9\"\nlock-image = true\nout_bytes = \"caf%E9\"\n");
  CHECK(config.model == "C:\\new#1");
  CHECK(config.batch_size == 1000);
  CHECK(config.seed == 16);
  CHECK(config.lr == 1);
  CHECK(config.wd == 0.1);
  CHECK(config.csv_separator == "#");
  CHECK(config.pretrained.empty());
  CHECK(config.val_data == "[[[=\n");
  CHECK(config.train_data == "pics#2 \"x\" \u00e9");
  CHECK(config.lock_image);
  CHECK(config.out == "caf\xE9");
  CHECK(read("train.seed = 3\n").seed == 3);
  CHECK(read("train = { model = \"\u00e9\", seed = 4, out\t=\t7}\n").out == "7");
  CHECK(read("seed = 3\nlr = 2\n", {"--seed"}).seed == 0);
  CHECK(read("seed = []\nlr = 2\n", {"--seed"}).lr == 2);
  CHECK(read("").seed == 0);
  CHECK(read("out = \"\"\"a\\\n \u00a7\"\"\"\nmodel = \"\U0010ff80\U0010ffff\"").out == "a\u00a7");
}

TEST_CASE("the config.toml of cuclip 0.1.0 is read, with what it wrote without quotes") {
  const TrainConfig config = read(
      "model=\"cuclip-tiny\"\npretrained=\"\"\ntrain-data=\"synthetic:shapes?size=32&count=16\"\n"
      "csv-img-key=2024\ncsv-caption-key=1e5\ncsv-separator=';'\nout='r'\nresume=true\n"
      "max-bad-fraction=0.1\naug-scale-max=1\nhflip=0\nbatch-size=8\nlr=0.0005\neps=1e-06\nwarmup=-1\n"
      "precision=\"bf16\"\ngrad-checkpointing=false\nlock-image=true\ndevice=\"cpu\"\n");
  CHECK(config.model == "cuclip-tiny");
  CHECK(config.train_data == "synthetic:shapes?size=32&count=16");
  CHECK(config.csv_image_key == "2024");
  CHECK(config.csv_caption_key == "1e5");
  CHECK(config.csv_separator == ";");
  CHECK(config.out == "r");
  CHECK(config.resume == "true");
  CHECK(config.hflip == 0);
  CHECK(config.batch_size == 8);
  CHECK(config.eps == 1e-6);
  CHECK(config.warmup == -1);
  CHECK(config.precision == Precision::bf16);
  CHECK_FALSE(config.grad_checkpointing);
  CHECK(config.lock_image);
  CHECK(config.device == DeviceChoice::cpu);
  CHECK(read("csv-separator=\"\\t\"\n").csv_separator == "\t");
}

TEST_CASE("a run goes on from its config.toml, whatever its folder is called") {
  const TemporaryFolder folder;
  for (const std::string name :
       {"run#1", "a\"b", "a'b", "a\"b'c", "a\\b", "\\u00e9", "two\nlines", "\x1b[31mred", "\ttab ",
        "\x7f\x01", "caf\u00e9", "caf\xE9", "caf%E9 \xFF", "[a, b]", "{}", "=", "\"\"\"", "'''"}) {
    const std::string out = folder / name, file = out + "/config.toml";
    const CommandResult first =
        train({"--batch-size", "8", "--csv-separator", name, "--max-steps", "1", "--out", out});
    INFO(out << "\n" << first.err);
    REQUIRE(first.exit_code == 0);
    INFO(read_file(file));
    const CommandResult second =
        run_cuclip({"train", "--config", file, "--resume", "latest", "--max-steps", "2"});
    INFO(second.err);
    CHECK(second.exit_code == 0);
    CHECK(read_file(out + "/latest") == "step-2\n");
    CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
    fs::remove_all(out);
  }
}

// Each text with what is said of it.
void check_refused(const std::vector<std::pair<std::string, std::string>>& cases) {
  const TemporaryFolder folder;
  for (const auto& [text, mention] : cases) {
    const CommandResult result = run_cuclip({"train", "--config", folder.write("c.toml", text)});
    INFO(text << "\n" << result.err);
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
    CHECK_THAT(result.err, Contains(mention));
  }
}

TEST_CASE("what is no TOML or no setting is refused with its line") {
  check_refused({
      {"lr\n", "c.toml, line 1: expected KEY = VALUE, found \"lr\""},
      {"seed = 1\n\nout = \"abc\nlr = 1\n", "c.toml, line 3: expected KEY = VALUE, found \"out = \"abc\""},
      {"out = 'abc", "c.toml, line 1: expected KEY = VALUE"},
      {"seed = \n", "c.toml, line 1: expected KEY = VALUE"},
      {"# one\nseed = 1\nseed = 2\n", "c.toml, line 3: expected every key once, found \"seed = 2\""},
      {"seed = 1\n[train]\nseed = 2\n", "c.toml, line 3: --seed was given before, in line 1"},
      {"[train]\nseed = 1\n[train]\nlr = 2\n", "c.toml, line 3: expected every key once, found \"[train]\""},
      {"seed = 1\nout = \"caf\xE9\"\n", "c.toml, line 2: expected UTF-8, found \"out = \"caf\\xe9\"\"; save"},
      {"out = \"\\q\"", "c.toml, line 1: expected KEY = VALUE"},
      {"out = \"a\x1b[31mb\"", "c.toml, line 1: expected KEY = VALUE, found \"out = \"a\\x1b[31mb\"\""},
      {"seed = 1\n[[[\n= =\n", "c.toml, line 2: expected KEY = VALUE or [train], found \"[[[\""},
      {"[=]\n", "c.toml, line 1: expected KEY = VALUE or [train], found \"[=]\""},
      {"[\xC3\xA9]\n", "c.toml, line 1: expected KEY = VALUE or [train], found \"[\u00e9]\""},
      {"\u00e9 = 1\n", "c.toml, line 1: expected KEY = VALUE, found \"\u00e9 = 1\""},
      {"seed = 1\u00e9\n", "c.toml, line 1: expected KEY = VALUE, found \"seed = 1\u00e9\""},
      {"\"\u00e9\" = 1\n", "c.toml, line 1: '\u00e9' is not a setting"},
      {"seed = 1\r# \xE9\n", "c.toml, line 1: expected UTF-8, found \"seed = 1\\r# \\xe9\""},
      {"out = \"\\U0010FFC3\"\n", "c.toml, line 1: --out must be UTF-8, got \"\\xc3\""},
      {"epoch = 1\n", "c.toml, line 1: 'epoch' is not a setting of cuclip train"},
      {"\"new\\nline\\u001b\" = 1\n", "c.toml, line 1: 'new\\nline\\x1b' is not a setting"},
      {"\n[eval]\nseed = 1\n", "c.toml, line 2: 'eval' is not a setting of cuclip train"},
      {"[train.deep]\nseed = 1\n", "c.toml, line 1: 'train.deep' is not a setting"},
      {"train = 1\n", "c.toml, line 1: 'train' is not a setting"},
      {"[[train]]\nseed = 1\n", "c.toml, line 1: 'train' is not a setting"},
      {"config = \"x\"\n", "c.toml, line 1: 'config' is not a setting"},
      {"seed_bytes = \"x\"\n", "c.toml, line 1: 'seed_bytes' is not a setting"},
  });
}

TEST_CASE("a value of another type or out of range is refused with its line") {
  check_refused({
      {"seed = [1, 2]\n", "c.toml, line 1: --seed must be a whole number, got a list"},
      {"seed = 1.0\n", "c.toml, line 1: --seed must be a whole number, got the number 1.0"},
      {"seed = true\n", "c.toml, line 1: --seed must be a whole number, got true"},
      {"lr = 1\nbatch-size = \"256\"\n",
       "c.toml, line 2: --batch-size must be a whole number, got the text \"256\""},
      {"seed = 99999999999999999999\n", "c.toml, line 1: expected KEY = VALUE"},
      {"batch-size = 1\n", "c.toml, line 1: --batch-size must be at least 2"},
      {"lr = \"0.1\"\n", "c.toml, line 1: --lr must be a number, got the text \"0.1\""},
      {"lr = nan\n", "c.toml, line 1: --lr must be positive and at most 1e+38, got nan"},
      {"lr = 2026-11-29\n", "c.toml, line 1: --lr must be a number, got a date or time"},
      {"lock-image = -1\n", "c.toml, line 1: --lock-image must be true or false, got the number -1"},
      {"lock-image = 2\n", "c.toml, line 1: --lock-image must be true or false, got the number 2"},
      {"lock-image = \"on\"\n", "c.toml, line 1: --lock-image must be true or false, got the text \"on\""},
      {"lock-image = no\n", "c.toml, line 1: expected KEY = VALUE, found \"lock-image = no\""},
      {"lock-image = \"true\"\n", "c.toml, line 1: --lock-image must be true or false, got the text"},
      {"out = 2026-11-29\n", "c.toml, line 1: --out must be a text in quotes, got a date or time"},
      {"out = { a = 1 }\n", "c.toml, line 1: --out must be a text in quotes, got a table"},
      {"[out]\n", "c.toml, line 1: --out must be a text in quotes, got a table"},
      {"out = \"a\\u0000b\"\n", "c.toml, line 1: --out must not have a NUL character in it"},
      {"out_bytes = \"a%00b\"\n", "c.toml, line 1: --out must not have a NUL character in it"},
      {"out = \"a\"\nout_bytes = \"b\"\n", "c.toml, line 2: --out was given before, in line 1"},
      {"device = \"gpu\"\n", "c.toml, line 1: --device must be one of auto, cpu, cuda, cuda:N, got \"gpu\""},
      {"device = []\n", "c.toml, line 1: --device must be a text in quotes, got a list"},
  });
}

}  // namespace
}  // namespace cuclip::test
