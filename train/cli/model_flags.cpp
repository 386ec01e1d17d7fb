#include "train/cli/model_flags.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <span>

#include "core/file_io.h"
#include "models/files/weight_files.h"
#include "models/inference/model_source.h"
#include "train/cli/flag_values.h"

namespace cuclip {

Device announced_device(const DeviceChoice& choice) {
  const Device device = choose_device(choice);
  if (device == Device::cuda) fmt::print(stderr, "cuclip: running on {}\n", cuda_description());
  return device;
}

void add_model_flags(CLI::App* command, ModelFlags& flags, bool model_required) {
  const std::string group = "Model";
  command
      ->add_option("--model", flags.model,
                   "Run folder, checkpoint folder, FILE.safetensors, an index of several, or a built-in name "
                   "(untrained)")
      ->required(model_required)
      ->group(group);
  command
      ->add_option("--tokenizer", flags.tokenizer,
                   "Merges file, or a folder with one, instead of the model's own")
      ->group(group);
  command
      ->add_option("--config-name", flags.config_name,
                   "Built-in name or JSON file, for weights without open_clip_config.json beside them")
      ->group(group);
  const auto set = [&flags](const std::string& text) { flags.device = parse_device("--device", text); };
  add_choice(command, "--device", kWords<DeviceChoice::Kind>, to_text(flags.device), set, kDeviceHelp)
      ->group(group);
  add_choice(command, "--precision", flags.precision, kPrecisionHelp)->group(group);
  limit(command->add_option("--threads", flags.threads, kThreadsHelp), thread_range())
      ->capture_default_str()
      ->group(group);
}

std::vector<std::string> inputs_with(const ModelFlags& flags, std::vector<std::string> others) {
  others.insert(others.end(), {flags.model, flags.tokenizer, flags.config_name});
  if (!path_exists(flags.model)) return others;
  const std::filesystem::path model = flags.model;
  const std::filesystem::path folder = is_folder(model) ? model : model.parent_path();
  const std::filesystem::path weights = is_folder(model) ? weights_in(model) : model;
  if (!weights.empty()) {
    for (const std::filesystem::path& file : weight_file_paths(weights)) others.push_back(file.string());
  }
  for (const std::span<const char* const> names :
       {std::span<const char* const>(kWeightsNames), std::span<const char* const>(kConfigNames),
        std::span<const char* const>(kMergesNames)}) {
    for (const char* name : names) others.push_back((folder / name).string());
  }
  return others;
}

}  // namespace cuclip
