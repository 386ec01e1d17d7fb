// cuclip info: what this build is and what it runs on.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "kernels/common/parallel.h"
#include "train/cli/commands.h"

namespace cuclip {
namespace {

using Json = nlohmann::ordered_json;

Json describe() {
  Json devices = Json::array();
  devices.push_back({{"name", "cpu"}, {"threads", available_cpus()}});
  return {{"version", CUCLIP_VERSION},
          {"build", {{"type", CUCLIP_BUILD_TYPE}, {"compiler", CUCLIP_COMPILER}, {"cuda", false}}},
          {"devices", devices}};
}

void print_table(const Json& info) {
  fmt::print("cuclip {} ({}, {})\n", info["version"].get<std::string>(),
             info["build"]["type"].get<std::string>(), info["build"]["compiler"].get<std::string>());
  for (const Json& device : info["devices"]) {
    fmt::print("device {}: {} threads\n", device["name"].get<std::string>(), device["threads"].get<int>());
  }
}

}  // namespace

void add_info_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("info", "Devices, build, and the built-in models");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Print JSON");
  command->footer("Example:\n  cuclip info --json");
  command->callback([json] {
    const Json info = describe();
    if (*json) {
      fmt::print("{}\n", info.dump(2));
    } else {
      print_table(info);
    }
  });
}

}  // namespace cuclip
