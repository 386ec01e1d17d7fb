// What keeps the work of a long indexing: the unfinished index on disk.
#pragma once

#include <filesystem>
#include <mutex>
#include <optional>
#include <string>

#include "core/file_io.h"
#include "models/inference/folder_indexer.h"

namespace cuclip {

/// Of the file that is there; empty if there is none.
std::optional<FileStamp> stamp_at(const std::filesystem::path& path);

/// Writes the index while it is being made, now and then and when a signal ends the process; `cuclip index`
/// continues from that. It never replaces an index that another process has written meanwhile. One at a time.
class IndexSaver {
 public:
  /// `before`: stamp_at(out) before anything was read from there.
  IndexSaver(const FolderIndexer& indexer, std::filesystem::path out, std::optional<FileStamp> before);
  ~IndexSaver();
  IndexSaver(const IndexSaver&) = delete;
  IndexSaver& operator=(const IndexSaver&) = delete;

  /// After each batch: saves when 30 seconds have passed since the last time, or twenty times what a save
  /// takes. Throws Error where it cannot write.
  void save_if_due();
  /// Writes the finished index, which no signal replaces by an unfinished one.
  void finish(const FeatureIndex& index);

 private:
  void write(const FeatureIndex& index);
  void save();
  std::string save_at_signal();

  const FolderIndexer& indexer_;
  const std::filesystem::path out_;
  std::optional<FileStamp> stamp_;  // of `out` as it was found or written; empty: not there
  std::mutex mutex_;
  bool finished_ = false;
  int64_t saved_ = 0;  // pictures that were done
  double last_save_, interval_;
};

}  // namespace cuclip
