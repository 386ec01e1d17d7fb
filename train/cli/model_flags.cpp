#include "train/cli/model_flags.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/device_choice.h"

namespace cuclip {
namespace {

constexpr size_t kListed = 5;

ModelOptions options_of(const ModelFlags& flags) {
  return {.dtype = flags.precision == "bf16" ? DType::bf16 : DType::f32,
          .tokenizer = flags.tokenizer,
          .config_name = flags.config_name};
}

}  // namespace

Device announced_device(const std::string& name) {
  const Device device = choose_device(name);
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
  command->add_option("--device", flags.device, "auto, cpu or cuda")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str()
      ->group(group);
  command->add_option("--precision", flags.precision, kPrecisionHelp)
      ->check(CLI::IsMember(kPrecisions))
      ->capture_default_str()
      ->group(group);
  command->add_option("--threads", flags.threads, "Threads; 0: what the process may use")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str()
      ->group(group);
}

Session::Session(const ModelFlags& flags)
    : context(flags.threads, announced_device(flags.device)),
      loaded(load_model(context, flags.model, options_of(flags))) {
  if (flags.precision == "tf32") context.use_tf32();
  if (!loaded.trained) {
    fmt::print(stderr, "cuclip: {} is untrained: its answers mean nothing\n", flags.model);
  }
}

void check_can_write(const std::string& file) {
  const std::filesystem::path folder = std::filesystem::absolute(file).parent_path();
  if (::access(folder.c_str(), W_OK | X_OK) != 0) fail("cannot write {}: {}", file, std::strerror(errno));
}

void print_json(const nlohmann::ordered_json& json) {
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) fmt::print(stderr, "cuclip: {}\n", note);
}

void report_unreadable(const std::vector<UnreadablePicture>& unreadable) {
  if (unreadable.empty()) return;
  fmt::print(stderr, "cuclip: {} {} could not be read and left out:\n", unreadable.size(),
             unreadable.size() == 1 ? "picture" : "pictures");
  for (size_t i = 0; i < std::min(unreadable.size(), kListed); ++i) {
    fmt::print(stderr, "  {}\n", unreadable[i].reason);
  }
  if (unreadable.size() > kListed) fmt::print(stderr, "  and {} more\n", unreadable.size() - kListed);
}

void report_damaged(const std::vector<std::string>& damaged) {
  if (damaged.empty()) return;
  fmt::print(stderr, "cuclip: damaged pictures used: {}, the first: {}\n", damaged.size(), damaged.front());
}

nlohmann::ordered_json unreadable_json(const std::vector<UnreadablePicture>& unreadable) {
  auto list = nlohmann::ordered_json::array();
  for (const UnreadablePicture& picture : unreadable) {
    list.push_back({{"index", picture.index}, {"reason", picture.reason}});
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
