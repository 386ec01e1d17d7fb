#include "train/loop/checkpoint.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>

#include "core/file_io.h"
#include "models/clip/weights.h"
#include "models/files/file_hash.h"
#include "models/files/names.h"
#include "models/files/safetensors.h"
#include "models/files/strict_json.h"
#include "models/inference/checkpoint_folders.h"
#include "train/loop/train_config.h"

namespace cuclip {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

// ".replaced": a checkpoint that another one takes the place of, where the file system cannot exchange the
// two.
constexpr std::string_view kPartial = ".partial", kReplaced = ".replaced";

// A parameter's part of an arena that is laid out like the parameters'.
Tensor part_of(const Tensor& arena, const Parameter& parameter) {
  return arena.rows(parameter.offset, parameter.shape.elements()).reshaped(parameter.shape);
}

void save_optimizer(const fs::path& file, const ClipModel& model, const Optimizer& optimizer) {
  const Tensor exp_avg = optimizer.exp_avg().to(model.context().host());
  const Tensor exp_avg_sq = optimizer.exp_avg_sq().to(model.context().host());
  std::vector<std::pair<std::string, TensorView>> tensors;
  for (const Parameter& parameter : model.parameters().parameters()) {
    tensors.emplace_back("exp_avg." + parameter.name, part_of(exp_avg, parameter));
    tensors.emplace_back("exp_avg_sq." + parameter.name, part_of(exp_avg_sq, parameter));
  }
  write_safetensors(file, tensors);
}

void load_optimizer(const fs::path& path, ClipModel& model, Optimizer& optimizer) {
  const Safetensors file = Safetensors::open(path);
  for (const Parameter& parameter : model.parameters().parameters()) {
    for (const char* moment : {"exp_avg", "exp_avg_sq"}) {
      const std::string name = fmt::format("{}.{}", moment, parameter.name);
      const SafetensorsEntry* entry = file.find(name);
      CUCLIP_CHECK(entry, "{}: {} is missing", path.string(), name);
      const Tensor to = part_of(moment[7] == '\0' ? optimizer.exp_avg() : optimizer.exp_avg_sq(), parameter);
      std::vector<float> values(static_cast<size_t>(to.elements()));
      copy_to_f32(*entry, name, values);
      const bool squares = moment[7] != '\0';
      CUCLIP_CHECK(std::all_of(values.begin(), values.end(),
                               [&](float x) { return std::isfinite(x) && !(squares && x < 0); }),
                   "{}: {} has values that are not finite{}; the checkpoint is damaged", path.string(), name,
                   squares ? ", or below 0" : "");
      to.assign(values);
    }
  }
}

// Hashes are written as text: not every reader of JSON keeps all 64 bits of a number.
ordered_json to_json(const DatasetFingerprint& data) {
  const auto hex = [](uint64_t hash) { return fmt::format("{:016x}", hash); };
  return {{"pairs", data.pairs},
          {"names", hex(data.names)},
          {"captions", hex(data.captions)},
          {"sizes", hex(data.sizes)}};
}

// The members of state.json, each within what it can be.
class StateReader {
 public:
  explicit StateReader(const fs::path& checkpoint)
      : file_(checkpoint / "state.json"), json_(read_checkpoint_state(checkpoint)) {}

  int64_t whole(const char* key, int64_t most) const {
    const nlohmann::json found = json_.value(key, nlohmann::json());
    CUCLIP_CHECK(found.is_number_integer() && found >= 0 && found <= most,
                 "{}: expected \"{}\", a whole number from 0 to {}, found {}", file_, key, most,
                 excerpt(found));
    return found.get<int64_t>();
  }
  double amount(const char* key) const {
    const nlohmann::json found = json_.value(key, nlohmann::json());
    CUCLIP_CHECK(found.is_number() && found >= 0, "{}: expected \"{}\", a number from 0 up, found {}", file_,
                 key, excerpt(found));
    return found.get<double>();
  }
  bool has(const char* key) const { return json_.contains(key); }

  DatasetFingerprint data() const {
    const nlohmann::json data = json_.at("data");
    const auto hash = [&](const char* key) {
      const nlohmann::json found = data.is_object() ? data.value(key, nlohmann::json()) : nlohmann::json();
      const std::string text = found.is_string() ? found.get<std::string>() : "";
      uint64_t value = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
      CUCLIP_CHECK(error == std::errc() && end == text.data() + text.size(),
                   "{}: expected \"data\" with \"{}\", 16 hexadecimal digits, found {}", file_, key,
                   excerpt(found));
      return value;
    };
    const bool has_pairs = data.is_object() && data.contains("pairs") && data["pairs"].is_number_unsigned();
    CUCLIP_CHECK(has_pairs, "{}: expected \"data\" with \"pairs\", a whole number, found {}", file_,
                 excerpt(data));
    return {.pairs = data["pairs"].get<int64_t>(),
            .names = hash("names"),
            .captions = hash("captions"),
            .sizes = hash("sizes")};
  }

