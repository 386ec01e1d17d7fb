// A training run's folder: its lock, its metrics, and the place of its checkpoints.
//
//   config.toml  metrics.jsonl  eval.jsonl  checkpoints/step-N/  latest  lock
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/file_lock.h"

namespace cuclip {

class RunFolder {
 public:
  /// Creates the folder if need be, proves that it can be written to, and locks it against a second run until
  /// this object is destroyed, which removes the folder if this object created it and nothing was written
  /// into it: a run that was refused leaves no folder. Removes what a killed run left unfinished. Throws
  /// InputError if another process holds the lock, Error if nothing can be written there.
  explicit RunFolder(const std::filesystem::path& path);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  bool has_checkpoints() const;

  /// Throws Error unless the file system has room for this many bytes: better before training than after it.
  void require_space(int64_t bytes) const;

  /// Appends one line to metrics.jsonl or eval.jsonl, whole or not at all. Throws Error naming the file.
  void append(const char* file, const nlohmann::ordered_json& line) const;

  /// Drops the lines of metrics.jsonl and eval.jsonl whose step is beyond `step`: what an interrupted run had
  /// logged after its last checkpoint is computed again.
  void rewind(int64_t step) const;

 private:
  void remove_leftovers() const;
  void remove_if_unused() const;

  std::filesystem::path path_;
  bool created_ = false;
  std::optional<FileLock> lock_;  // of the file named so
};

/// The number, or null if it is not finite: JSON has no NaN.
nlohmann::ordered_json finite_or_null(double value);

}  // namespace cuclip
