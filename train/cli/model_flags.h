// The flags of every command that runs a model, and the model that they name.
#pragma once

#include <string>
#include <vector>

#include "core/device_choice.h"
#include "core/precision.h"

namespace CLI {
class App;
}  // namespace CLI

namespace cuclip {

struct ModelFlags {
  std::string model;
  std::string tokenizer;
  std::string config_name;
  DeviceChoice device;
  Precision precision = Precision::fp32;
  int threads = 0;
};

/// --model, --tokenizer, --config-name, --device, --precision, --threads.
void add_model_flags(CLI::App* command, ModelFlags& flags, bool model_required = true);

/// The device that --device names; says on standard error which GPU it is. Throws InputError.
Device announced_device(const DeviceChoice& choice);

/// The files that --model, --tokenizer and --config-name name, with those that are read beside the weights,
/// added to `others`.
std::vector<std::string> inputs_with(const ModelFlags& flags, std::vector<std::string> others);

}  // namespace cuclip