 private:
  std::string file_;
  nlohmann::json json_;
};

ordered_json state_json(const TrainState& state, const Settings& settings) {
  ordered_json json{{"step", state.step},
                    {"optimizer_steps", state.optimizer_steps},
                    {"samples_seen", state.samples_seen},
                    {"skipped_steps", state.skipped_steps},
                    {"epoch", state.epoch},
                    {"batch_in_epoch", state.batch_in_epoch},
                    {"data_step", state.data_step},
                    {"data_epoch", state.data_epoch},
                    {"train_seconds", state.train_seconds},
                    {"wait_seconds", state.wait_seconds},
                    {"model_flops", state.model_flops}};
  if (state.data) json["data"] = to_json(*state.data);
  for (const auto& [name, value] : settings) json["settings"][name] = value;
  return json;
}

// First the name is removed, then the contents: half a checkpoint is never seen under its name.
void remove_checkpoint(const fs::path& folder) {
  const fs::path partial = folder.string() + std::string(kPartial);
  fs::remove_all(partial);
  fs::rename(folder, partial);
  fs::remove_all(partial);
}

// Gives a checkpoint that has been written its name, and makes that survive a power cut before `latest` says
// it. If there is one of the same step (damaged, or from a run that was taken back), the two are exchanged,
// where the file system can, so that there is always one; elsewhere the old one is renamed, and removed once
// the new one has its name. If that fails, both stay for the next run to tidy up: it is not known which is
// the good one.
void put_in_place(const fs::path& partial, const fs::path& folder) {
  const fs::path aside = folder.string() + std::string(kReplaced);
  const bool replaced = fs::exists(fs::symlink_status(folder));
  const bool exchanged =
      replaced && ::renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, folder.c_str(), RENAME_EXCHANGE) == 0;
  if (replaced && !exchanged) {
    fs::remove_all(aside);
    fs::rename(folder, aside);
  }
  std::error_code error, ignored;
  if (!exchanged) fs::rename(partial, folder, error);
  if (error) {
    if (replaced) {
      fs::rename(aside, folder, ignored);
    } else {
      fs::remove_all(partial, ignored);
    }
    throw fs::filesystem_error("rename", folder, error);
  }
  sync_folder(folder.parent_path());
  if (replaced) fs::remove_all(exchanged ? partial : aside, ignored);  // the next run removes what stays
}

void write_checkpoint(const fs::path& folder, const ClipModel& model, const Optimizer& optimizer,
                      const Tokenizer& tokenizer, const TrainState& state, const Settings& settings) {
  // Nobody could load them, and the checkpoint before them might be let go.
  const Tensor values = model.parameters().values().to(model.context().host());
  const std::span<const float> all(values.data<float>(), static_cast<size_t>(values.elements()));
  if (!std::all_of(all.begin(), all.end(), [](float x) { return std::isfinite(x); })) {
    fail(
        "step {} left weights that are not finite, so it is not saved; resume from an earlier checkpoint "
        "with a "
        "lower --lr, or look for damaged pictures",
        state.step);
  }
  try {
    fs::remove_all(folder);
    fs::create_directories(folder);
    save_weights(model, folder / "model.safetensors");
    save_optimizer(folder / "optimizer.safetensors", model, optimizer);
    write_file_atomic(folder / "open_clip_config.json", clip_config_json(model.config()));
    tokenizer.save(folder / "tokenizer.txt.gz");
    ordered_json json = state_json(state, settings);
    for (const char* name : {"model.safetensors", "optimizer.safetensors"})
      json[kFileHashes][name] = file_hash(folder / name);
    write_file_atomic(folder / "state.json", json.dump(2) + "\n");
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
    throw;
  }
}

}  // namespace

fs::path save_checkpoint(const fs::path& run, const ClipModel& model, const Optimizer& optimizer,
                         const Tokenizer& tokenizer, const TrainState& state, const Settings& settings) {
  const fs::path folder = run / kCheckpointFolder / checkpoint_name(state.step);
  const fs::path partial = folder.string() + std::string(kPartial);
  try {
    write_checkpoint(partial, model, optimizer, tokenizer, state, settings);
    put_in_place(partial, folder);
    write_file_atomic(run / "latest", folder.filename().string() + "\n");
  } catch (const fs::filesystem_error& e) {
    fail("cannot save the checkpoint {}: {}", folder.string(), e.code().message());
  }
  return folder;
}

