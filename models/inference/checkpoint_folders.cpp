#include "models/inference/checkpoint_folders.h"

#include <algorithm>
#include <charconv>

#include "core/file_io.h"
#include "models/clip/clip_config.h"
#include "models/files/file_hash.h"
#include "models/files/names.h"
#include "models/files/safetensors.h"
#include "models/files/strict_json.h"
#include "models/text/tokenizer.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStep = "step-";

// Why a checkpoint cannot be used, or nothing.
std::string problem_of(const fs::path& checkpoint, const std::function<void(const fs::path&)>& also_read) {
  try {
    read_checkpoint_state(checkpoint);
    if (also_read) also_read(checkpoint);
    Safetensors::open(checkpoint / "model.safetensors");
    check_saved_file(checkpoint, "model.safetensors");
    Safetensors::open(checkpoint / "optimizer.safetensors");
    load_clip_config((checkpoint / "open_clip_config.json").string());
    Tokenizer::load(checkpoint / "tokenizer.txt.gz");
    return "";
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace

std::string checkpoint_name(int64_t step) { return fmt::format("{}{}", kStep, step); }

int64_t checkpoint_step(const fs::path& folder, std::string_view ending) {
  const std::string name = folder.filename().string();
  if (!name.starts_with(kStep) || !name.ends_with(ending)) return -1;
  const char* first = name.data() + kStep.size();
  const char* last = name.data() + name.size() - ending.size();
  int64_t step = -1;
  const auto [end, error] = std::from_chars(first, last, step);
  return error == std::errc() && end == last ? step : -1;
}

std::vector<fs::path> checkpoint_folders(const fs::path& run) {
  std::vector<std::pair<int64_t, fs::path>> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(run / kCheckpointFolder, none)) {
    if (const int64_t step = checkpoint_step(entry.path()); step >= 0) found.emplace_back(step, entry.path());
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<fs::path> paths;
  for (const auto& [step, path] : found) paths.push_back(path);
  return paths;
}

nlohmann::json read_checkpoint_state(const fs::path& checkpoint) {
  const std::string file = checkpoint / "state.json";
  nlohmann::json json = parse_strict_json(read_file(file), file);
  const int64_t step = checkpoint_step(checkpoint);
  const bool has_step = json.contains("step") && json["step"].is_number_integer();
  CUCLIP_CHECK(has_step && json["step"] >= 0 && (step < 0 || json["step"] == step),
               "{}: expected \"step\", {}, found {}", file,
               step < 0 ? "a whole number" : std::to_string(step),
               excerpt(json.value("step", nlohmann::json())));
  const nlohmann::json settings = json.value("settings", nlohmann::json());
  const bool text =
      settings.is_object() && std::all_of(settings.begin(), settings.end(),
                                          [](const nlohmann::json& value) { return value.is_string(); });
  CUCLIP_CHECK(text, "{}: expected \"settings\", an object of strings, found {}", file, excerpt(settings));
  return json;
}

void check_saved_file(const fs::path& checkpoint, const char* name) {
  const nlohmann::json hashes = read_checkpoint_state(checkpoint).value(kFileHashes, nlohmann::json());
  if (!hashes.is_object() || !hashes.contains(name)) return;
  const std::string found = file_hash(checkpoint / name);
  CUCLIP_CHECK(
      hashes[name] == found,
      "{}: its contents are not what was saved: state.json has their hash, {}, found {}. Whoever changed "
      "them on purpose can pass the file itself to --model or --pretrained",
      (checkpoint / name).string(), excerpt(hashes[name]), found);
}

bool is_checkpoint_folder(const fs::path& folder) {
  return path_exists(folder / "state.json") && path_exists(folder / "optimizer.safetensors");
}

std::optional<fs::path> latest_checkpoint(const fs::path& run, std::vector<std::string>& notes,
                                          const std::function<void(const fs::path&)>& also_read) {
  std::vector<fs::path> candidates = checkpoint_folders(run);
  if (path_exists(run / "latest")) {
    std::string name = read_file(run / "latest");
    name.erase(name.find_last_not_of(" \n\r\t") + 1);
    const fs::path named = run / kCheckpointFolder / name;
    // `latest` first, then what is older; newer ones were left behind on purpose or never finished.
    const auto at = std::find(candidates.begin(), candidates.end(), named);
    if (at != candidates.end()) {
      candidates.erase(candidates.begin(), at);
    } else {
      notes.push_back(fmt::format("{}: names {}, which does not exist", (run / "latest").string(), name));
    }
  }
  std::string newest_problem;
  for (const fs::path& candidate : candidates) {
    const std::string problem = problem_of(candidate, also_read);
    if (problem.empty()) return candidate;
    if (newest_problem.empty()) newest_problem = problem;
    notes.push_back(fmt::format("{} is damaged, using the one before it: {}", candidate.string(), problem));
  }
  CUCLIP_CHECK(candidates.empty(), "none of the checkpoints of {} can be read; the newest: {}", run.string(),
               newest_problem);
  return std::nullopt;
}

}  // namespace cuclip
