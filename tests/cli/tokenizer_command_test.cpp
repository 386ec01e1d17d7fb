#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/support/command.h"
#include "tests/support/paths.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Json = nlohmann::json;

TEST_CASE("a tokeniser is trained, and encodes and decodes") {
  const TemporaryFolder folder;
  const auto captions = folder.write("captions.txt", "a red fox\na red box\r\n\na red fox in a box");
  const std::string file = folder / "merges.txt.gz";
  const auto trained = run_cuclip(
      {"tokenizer", "train", "--captions", captions, "--vocab-size", "518", "--out", file, "--json"});
  REQUIRE(trained.exit_code == 0);
  CHECK(Json::parse(trained.out) == Json{{"captions", 4}, {"merges", 4}, {"vocab_size", 518}, {"out", file}});

  const auto encoded = run_cuclip({"tokenizer", "encode", "--tokenizer", file, "A Red FOX", "--json"});
  REQUIRE(encoded.exit_code == 0);
  const Json object = Json::parse(encoded.out);
  CHECK(object["text"] == "A Red FOX");
  const auto ids = object["ids"].get<std::vector<int>>();
  CHECK(ids.front() == 516);
  CHECK(ids.back() == 517);

  std::vector<std::string> arguments = {"tokenizer", "decode", "--tokenizer", file};
  for (const int id : ids) arguments.push_back(std::to_string(id));
  CHECK(run_cuclip(arguments).out == "a red fox\n");

  const auto padded =
      run_cuclip({"tokenizer", "encode", "--tokenizer", file, "--context-length", "4", "a", "a red fox"});
  CHECK_THAT(padded.out, Contains("516 320 517 0\n516 320 ") && Contains(" 517\n"));
}

TEST_CASE("a model's folder stands for the merges file in it") {
  const TemporaryFolder folder;
  const auto captions = folder.write("captions.txt", "a red fox\na red box");
  const std::string file = folder / "merges.txt";
  const auto encode = [](const std::string& tokenizer) {
    return run_cuclip({"tokenizer", "encode", "--tokenizer", tokenizer, "a red fox"});
  };
  const CommandResult without = encode(folder.path());
  CHECK(without.exit_code == 2);
  CHECK_THAT(without.err, Contains("expected a merges file in this folder, tokenizer.txt.gz, "));
  REQUIRE(run_cuclip({"tokenizer", "train", "--captions", captions, "--vocab-size", "518", "--out", file})
              .exit_code == 0);
  CHECK(encode(folder.path()).exit_code == 0);
  CHECK(encode(folder.path()).out == encode(file).out);
}

TEST_CASE("without texts or ids the tokeniser reads standard input line by line") {
  const TemporaryFolder folder;
  const std::string file = folder.write("merges.txt", "#version\na b</w>\n");
  const std::string command = "'" + cuclip_executable() + "' tokenizer ";
  const auto piped =
      run_program("/bin/bash", {"-c", "printf 'ab\\nb ab\\n' | " + command + "encode --tokenizer '" + file +
                                          "' | " + command + "decode --tokenizer '" + file + "'"});
  CHECK(piped.out == "ab\nb ab\n");
  CHECK(piped.err.empty());
}

TEST_CASE("lines of standard input are read as any list is, and a read that fails is not an empty input") {
  const TemporaryFolder folder;
  const std::string encode = "'" + cuclip_executable() + "' tokenizer encode --tokenizer '" +
                             folder.write("merges.txt", "#version\na b</w>\n").string() + "'";
  const auto run = [](const std::string& script) { return run_program("/bin/bash", {"-c", script}); };
  const std::string expected = run("printf 'ab\nb\n' | " + encode).out;
  REQUIRE(std::count(expected.begin(), expected.end(), '\n') == 2);
  for (const char* bytes :
       {"ab\\rb", "ab\\r\\nb\\r\\n", "\\xef\\xbb\\xbfab\\nb", "\\xff\\xfea\\0b\\0\\n\\0b\\0"}) {
    INFO(bytes);
    CHECK(run("printf '" + std::string(bytes) + "' | " + encode).out == expected);
  }
  const std::pair<const char*, const char*> faults[] = {
      {"printf 'a\\n\\xe9\\n' | ", "line 2: expected UTF-8"},
      {"printf 'a\\nb\\0\\n' | ", "NUL byte in line 2"},
      {"<&- ", "standard input: it is closed"},
      {"</tmp ", "standard input: it is a folder"}};
  for (const auto& [input, message] : faults) {
    INFO(input);
    const CommandResult result = run(input + encode);
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Contains(message));
  }
}

TEST_CASE("fewer merges than asked for are reported on standard error") {
  const TemporaryFolder folder;
  const auto captions = folder.write("captions.txt", "ab ab");
  const auto result = run_cuclip(
      {"tokenizer", "train", "--captions", captions, "--vocab-size", "4096", "--out", folder / "m.txt"});
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.out, Contains("1 merges, a vocabulary of 515"));
  CHECK_THAT(result.err, Contains("the vocabulary is smaller"));
}

TEST_CASE("wrong inputs of the tokeniser exit with 2 and name what is wrong") {
  const TemporaryFolder folder;
  const std::string merges = folder.write("merges.txt", "#version\na b</w>\n");
  const std::string captions = folder.write("captions.txt", "ab ab\n");
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"train", "--captions", folder / "none.txt", "--out", folder / "m"}, "none.txt"},
      {{"train", "--captions", folder.write("empty.txt", ""), "--out", folder / "m"},
       "no word to learn from"},
      {{"train", "--captions", captions, "--vocab-size", "100", "--out", folder / "m"},
       "at least 514 and at most 49408"},
      {{"encode", "--tokenizer", captions, "x"}, "line 1: expected"},
      {{"encode", "--tokenizer", merges, "--context-length", "1", "x"}, "at least 2"},
      {{"encode", "x"}, "--tokenizer"},
      {{"encode", "--tokenizer", merges, "a", "\xff"}, "expected UTF-8, found \"\\xff\""},
      {{"encode", "--tokenizer", merges, "--json", "\xc3("}, "expected UTF-8"},
      {{"decode", "--tokenizer", merges, "515"}, "id 515"},
      {{"decode", "--tokenizer", merges, "x"}, "id"},
  };
  for (auto [arguments, message] : cases) {
    arguments.insert(arguments.begin(), "tokenizer");
    const auto result = run_cuclip(arguments);
    INFO(message);
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Contains(message));
    CHECK(result.out.empty());
  }
  CHECK_FALSE(std::filesystem::exists(folder / "m"));
}

}  // namespace
}  // namespace cuclip::test
