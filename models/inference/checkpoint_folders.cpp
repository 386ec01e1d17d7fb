#include "models/inference/checkpoint_folders.h"

#include <algorithm>
#include <charconv>

#include "core/file_io.h"
#include "models/clip/clip_config.h"
#include "models/files/safetensors.h"
#include "models/text/tokenizer.h"

namespace cuclip {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr std::string_view kStep = "step-";

// Why a checkpoint cannot be used, or nothing.
std::string problem_of(const fs::path& checkpoint) {
  try {
    read_checkpoint_state(checkpoint);
    Safetensors::open(checkpoint / "model.safetensors");
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

ordered_json read_checkpoint_state(const fs::path& checkpoint) {
  const fs::path file = checkpoint / "state.json";
  const ordered_json json = ordered_json::parse(read_file(file), nullptr, false);
  CUCLIP_CHECK(json.is_object() && json.contains("step") && json.contains("settings"),
               "{}: expected the state of a run as JSON (is it truncated?)", file.string());
  return json;
}

bool is_checkpoint_folder(const fs::path& folder) {
  return path_exists(folder / "state.json") && path_exists(folder / "optimizer.safetensors");
}

std::optional<fs::path> latest_checkpoint(const fs::path& run, std::vector<std::string>& notes) {
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
  for (const fs::path& candidate : candidates) {
    const std::string problem = problem_of(candidate);
    if (problem.empty()) return candidate;
    notes.push_back(fmt::format("{} is damaged, using the one before it: {}", candidate.string(), problem));
  }
  CUCLIP_CHECK(candidates.empty(), "none of the checkpoints of {} can be read; the newest: {}", run.string(),
               notes.empty() ? "" : notes.front());
  return std::nullopt;
}

}  // namespace cuclip
