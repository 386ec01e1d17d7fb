#include "train/cli/model_flags.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>

#include "core/file_io.h"
#include "models/inference/checkpoint_folders.h"
#include "models/inference/feature_index.h"
#include "train/cli/flag_values.h"

namespace cuclip {
namespace {

constexpr size_t kListed = 5;

ModelOptions options_of(const ModelFlags& flags) {
  return {.dtype = activation_dtype(flags.precision),
          .tokenizer = flags.tokenizer,
          .config_name = flags.config_name};
}

const char* name_of(OutputKind kind) {
  switch (kind) {
    case OutputKind::npy:
      return ".npy file";
    case OutputKind::safetensors:
      return "safetensors file";
    case OutputKind::png:
      return "PNG picture";
    case OutputKind::svg:
      return "SVG drawing";
    case OutputKind::gzip:
      return "gzip file";
    case OutputKind::json:
      return "JSON file";
    case OutputKind::merges:
      return "merges file";
    case OutputKind::index:
      return "index of cuclip's";
  }
  return "";
}

// Whether nothing is there, an empty file, or one of this kind by its first bytes.
bool may_become(const std::string& file, OutputKind kind) {
  if (!path_exists(file)) return true;
  if (kind == OutputKind::index) return may_become_index(file);
  std::string start(100, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(start.data(), std::ssize(start));
  start.resize(static_cast<size_t>(in.gcount()));
  if (start.empty()) return true;
  switch (kind) {
    case OutputKind::npy:
      return start.starts_with("\x93NUMPY");
    case OutputKind::safetensors:
      return start.size() > 8 && start[8] == '{';
    case OutputKind::png:
      return start.starts_with("\x89PNG");
    case OutputKind::svg:
      return start.find("<svg") != std::string::npos || start.starts_with("<?xml");
    case OutputKind::gzip:
      return start.starts_with("\x1f\x8b");
    case OutputKind::json:
      return start.starts_with('{');
    case OutputKind::merges:
      return start.find("#version") != std::string::npos;
    case OutputKind::index:
      break;  // above
  }
  return false;
}

}  // namespace

Device announced_device(DeviceChoice choice) {
  const Device device = choose_device(choice);
  if (device == Device::cuda) fmt::print(stderr, "cuclip: running on {}\n", cuda_description());
  return device;
}

void add_model_flags(CLI::App* command, ModelFlags& flags, bool model_required) {
  const std::string group = "Model";
  command
      ->add_option("--model", flags.model,
                   "Run folder, checkpoint folder, FILE.safetensors, or a built-in name (untrained)")
      ->required(model_required)
      ->group(group);
  command->add_option("--tokenizer", flags.tokenizer, "Merges file instead of the model's own")->group(group);
  command
      ->add_option("--config-name", flags.config_name,
                   "Built-in name or JSON file, for weights without open_clip_config.json beside them")
      ->group(group);
  add_choice(command, "--device", flags.device, "auto, cpu or cuda")->group(group);
  add_choice(command, "--precision", flags.precision, kPrecisionHelp)->group(group);
  limit(command->add_option("--threads", flags.threads, "Threads; 0: what the process may use"),
        thread_range())
      ->capture_default_str()
      ->group(group);
}

Session::Session(const ModelFlags& flags)
    : context(flags.threads, announced_device(flags.device)),
      loaded(load_model(context, flags.model, options_of(flags))) {
  use_precision(context, flags.precision);
  if (!loaded.trained) {
    warn(flags.model + " is untrained: its answers mean nothing");
  }
}

CLI::Option* never_empty(CLI::Option* option) {
  const auto check = [option](const std::string& value) {
    CUCLIP_CHECK(!value.empty(), "{}: expected a name, found an empty one", option->get_name());
    return std::string();
  };
  return option->check(CLI::Validator(check, ""));
}

void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (error) fail("cannot make the folder {}: {}", folder.string(), error.message());
}

OutputKind kind_of_name(const std::string& file, OutputKind otherwise) {
  const std::string extension = std::filesystem::path(file).extension();
  for (const auto& [end, kind] : {std::pair{".npy", OutputKind::npy},
                                  {".safetensors", OutputKind::safetensors},
                                  {".png", OutputKind::png},
                                  {".svg", OutputKind::svg},
                                  {".gz", OutputKind::gzip}}) {
    if (extension == end) return kind;
  }
  return otherwise;
}

std::vector<std::string> inputs_with(const ModelFlags& flags, std::vector<std::string> others) {
  others.insert(others.end(), {flags.model, flags.tokenizer, flags.config_name});
  if (!path_exists(flags.model)) return others;
  const std::filesystem::path model = flags.model;
  const std::filesystem::path folder = is_folder(model) ? model : model.parent_path();
  for (const char* name :
       {"model.safetensors", "open_clip_model.safetensors", "open_clip_config.json", "config.json",
        "preprocessor_config.json", "tokenizer.txt.gz", "bpe_simple_vocab_16e6.txt.gz", "merges.txt"}) {
    others.push_back((folder / name).string());
  }
  return others;
}

void check_can_write(const std::string& file, OutputKind kind, const std::vector<std::string>& inputs) {
  CUCLIP_CHECK(!is_folder(file), "cannot write {}: it is a folder, expected a file", file);
  std::error_code unknown;
  CUCLIP_CHECK(!path_exists(file) || std::filesystem::is_regular_file(file, unknown),
               "cannot write {}: it exists and is not a regular file", file);
  for (const std::string& input : inputs) {
    CUCLIP_CHECK(!std::filesystem::equivalent(file, input, unknown),
                 "{} is an input and would be overwritten; choose another output name", input);
  }
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  CUCLIP_CHECK(
      !path_exists(file) || !is_checkpoint_folder(folder),
      "{} belongs to a checkpoint of a training run and would be overwritten: choose another name to "
      "write to",
      file);
  CUCLIP_CHECK(
      may_become(file, kind),
      "{} exists and is not a {}; it would be overwritten. Choose another name to write to, or remove it",
      file, name_of(kind));
  // A mistyped name makes no folders.
  if (!folder.empty() && !is_folder(folder)) {
    fail("cannot write {}: there is no folder {}; make it first", file, folder.string());
  }
  try_to_write(file);
}

void print_json(const nlohmann::ordered_json& json, int indent) {
  fmt::print("{}\n", json_text(json, indent));
}

void warn(const std::string& message) { fmt::print(stderr, "cuclip: {}\n", escaped_text(message)); }

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) warn(note);
}

