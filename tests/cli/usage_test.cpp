// labels: release_only
// The command line itself: what it says to somebody who does not know it yet, and which numbers it takes.
#include <catch2/catch.hpp>

#include "tests/support/command_help.h"
#include "tests/support/model_on_disk.h"
#include "tests/support/paths.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Arguments = std::vector<std::string>;

std::string refusal(const Arguments& arguments) {
  const CommandResult result = run_cuclip(arguments);
  CHECK(result.exit_code == 2);
  CHECK(result.out.empty());
  return result.err;
}

TEST_CASE("where a command is missing, the commands are listed") {
  const std::vector<Arguments> commands = helped_commands();
  REQUIRE(commands.size() >= 16);
  const std::string alone = refusal({}),
                    misspelt = refusal({"serch", "photos.cuclip-index", "a cat", "--top", "3"});
  for (const Arguments& command : commands) {
    CHECK_THAT(alone, Contains("\n  " + command[0] + " "));
    CHECK_THAT(misspelt, Contains("\n  " + command[0] + " "));
    if (command.size() > 1) CHECK_THAT(refusal({command[0]}), Contains("\n  " + command[1] + " "));
  }
}

TEST_CASE("a misspelt command or flag is named, with the nearest") {
  const std::pair<Arguments, Arguments> cases[] = {
      {{"serch"}, {"'serch'", "did you mean search?"}},
      {{"Train"}, {"'Train'", "did you mean train?"}},
      {{"eval", "retreival"}, {"'retreival'", "did you mean retrieval?"}},
      {{"a\x1b[31m"}, {"'a\\x1b[31m'"}},
      {{"search", "i", "a cat", "--modle", "m"},
       {"--modle", "did you mean --model?", "cuclip search --help"}},
      {{"train", "--batch_size", "3"}, {"--batch_size", "did you mean --batch-size?"}},
      {{"train", "--batchsize=3"}, {"--batchsize", "did you mean --batch-size?"}},
      {{"classify", "-model", "m"}, {"-model", "did you mean --model?"}},
      {{"eval", "zero-shot", "--data", "--x", "--class", "c"}, {"--class", "did you mean --classes?"}},
      {{"--versoin"}, {"'--versoin'", "did you mean --version?"}},
      {{"info", "--json", "surplus"}, {"\"surplus\"", "cuclip info"}},
      {{"classify", "my", "red", "bicycle", "--labels", "a", "--model", "m"},
       {"too many arguments: \"red\" \"bicycle\"; quote text that contains spaces"}},
      {{"info", "[x]"}, {"too many arguments: \"[x]\";"}},
      {{"info", "--", "x"}, {"too many arguments: \"x\";"}},
  };
  for (const auto& [arguments, mentions] : cases) {
    const std::string message = refusal(arguments);
    for (const std::string& mention : mentions) CHECK_THAT(message, Contains(mention));
    CHECK_THAT(message, !Contains("\x1b") && !Contains("\\x00"));
  }
  const std::string far = refusal({"xyzzy"});
  CHECK_THAT(far, Contains("'xyzzy'") && !Contains("did you mean"));
  CHECK_THAT(refusal({""}), Contains("found ''") && !Contains("did you mean"));
  CHECK_THAT(refusal({"info", "--xyzzyplugh"}), Contains("--xyzzyplugh") && !Contains("did you mean"));
}

TEST_CASE_METHOD(ModelOnDisk, "what a flag is given may look like a flag, a list or a number") {
  const auto rows =
      cuclip_json({"encode", "text", "[a, b]", "{}", "[]", "010", "x[1]", "--out", folder / "t.npy"})["rows"];
  CHECK(rows == nlohmann::json({"[a, b]", "{}", "[]", "010", "x[1]"}));
  const auto texts = cuclip_json({"matrix", "--images", picture(0), "--texts=[a]", "[b,c]"})["texts"];
  CHECK(texts == nlohmann::json({"[a]", "[b,c]"}));
  const auto labels = cuclip_json({"classify", picture(0), "--labels", "--modle,[b]"})["labels"];
  CHECK(labels.size() == 2);
}

// With the required ones given, since what is missing is said first.
Arguments with_required(const Arguments& command, const std::vector<HelpedArgument>& arguments) {
  Arguments line = command;
  for (const HelpedArgument& argument : arguments) {
    if (!argument.required) continue;
    if (argument.is_flag()) line.push_back(argument.name);
    line.push_back(argument.name == "--to" ? "hf" : "x");
  }
  return line;
}

