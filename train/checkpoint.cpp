#include "train/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/file_io.h"
#include "models/safetensors.h"
#include "models/weights.h"

namespace cuclip {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

// A parameter's part of an arena that is laid out like the parameters'.
Tensor part_of(const Tensor& arena, const Parameter& parameter) {
  return arena.rows(parameter.offset, parameter.shape.elements()).reshaped(parameter.shape);
}

void save_optimizer(const fs::path& file, const Clip& model, const Optimizer& optimizer) {
  const Tensor exp_avg = optimizer.exp_avg().to(model.context().host());
  const Tensor exp_avg_sq = optimizer.exp_avg_sq().to(model.context().host());
  std::vector<std::pair<std::string, TensorView>> tensors;
  for (const Parameter& parameter : model.parameters().parameters()) {
    tensors.emplace_back("exp_avg." + parameter.name, part_of(exp_avg, parameter));
    tensors.emplace_back("exp_avg_sq." + parameter.name, part_of(exp_avg_sq, parameter));
  }
  write_safetensors(file, tensors);
}

void load_optimizer(const fs::path& path, Clip& model, Optimizer& optimizer) {
  const Safetensors file = Safetensors::open(path);
  for (const Parameter& parameter : model.parameters().parameters()) {
    for (const char* moment : {"exp_avg", "exp_avg_sq"}) {
      const std::string name = fmt::format("{}.{}", moment, parameter.name);
      const SafetensorsEntry* entry = file.find(name);
      CUCLIP_CHECK(entry, "{}: {} is missing", path.string(), name);
      const Tensor to = part_of(moment[7] == '\0' ? optimizer.exp_avg() : optimizer.exp_avg_sq(), parameter);
      std::vector<float> values(static_cast<size_t>(to.elements()));
      copy_to_f32(*entry, name, values);
      to.assign(values);
    }
  }
}

ordered_json state_json(const TrainState& state, const Settings& settings) {
  ordered_json json{{"step", state.step},
                    {"optimizer_steps", state.optimizer_steps},
                    {"samples_seen", state.samples_seen},
                    {"skipped_steps", state.skipped_steps},
                    {"epoch", state.epoch},
                    {"batch_in_epoch", state.batch_in_epoch},
                    {"train_seconds", state.train_seconds},
                    {"wait_seconds", state.wait_seconds},
                    {"model_flops", state.model_flops}};
  for (const auto& [name, value] : settings) json["settings"][name] = value;
  return json;
}

ordered_json read_state(const fs::path& file) {
  const ordered_json json = ordered_json::parse(read_file(file), nullptr, false);
  CUCLIP_CHECK(json.is_object() && json.contains("step") && json.contains("settings"),
               "{}: expected the state of a run as JSON (is it truncated?)", file.string());
  return json;
}

// Why a checkpoint cannot be used, or nothing.
std::string problem_of(const fs::path& checkpoint) {
  try {
    read_state(checkpoint / "state.json");
    Safetensors::open(checkpoint / "model.safetensors");
    Safetensors::open(checkpoint / "optimizer.safetensors");
    load_clip_config((checkpoint / "open_clip_config.json").string());
    Tokenizer::load(checkpoint / "tokenizer.txt.gz");
    return "";
  } catch (const std::exception& e) {
    return e.what();
  }
}

// step-N folders, newest first.
std::vector<fs::path> checkpoints_of(const fs::path& run) {
  std::vector<std::pair<int64_t, fs::path>> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints", none)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("step-") || name.find_first_not_of("0123456789", 5) != std::string::npos) continue;
    found.emplace_back(std::strtoll(name.c_str() + 5, nullptr, 10), entry.path());
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<fs::path> paths;
  for (const auto& [step, path] : found) paths.push_back(path);
  return paths;
}

void check_settings(const ordered_json& then, const Settings& now, const fs::path& checkpoint) {
  std::string differences;
  for (const auto& [name, value] : now) {
    const std::string before = then.value(name, std::string());
    if (before != value) differences += fmt::format("\n  --{}: was '{}', is '{}'", name, before, value);
  }
  CUCLIP_CHECK(
      differences.empty(),
      "{} was made with other settings:{}\nUse the same ones to resume, or start a new run with --pretrained",
      checkpoint.string(), differences);
}

}  // namespace