void report_unreadable(const std::vector<UnreadablePicture>& unreadable) {
  if (unreadable.empty()) return;
  fmt::print(stderr, "cuclip: {} {} could not be read and left out:\n", unreadable.size(),
             unreadable.size() == 1 ? "picture" : "pictures");
  for (size_t i = 0; i < std::min(unreadable.size(), kListed); ++i) {
    fmt::print(stderr, "  {}\n", escaped_text(unreadable[i].reason));
  }
  if (unreadable.size() > kListed) fmt::print(stderr, "  and {} more\n", unreadable.size() - kListed);
}

void report_damaged(const std::vector<std::string>& damaged) {
  if (damaged.empty()) return;
  warn(fmt::format("damaged pictures used: {}, the first: {}", damaged.size(), damaged.front()));
}

nlohmann::ordered_json unreadable_json(const std::vector<UnreadablePicture>& unreadable) {
  auto list = nlohmann::ordered_json::array();
  for (const UnreadablePicture& picture : unreadable) {
    nlohmann::ordered_json entry = {{"index", picture.index}};
    if (!picture.path.empty()) put_name(entry, "path", picture.path);
    entry["reason"] = picture.reason;
    list.push_back(std::move(entry));
  }
  return list;
}

EncodeProgress progress_to_terminal(const std::string& what, int64_t total) {
  if (!::isatty(STDERR_FILENO)) return {};
  return [what, total](int64_t done) {
    fmt::print(stderr, "\r{} {} of {}{}", what, done, total, done == total ? "\n" : "");
    std::fflush(stderr);
  };
}

}  // namespace cuclip