TEST_CASE("every number has a range, and the message says flag, range and what was given") {
  int flags = 0, threads = 0;
  for (const Arguments& command : helped_commands()) {
    const std::vector<HelpedArgument> arguments = helped_arguments(command);
    for (const HelpedArgument& argument : arguments) {
      if (!argument.is_flag() || argument.type.empty() || argument.type == "TEXT") continue;
      ++flags;
      for (const std::string value : {"nan", "1e300", "-99999999999999999999", "abc", "", "0x10"}) {
        Arguments line = with_required(command, arguments);
        line.push_back(argument.name + "=" + value);
        INFO(command[0] << " " << command.back() << " " << line.back());
        CHECK_THAT(refusal(line), Contains(argument.name + " must be") && Contains("got") && Contains(value));
      }
      if (argument.name != "--threads" && argument.name != "--workers") continue;
      ++threads;
      for (const std::string value : {"-5", "40000", "100000"}) {
        Arguments line = with_required(command, arguments);
        line.insert(line.end(), {argument.name, value});
        CHECK_THAT(refusal(line), Contains(argument.name + " must be at least 0 and at most ") &&
                                      Contains("CPUs") && Contains("got " + value));
      }
    }
  }
  CHECK(flags >= 50);
  CHECK(threads >= 13);
}

// Such as that of a shell variable that is not set: "not given" would train from other weights than the user
// meant.
TEST_CASE("no argument may be empty but a text, however it is given") {
  int arguments_tried = 0;
  for (const Arguments& command : helped_commands()) {
    const std::vector<HelpedArgument> arguments = helped_arguments(command);
    for (const HelpedArgument& argument : arguments) {
      if (argument.type != "TEXT" || (!argument.is_flag() && !argument.required)) continue;
      ++arguments_tried;
      std::vector<Arguments> lines = {with_required(command, arguments)};
      if (argument.is_flag()) {
        lines.push_back(lines[0]);
        lines[0].insert(lines[0].end(), {argument.name, ""});
        lines[1].push_back(argument.name + "=");
      } else {
        std::replace(lines[0].begin(), lines[0].end(), std::string("x"), std::string());
      }
      for (const Arguments& line : lines) {
        INFO(command[0] << " " << command.back() << " " << argument.name);
        const std::string message = refusal(line);
        CHECK_THAT(message, Contains(argument.name) && (Contains("empty") || Contains("got \"\"")));
      }
    }
  }
  CHECK(arguments_tried >= 80);
  const TemporaryFolder folder;
  const std::string merges = folder.write("merges.txt", "#version: 0.2\n");
  const CommandResult text = run_cuclip({"tokenizer", "encode", "", "--tokenizer", merges});
  CHECK(text.exit_code == 0);
}

TEST_CASE("a flag without a value may be said to be true or false, and nothing else") {
  int flags = 0;
  for (const Arguments& command : helped_commands()) {
    const std::vector<HelpedArgument> arguments = helped_arguments(command);
    for (const HelpedArgument& argument : arguments) {
      if (!argument.is_flag() || !argument.type.empty()) continue;
      ++flags;
      for (const std::string value : {"", "{}", "[]", "-1", "0", "1", "2", "on", "no", "True", "true "}) {
        Arguments line = with_required(command, arguments);
        line.push_back(argument.name + "=" + value);
        INFO(command[0] << " " << command.back() << " " << line.back());
        CHECK_THAT(refusal(line),
                   Contains(argument.name + " takes no value, or true or false; got \"" + value + "\""));
      }
    }
  }
  CHECK(flags >= 15);
  CHECK(run_cuclip({"info", "--json=true"}).out == run_cuclip({"info", "--json"}).out);
  CHECK(run_cuclip({"info", "--json=false"}).out == run_cuclip({"info"}).out);
}

TEST_CASE("a configuration file obeys the same ranges, and may have a byte order mark") {
  const TemporaryFolder folder;
  for (const HelpedArgument& argument : helped_arguments({"train"})) {
    if (argument.type.empty() || argument.type == "TEXT") continue;
    const std::string key = argument.name.substr(2);
    const std::string file = folder.write("c.toml", "\xEF\xBB\xBF" + key + " = 1e300\n");
    CHECK_THAT(refusal({"train", "--config", file}),
               Contains("c.toml, line 1: " + argument.name + " must be"));
  }
}

TEST_CASE("ids are numbers too") {
  CHECK_THAT(refusal({"tokenizer", "decode", "--tokenizer", "x", "5", "99999999999"}),
             Contains("id must be at least 0") && Contains("got 99999999999"));
}

}  // namespace
}  // namespace cuclip::test