fs::path save_checkpoint(const fs::path& run, const Clip& model, const Optimizer& optimizer,
                         const Tokenizer& tokenizer, const TrainState& state, const Settings& settings) {
  const fs::path folder = run / "checkpoints" / fmt::format("step-{}", state.step);
  const fs::path partial = folder.string() + ".partial";
  try {
    fs::remove_all(partial);
    fs::create_directories(partial);
    save_weights(model, partial / "model.safetensors");
    save_optimizer(partial / "optimizer.safetensors", model, optimizer);
    write_file_atomic(partial / "open_clip_config.json", clip_config_json(model.config()));
    tokenizer.save(partial / "tokenizer.txt.gz");
    write_file_atomic(partial / "state.json", state_json(state, settings).dump(2) + "\n");
    fs::remove_all(folder);
    fs::rename(partial, folder);
    write_file_atomic(run / "latest", folder.filename().string() + "\n");
  } catch (const fs::filesystem_error& e) {
    std::error_code ignored;
    fs::remove_all(partial, ignored);
    fail("cannot save the checkpoint {}: {}", folder.string(), e.code().message());
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(partial, ignored);
    throw;
  }
  return folder;
}

std::optional<fs::path> latest_checkpoint(const fs::path& run, std::vector<std::string>& notes) {
  std::vector<fs::path> candidates = checkpoints_of(run);
  if (path_exists(run / "latest")) {
    std::string name = read_file(run / "latest");
    name.erase(name.find_last_not_of(" \n\r\t") + 1);
    const fs::path named = run / "checkpoints" / name;
    // `latest` first, then what is older; newer ones were left behind on purpose or never finished.
    const auto at = std::find(candidates.begin(), candidates.end(), named);
    if (at != candidates.end()) {
      candidates.erase(candidates.begin(), at);
    } else {
      notes.push_back(fmt::format("{}: names {}, which does not exist", (run / "latest").string(), name));
    }
  }
  for (const fs::path& candidate : candidates) {
    const std::string problem = problem_of(candidate);
    if (problem.empty()) return candidate;
    notes.push_back(fmt::format("{} is damaged, using the one before it: {}", candidate.string(), problem));
  }
  CUCLIP_CHECK(candidates.empty(), "none of the checkpoints of {} can be read; the newest: {}", run.string(),
               notes.empty() ? "" : notes.front());
  return std::nullopt;
}

TrainState read_train_state(const fs::path& checkpoint) {
  const ordered_json json = read_state(checkpoint / "state.json");
  try {
    return {.step = json.at("step").get<int64_t>(),
            .optimizer_steps = json.at("optimizer_steps").get<int64_t>(),
            .samples_seen = json.at("samples_seen").get<int64_t>(),
            .skipped_steps = json.at("skipped_steps").get<int64_t>(),
            .epoch = json.at("epoch").get<int64_t>(),
            .batch_in_epoch = json.at("batch_in_epoch").get<int64_t>(),
            .train_seconds = json.at("train_seconds").get<double>(),
            .wait_seconds = json.at("wait_seconds").get<double>(),
            .model_flops = json.at("model_flops").get<double>()};
  } catch (const nlohmann::json::exception& e) {
    fail_input("{}: {}", (checkpoint / "state.json").string(), e.what());
  }
}

std::string read_setting(const fs::path& checkpoint, const std::string& name) {
  const ordered_json settings = read_state(checkpoint / "state.json")["settings"];
  CUCLIP_CHECK(settings.contains(name) && settings[name].is_string(), "{}: there is no setting '{}'",
               (checkpoint / "state.json").string(), name);
  return settings[name].get<std::string>();
}

TrainState load_checkpoint(const fs::path& checkpoint, Clip& model, Optimizer& optimizer,
                           const Settings& settings) {
  check_settings(read_state(checkpoint / "state.json")["settings"], settings, checkpoint);
  load_weights(model, checkpoint / "model.safetensors");
  load_optimizer(checkpoint / "optimizer.safetensors", model, optimizer);
  const TrainState state = read_train_state(checkpoint);
  optimizer.set_steps(state.optimizer_steps);
  return state;
}

}  // namespace cuclip
