#include "train/loop/run_folder.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <vector>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "models/files/names.h"
#include "models/inference/checkpoint_folders.h"
#include "train/loop/checkpoint.h"

namespace cuclip {
namespace {
constexpr const char* kLogs[] = {"metrics.jsonl", "eval.jsonl"};
constexpr const char* kWritten[] = {"metrics.jsonl", "eval.jsonl", "config.toml", "latest"};
}  // namespace

RunFolder::RunFolder(const std::filesystem::path& path) : path_(path), created_(!path_exists(path)) {
  make_folder(path, "run folder");
  make_folder(checkpoints());
  lock_.emplace(path / "lock", "the run folder " + path.string());
  remove_leftovers();
  sync_folder(path);
  sync_folder(std::filesystem::absolute(path).parent_path());
}

// Only a run that holds the lock writes these, so whatever is unfinished belongs to a run that was killed.
void RunFolder::remove_leftovers() const {
  restore_replaced_checkpoints(path_);
  std::vector<std::filesystem::path> leftovers = unfinished_checkpoints(path_);
  std::error_code error;  // a file that cannot be removed is not a reason to stop
  for (const auto& entry : std::filesystem::directory_iterator(path_, error)) {
    const auto left = [&](const char* name) { return is_temporary_of(entry.path(), name); };
    if (std::any_of(std::begin(kWritten), std::end(kWritten), left)) leftovers.push_back(entry.path());
  }
  for (const std::filesystem::path& leftover : leftovers) {
    const std::string name = escaped_text(leftover.string());
    std::filesystem::remove_all(leftover, error);
    if (error) {
      fmt::print(stderr, "cannot remove {}, which a killed run left unfinished: {}\n", name, error.message());
    } else {
      fmt::print(stderr, "removed {}, which a killed run left unfinished\n", name);
    }
  }
}

RunFolder::~RunFolder() {
  if (created_) remove_if_unused();
}

// Whatever fails here leaves an empty folder, which harms nobody.
void RunFolder::remove_if_unused() const {
  std::error_code error;
  const bool no_checkpoints = std::filesystem::is_empty(checkpoints(), error);
  const std::filesystem::directory_iterator entries(path_, error);
  if (error || !no_checkpoints || std::distance(entries, {}) > 2) return;  // more than checkpoints/ and lock
  std::filesystem::remove(checkpoints(), error);
  std::filesystem::remove(path_ / "lock", error);
  std::filesystem::remove(path_, error);
}

bool RunFolder::has_checkpoints() const {
  std::error_code error;
  const bool empty = std::filesystem::is_empty(checkpoints(), error);
  if (error) fail("cannot read {}: {}", checkpoints().string(), error.message());
  return path_exists(path_ / "latest") || !empty;
}

void RunFolder::require_space(int64_t bytes) const {
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(path_, error);
  if (error || static_cast<int64_t>(space.available) >= bytes) return;  // some file systems cannot tell
  const auto megabytes = [](auto n) { return static_cast<double>(n) / 1e6; };
  fail("{}: checkpoints take {:.1f} MB, only {:.1f} MB are free on that disk", path_.string(),
       megabytes(bytes), megabytes(space.available));
}

void RunFolder::append(const char* file, const nlohmann::ordered_json& line) const {
  append_to_file(path_ / file, line.dump() + "\n");
}

void RunFolder::rewind(int64_t step) const {
  for (const char* name : kLogs) {
    const std::filesystem::path path = path_ / name;
    if (!path_exists(path)) continue;
    const std::string text = read_file(path);
    std::istringstream lines(text);
    std::string kept;
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, false);  // a torn last line is dropped
      const bool ours = json.is_object() && json.contains("step") && json["step"].is_number_integer();
      if (ours && json["step"].get<int64_t>() <= step) kept += line + "\n";
    }
    if (kept != text) write_file_atomic(path, kept);
  }
}

nlohmann::ordered_json finite_or_null(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

}  // namespace cuclip
