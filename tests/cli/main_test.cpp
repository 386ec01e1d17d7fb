#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/support/command.h"
#include "tests/support/paths.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

TEST_CASE("help is printed to standard output, with an example, and is no failure") {
  for (const std::string flag : {"--help", "-h"}) {
    const CommandResult result = run_cuclip({flag});
    CHECK(result.exit_code == 0);
    CHECK_THAT(result.out, Contains("Subcommands:") && Contains("Example"));
    CHECK(result.err.empty());
  }
}

TEST_CASE("--version names the version") {
  const CommandResult result = run_cuclip({"--version"});
  CHECK(result.exit_code == 0);
  CHECK(result.out.starts_with("cuclip "));
}

TEST_CASE("arguments that are wrong exit with 2 and say so on standard error") {
  const std::vector<std::vector<std::string>> wrong = {
      {}, {"no-such-command"}, {"info", "--no-such-flag"}, {"info", "surplus"}, {""}};
  for (const auto& arguments : wrong) {
    const CommandResult result = run_cuclip(arguments);
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
    CHECK_FALSE(result.err.empty());
  }
}

TEST_CASE("info --json is JSON with version, build and devices") {
  const CommandResult result = run_cuclip({"info", "--json"});
  REQUIRE(result.exit_code == 0);
  const auto info = nlohmann::json::parse(result.out);
  CHECK(info.at("version").is_string());
  CHECK(info.at("build").at("cuda").is_boolean());
  CHECK(info.at("devices").at(0).at("threads").get<int>() >= 1);
}

TEST_CASE("a full disk under standard output is a failure that is reported") {
  const CommandResult result = run_cuclip({"info"}, "/dev/full");
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.err, Contains("standard output"));
}

TEST_CASE("a reader that closes the pipe early neither kills the command nor draws a message") {
  const CommandResult result = run_program(
      "/bin/bash", {"-c", "'" + cuclip_executable() + "' info --json | true; echo ${PIPESTATUS[0]}"});
  CHECK((result.out == "0\n" || result.out == "1\n"));  // 0 where the pipe's buffer took it before it closed
  CHECK(result.err.empty());
}

TEST_CASE("a standard output that is closed from the start is a failure that is reported") {
  const CommandResult result =
      run_program("/bin/bash", {"-c", "'" + cuclip_executable() + "' info --json >&-"});
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.err, Contains("standard output"));
}

}  // namespace
}  // namespace cuclip::test
