#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/support/model_on_disk.h"
#include "tests/support/paths.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

TEST_CASE("--help exits with 0 and prints help with an example to standard output") {
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

TEST_CASE("info --json is JSON with version, build, picture formats and devices") {
  const CommandResult result = run_cuclip({"info", "--json"});
  REQUIRE(result.exit_code == 0);
  const auto info = nlohmann::json::parse(result.out);
  CHECK(info.at("version").is_string());
  CHECK(info.at("build").at("cuda").is_boolean());
  CHECK(info.at("picture_formats").at(0) == "JPEG");
  CHECK(info.at("devices").at(0).at("threads").get<int>() >= 1);
}

// Commands with a short result, with one that is larger than a buffer, and with work after its result.
std::vector<std::vector<std::string>> commands_with_results(const ModelOnDisk& disk) {
  const std::string index = disk.folder / "index";
  REQUIRE(disk.cuclip({"index", disk.pictures, "--out", index}).exit_code == 0);
  return {{"info", "--json"}, {"train", "--help"}, {"search", index, "a circle", "--device", "cpu"}};
}

CommandResult run_in_shell(const std::vector<std::string>& arguments, const std::string& before,
                           const std::string& redirection) {
  std::string script = before + "exec '" + cuclip_executable() + "'";
  for (const std::string& argument : arguments) script += " '" + argument + "'";
  return run_program("/bin/bash", {"-c", script + " " + redirection});
}

TEST_CASE_METHOD(ModelOnDisk, "a full disk under standard output is a failure that is reported") {
  for (const auto& arguments : commands_with_results(*this)) {
    INFO(arguments[0]);
    const CommandResult result = run_cuclip(arguments, "/dev/full");
    CHECK(result.exit_code == 1);
    CHECK(result.err == "cuclip: cannot write to standard output: No space left on device\n");
  }
}

TEST_CASE_METHOD(ModelOnDisk,
                 "a reader that closes the pipe early neither kills the command nor draws a message") {
  for (const auto& arguments : commands_with_results(*this)) {
    INFO(arguments[0]);
    const CommandResult result = run_in_shell(arguments, "exec 3> >(true); wait $!; ", ">&3");
    CHECK(result.exit_code == 1);
    CHECK(result.err.empty());
  }
}

TEST_CASE_METHOD(ModelOnDisk,
                 "a standard output that is closed from the start is a failure that is reported") {
  for (const auto& arguments : commands_with_results(*this)) {
    INFO(arguments[0]);
    const CommandResult result = run_in_shell(arguments, "", ">&-");
    CHECK(result.exit_code == 1);
    CHECK(result.err == "cuclip: cannot write to standard output: Bad file descriptor\n");
  }
}

}  // namespace
}  // namespace cuclip::test
