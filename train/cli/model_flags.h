// What every command that runs a model has in common.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "train/encode.h"
#include "train/model_source.h"

namespace CLI {
class App;
}

namespace cuclip {

struct ModelFlags {
  std::string model;
  std::string tokenizer;
  std::string config_name;
  std::string device = "auto";
  std::string precision = "fp32";
  int threads = 0;
};

/// What --precision takes, of every command.
inline const std::vector<std::string> kPrecisions = {"fp32", "tf32", "bf16"};
inline constexpr const char* kPrecisionHelp =
    "fp32; tf32: the same with products on CUDA's tensor cores; bf16 activations and products";

/// --model, --tokenizer, --config-name, --device, --precision, --threads.
void add_model_flags(CLI::App* command, ModelFlags& flags, bool model_required = true);

/// The device that --device names; says on standard error which GPU it is. Throws InputError.
Device announced_device(const std::string& name);

/// A model and what it runs with; neither copied nor moved, since the model refers to the context.
struct Session {
  explicit Session(const ModelFlags& flags);
  Context context;
  LoadedModel loaded;
  const Clip& model() const { return *loaded.model; }
};

/// Throws Error when a file could not be written there: before an hour of work, not after it.
void check_can_write(const std::string& file);

/// Prints JSON and a line feed. Bytes that are no UTF-8 (in file names) are replaced.
void print_json(const nlohmann::ordered_json& json);

/// What a data source has to say (Dataset::notes()), on standard error.
void print_notes(const std::vector<std::string>& notes);

/// Lists the first few unreadable pictures on standard error, and how many there are.
void report_unreadable(const std::vector<UnreadablePicture>& unreadable);

/// Says on standard error how many pictures were used although their data are damaged, and names the first.
void report_damaged(const std::vector<std::string>& damaged);

/// [{"index"?, "reason"}, ...]
nlohmann::ordered_json unreadable_json(const std::vector<UnreadablePicture>& unreadable);

/// Shows how far encoding is, on standard error, where that is a terminal.
EncodeProgress progress_to_terminal(const std::string& what, int64_t total);

}  // namespace cuclip
