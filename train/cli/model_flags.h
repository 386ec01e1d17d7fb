// What every command that runs a model has in common.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/device_choice.h"
#include "core/precision.h"
#include "models/files/names.h"
#include "models/inference/encode.h"
#include "models/inference/model_source.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cuclip {

struct ModelFlags {
  std::string model;
  std::string tokenizer;
  std::string config_name;
  DeviceChoice device = DeviceChoice::automatic;
  Precision precision = Precision::fp32;
  int threads = 0;
};

/// What --json says, of every command that names files.
inline constexpr const char* kJsonHelp =
    "Print JSON. Bytes of a name that are not valid UTF-8 become U+FFFD; a second field, KEY_bytes, "
    "holds the name percent-encoded";

/// --model, --tokenizer, --config-name, --device, --precision, --threads.
void add_model_flags(CLI::App* command, ModelFlags& flags, bool model_required = true);

/// The device that --device names; says on standard error which GPU it is. Throws InputError.
Device announced_device(DeviceChoice choice);

/// A model and what it runs with; neither copied nor moved, since the model refers to the context.
struct Session {
  explicit Session(const ModelFlags& flags);
  Context context;
  LoadedModel loaded;
  const Clip& model() const { return *loaded.model; }
};

/// Refuses an empty value, such as that of a shell's variable that is not set: for files and folders to write.
CLI::Option* never_empty(CLI::Option* option);

/// Makes a folder, with those on the way. Throws Error.
void make_folder(const std::filesystem::path& folder);

/// What a command writes: a file that is there is replaced only by one of its own kind.
enum class OutputKind { npy, safetensors, png, svg, gzip, json, merges, index };

/// By the end of the name: .npy, .safetensors, .png, .svg, .gz; `otherwise` for others.
OutputKind kind_of_name(const std::string& file, OutputKind otherwise);

/// The files that --model, --tokenizer and --config-name name, with those that are read beside the weights, added to
/// `others`.
std::vector<std::string> inputs_with(const ModelFlags& flags, std::vector<std::string> others);

/// The one place that refuses an output, before an hour of work and not after it. Throws InputError where the file is
/// a folder, one of the files that are read, a file of another kind (an empty file is of every kind), or part of a
/// checkpoint; Error where no file can be written. The folder of a file must be there, whatever the command; a folder
/// that is the output itself is made (make_folder).
void check_can_write(const std::string& file, OutputKind kind, const std::vector<std::string>& inputs);

/// Prints JSON and a line feed (json_text). Names go in by put_name, which keeps those that are not valid
/// UTF-8.
void print_json(const nlohmann::ordered_json& json, int indent = 2);

/// A line on standard error, "cuclip: ...", whatever names are in it.
void warn(const std::string& message);

/// What a data source has to say (Dataset::notes()), on standard error.
void print_notes(const std::vector<std::string>& notes);

/// Lists the first few unreadable pictures on standard error, and how many there are.
void report_unreadable(const std::vector<UnreadablePicture>& unreadable);

/// Says on standard error how many pictures were used although their data are damaged, and names the first.
void report_damaged(const std::vector<std::string>& damaged);

/// [{"index", "path" of files, "reason"}, ...]
nlohmann::ordered_json unreadable_json(const std::vector<UnreadablePicture>& unreadable);

/// Shows how far encoding is, on standard error, where that is a terminal.
EncodeProgress progress_to_terminal(const std::string& what, int64_t total);

}  // namespace cuclip
