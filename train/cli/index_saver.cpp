#include "train/cli/index_saver.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "core/clock.h"
#include "core/counted.h"
#include "train/cli/interruption.h"

namespace cuclip {
namespace {

constexpr double kSeconds = 30;            // between two saves: what a kill costs at most
constexpr double kLeastTimesOfASave = 20;  // an index of gigabytes is not written all the time

}  // namespace

IndexSaver::IndexSaver(const FolderIndexer& indexer, std::filesystem::path out)
    : indexer_(indexer), out_(std::move(out)), last_save_(seconds_now()), interval_(kSeconds) {
  save_when_interrupted([this] { return save_at_signal(); });
}

IndexSaver::~IndexSaver() { save_when_interrupted({}); }

void IndexSaver::save() {
  const double start = seconds_now();
  const FeatureIndex index = indexer_.snapshot();
  if (index.names.empty()) return;  // all that was read was passed over
  save_index(index, out_);
  saved_ = indexer_.done();
  last_save_ = seconds_now();
  interval_ = std::max(kSeconds, kLeastTimesOfASave * (last_save_ - start));
}

void IndexSaver::save_if_due() {
  const std::lock_guard lock(mutex_);
  if (seconds_now() - last_save_ >= interval_) save();
}

void IndexSaver::finish(const FeatureIndex& index) {
  const std::lock_guard lock(mutex_);
  save_index(index, out_);
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
