#include "train/cli/index_saver.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "core/clock.h"
#include "core/counted.h"
#include "core/file_lock.h"
#include "train/cli/interruption.h"

namespace cuclip {
namespace {

constexpr double kSeconds = 30;            // between two saves: what a kill costs at most
constexpr double kLeastTimesOfASave = 20;  // an index of gigabytes is not written all the time

}  // namespace

std::optional<FileStamp> stamp_at(const std::filesystem::path& path) {
  struct ::stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return stamp_of(info);
}

IndexSaver::IndexSaver(const FolderIndexer& indexer, std::filesystem::path out,
                       std::optional<FileStamp> before)
    : indexer_(indexer),
      out_(std::move(out)),
      stamp_(before),
      last_save_(seconds_now()),
      interval_(kSeconds) {
  save_when_interrupted([this] { return save_at_signal(); });
}

IndexSaver::~IndexSaver() { save_when_interrupted({}); }

void IndexSaver::write(const FeatureIndex& index) {
  PendingFile pending = pending_index(index, out_);
  // From here on another process that indexes into this folder waits.
  const std::filesystem::path folder = out_.has_parent_path() ? out_.parent_path() : ".";
  const FileLock turn(folder, "the folder " + folder.string(), IfLocked::wait);
  CUCLIP_CHECK(
      stamp_at(out_) == stamp_,
      "{} was changed by another process while this one worked, and is left as it is; what was encoded "
      "here is not saved. Is it being indexed twice at once?",
      out_.string());
  pending.commit();
  stamp_ = stamp_at(out_);
}

void IndexSaver::save() {
  const double start = seconds_now();
  const FeatureIndex index = indexer_.snapshot();
  if (index.names.empty()) return;  // all that was read was passed over
  write(index);
  saved_ = indexer_.to_do() - index.missing;
  last_save_ = seconds_now();
  interval_ = std::max(kSeconds, kLeastTimesOfASave * (last_save_ - start));
}

void IndexSaver::save_if_due() {
  const std::lock_guard lock(mutex_);
  if (seconds_now() - last_save_ >= interval_) save();
}

void IndexSaver::finish(const FeatureIndex& index) {
  const std::lock_guard lock(mutex_);
  write(index);
  finished_ = true;
}

std::string IndexSaver::save_at_signal() {
  const std::lock_guard lock(mutex_);
  if (!finished_ && indexer_.done() > saved_) save();
  if (finished_ || saved_ == 0) return "interrupted";
  return fmt::format("interrupted: {} is saved, {} of {} done; the same command continues", out_.string(),
                     saved_, counted(indexer_.to_do(), "picture"));
}

}  // namespace cuclip
