// cuclip info: what this build is and what it runs on.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/launcher.h"
#include "core/mpi_communicator.h"
#include "kernels/common/check.h"
#include "kernels/common/device.h"
#include "kernels/common/parallel.h"
#include "kernels/tiles/tile_product.h"
#include "models/clip/clip_config.h"
#include "models/clip/clip_size.h"
#include "models/files/message.h"
#include "models/image/image_decode.h"
#include "train/cli/commands.h"
#include "train/cli/printing.h"

namespace cuclip {
namespace {

using Json = nlohmann::ordered_json;

Json models_json() {
  Json models = Json::array();
  for (const auto& [name, config] : builtin_clip_configs()) {
    models.push_back({{"name", name},
                      {"parameters", parameter_count(config)},
                      {"flops_per_pair", image_forward_flops(config, config.vision.patches()) +
                                             text_forward_flops(config, config.text.context_length)},
                      {"image_size", config.vision.image_size},
                      {"patch_size", config.vision.is_resnet() ? Json() : Json(config.vision.patch_size)},
                      {"embed_dim", config.embed_dim},
                      {"context_length", config.text.context_length},
                      {"vocab_size", config.text.vocab_size},
                      {"quick_gelu", config.quick_gelu}});
  }
  return models;
}

/// Who started this process, or what is wrong with what the environment says of it.
Json launcher_json() {
  try {
    const Launch launch = find_launch(std::getenv);
    return {{"name", word(launch.launcher)},
            {"rank", launch.rank},
            {"size", launch.size},
            {"local_rank", launch.local_rank},
            {"local_size", launch.local_size}};
  } catch (const InputError& error) {
    return {{"problem", escaped_message(error.what())}};
  }
}

Json mpi_json() {
  const MpiLibrary mpi = find_mpi();
  if (!mpi.problem.empty()) return {{"usable", false}, {"problem", mpi.problem}};
  return {{"usable", true}, {"library", mpi.version}};
}

Json describe() {
  Json devices = Json::array();
  devices.push_back(
      {{"name", "cpu"}, {"threads", available_cpus()}, {"bf16_products", has_native_bf16_product()}});
  const std::string problem = cuda_problem();
  devices.push_back({{"name", "cuda"}, {"usable", problem.empty()}});
  if (problem.empty()) {
    devices.back()["gpu"] = cuda_description();
  } else {
    devices.back()["problem"] = problem;
  }
  return {
      {"version", CUCLIP_VERSION},
      {"build", {{"type", CUCLIP_BUILD_TYPE}, {"compiler", CUCLIP_COMPILER}, {"cuda", built_with_cuda()}}},
      {"picture_formats", picture_formats()},
      {"devices", devices},
      {"launcher", launcher_json()},
      {"mpi", mpi_json()},
      {"models", models_json()}};
}

void print_ranks(const Json& launcher, const Json& mpi) {
  if (launcher.contains("problem")) {
    fmt::print("launcher: {}\n", launcher["problem"].get<std::string>());
  } else {
    fmt::print("launcher: {}, rank {} of {}\n", launcher["name"].get<std::string>(),
               launcher["rank"].get<int>(), launcher["size"].get<int>());
  }
  fmt::print("mpi: {}\n", mpi[mpi["usable"].get<bool>() ? "library" : "problem"].get<std::string>());
}

void print_table(const Json& info) {
  fmt::print("cuclip {} ({}, {})\n", info["version"].get<std::string>(),
             info["build"]["type"].get<std::string>(), info["build"]["compiler"].get<std::string>());
  const Json &cpu = info["devices"][0], &cuda = info["devices"][1];
  fmt::print("device cpu: {} threads, bf16 products {}\n", cpu["threads"].get<int>(),
             cpu["bf16_products"].get<bool>() ? "in hardware" : "widened to f32");
  fmt::print("device cuda: {}\n",
             (cuda["usable"].get<bool>() ? cuda["gpu"] : cuda["problem"]).get<std::string>());
  print_ranks(info["launcher"], info["mpi"]);
  fmt::print("pictures: {}\n", fmt::join(info["picture_formats"].get<std::vector<std::string>>(), ", "));
  fmt::print("\n{:<24}{:>14}{:>14}{:>8}{:>8}{:>8}{:>9}{:>9}\n", "model", "parameters", "GFLOP/pair", "pixels",
             "patch", "embed", "context", "vocab");
  for (const Json& m : info["models"]) {
    const std::string patch = m["patch_size"].is_null() ? "-" : m["patch_size"].dump();
    fmt::print("{:<24}{:>14}{:>14.3f}{:>8}{:>8}{:>8}{:>9}{:>9}\n", m["name"].get<std::string>(),
               m["parameters"].get<int64_t>(), m["flops_per_pair"].get<double>() / 1e9,
               m["image_size"].get<int>(), patch, m["embed_dim"].get<int>(), m["context_length"].get<int>(),
               m["vocab_size"].get<int>());
  }
  fmt::print(
      "GFLOP/pair: a forward pass over one picture and one text of full length; training takes three times "
      "it\n");
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
      print_json(info);
    } else {
      print_table(info);
    }
  });
}

}  // namespace cuclip