void remove_older_checkpoints(const fs::path& run, const fs::path& newest) {
  std::error_code ignored;  // one checkpoint too many is not a reason to stop
  if (!fs::equivalent(newest.parent_path(), run / kCheckpointFolder, ignored)) return;
  for (const fs::path& checkpoint : checkpoint_folders(run)) {
    if (checkpoint_step(checkpoint) >= checkpoint_step(newest) || !is_checkpoint_folder(checkpoint)) continue;
    try {
      remove_checkpoint(checkpoint);
    } catch (const fs::filesystem_error& error) {
      fmt::print(stderr, "could not remove the older checkpoint {}: {}\n", escaped_text(checkpoint.string()),
                 error.code().message());
    }
  }
}

std::vector<fs::path> unfinished_checkpoints(const fs::path& run) {
  std::vector<fs::path> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(run / kCheckpointFolder, none)) {
    const bool replaced = checkpoint_step(entry.path(), kReplaced) >= 0;
    if (replaced || checkpoint_step(entry.path(), kPartial) >= 0) found.push_back(entry.path());
  }
  return found;
}

void restore_replaced_checkpoints(const fs::path& run) {
  for (const fs::path& unfinished : unfinished_checkpoints(run)) {
    if (checkpoint_step(unfinished, kReplaced) < 0) continue;
    fs::path folder = unfinished;
    folder.replace_extension();
    std::error_code ignored;  // it stays what it is
    if (!path_exists(folder)) fs::rename(unfinished, folder, ignored);
  }
}

TrainState read_train_state(const fs::path& checkpoint) {
  constexpr int64_t kMost = int64_t{1} << 53;  // what a double counts without gaps
  const StateReader state(checkpoint);
  const int64_t step = state.whole("step", kMost);
  // Every epoch has at least one step.
  return {.step = step,
          .optimizer_steps = state.whole("optimizer_steps", step),
          .samples_seen = state.whole("samples_seen", kMost),
          .skipped_steps = state.whole("skipped_steps", step),
          .epoch = state.whole("epoch", step),
          .batch_in_epoch = state.whole("batch_in_epoch", kMost),
          .data = state.has("data") ? std::optional(state.data()) : std::nullopt,
          .data_step = state.has("data_step") ? state.whole("data_step", step) : 0,
          .data_epoch = state.has("data_epoch") ? state.whole("data_epoch", step) : 0,
          .train_seconds = state.amount("train_seconds"),
          .wait_seconds = state.amount("wait_seconds"),
          .model_flops = state.amount("model_flops")};
}

std::string read_setting(const fs::path& checkpoint, const std::string& name,
                         const std::optional<std::string>& otherwise) {
  const nlohmann::json settings = read_checkpoint_state(checkpoint)["settings"];
  if (otherwise && !settings.contains(name)) return *otherwise;
  CUCLIP_CHECK(settings.contains(name), "{}: there is no setting '{}'", (checkpoint / "state.json").string(),
               name);
  return settings[name].get<std::string>();
}

void check_settings(const fs::path& checkpoint, const Settings& settings) {
  const nlohmann::json then = read_checkpoint_state(checkpoint)["settings"];
  // A setting that is younger than the checkpoint: what it did then is what the default does now.
  const Settings defaults = identity(TrainConfig{});
  const auto default_of = [&](const std::string& name) {
    const auto found =
        std::find_if(defaults.begin(), defaults.end(), [&](const auto& s) { return s.first == name; });
    return found == defaults.end() ? std::string() : found->second;
  };
  std::string differences;
  for (const auto& [name, value] : settings) {
    const std::string before = then.contains(name) ? then.value(name, std::string()) : default_of(name);
    if (before != value) differences += fmt::format("\n  --{}: was '{}', is '{}'", name, before, value);
  }
  CUCLIP_CHECK(
      differences.empty(),
      "{} was made with other settings:{}\nUse the same ones to resume, or start a new run with --pretrained",
      checkpoint.string(), differences);
}

void load_checkpoint(const fs::path& checkpoint, const TrainState& state, ClipModel& model,
                     Optimizer& optimizer) {
  try {
    for (const char* name : {"model.safetensors", "optimizer.safetensors"})
      check_saved_file(checkpoint, name);
    load_weights(model, checkpoint / "model.safetensors");
    load_optimizer(checkpoint / "optimizer.safetensors", model, optimizer);
  } catch (const InputError& error) {
    fail_input("{}\nAn earlier checkpoint can be resumed with --resume FOLDER", error.what());
  }
  optimizer.set_steps(state.optimizer_steps);
}

}  // namespace cuclip
