// The index of a folder of pictures, made anew or brought up to date.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/precision.h"
#include "models/files/picture_files.h"
#include "models/inference/encode.h"
#include "models/inference/feature_index.h"

namespace cuclip {

/// All that the index of a folder has besides rows, for the model that was found at `model_spec` and runs in
/// `precision`. Paths become absolute, so that the index can be used from anywhere.
FeatureIndex index_to_make(const std::filesystem::path& folder, const ClipModel& model,
                           const std::string& model_spec, Precision precision);

/// Why the features of `earlier` cannot be those of an index that is to be like `wanted` (its model,
/// precision, stored type and kind) with `width` elements for each picture, as the end of a sentence that
/// begins with the index's name; empty if they can.
std::string why_not_reusable(const FeatureIndex& earlier, const FeatureIndex& wanted, int64_t width);

/// Encodes the pictures of a folder that an earlier index does not have, and takes the others from there. A
/// file is the same as before if name, size and time are, and no file of other contents had the same size and
/// time; otherwise its contents decide, by their hash. So a picture that was moved is not encoded again, and
/// one that is gone leaves the index.
class FolderIndexer {
 public:
  /// What became of the pictures of the folder and of those of the earlier index.
  struct Counts {
    int64_t encoded = 0;
    int64_t unchanged = 0;
    int64_t moved = 0;    // or copied: the earlier index has their contents under another name
    int64_t removed = 0;  // of the earlier index, neither under their name nor moved; known when all is done
  };

  /// `about` has all that an index has besides rows. `files` are those of `folder`. `earlier` is reusable
  /// (why_not_reusable), with features in the host's memory. The model must outlive this.
  FolderIndexer(const ClipModel& model, FeatureIndex about, std::filesystem::path folder,
                std::vector<PictureFile> files, std::optional<FeatureIndex> earlier);

  /// Pictures that the stamps do not tell to be unchanged; run() reads them.
  int64_t to_do() const { return std::ssize(to_do_); }

  /// Reads the pictures that are to do, encodes those that are new, and calls `progress` with the number
  /// done. What cannot be read, or changes meanwhile, is passed over. Throws InputError when no picture of
  /// the folder is left, and when the folder itself goes away: snapshot() then still has the earlier rows.
  void run(const EncodeProgress& progress);

  /// The index as far as it has come: while pictures are missing it has those of the earlier index too, as
  /// far as they may still be needed, and says how many are missing. May be called on any thread at any time.
  FeatureIndex snapshot() const;
  int64_t done() const;

  /// All three once run() has returned.
  const Counts& counts() const { return counts_; }
  const std::vector<UnreadablePicture>& passed_over() const { return passed_over_; }
  const std::vector<std::string>& damaged() const { return damaged_; }  // of those that were encoded

 private:
  enum class State { to_do, indexed, passed_over };
  // One for each file.
  struct Row {
    State state = State::to_do;
    IndexedFile file;
    const float* features = nullptr;  // in earlier_ or encoded_, if it is indexed
  };
  struct Loaded;
  struct Batch;

  const float* earlier_features(int64_t row) const;
  bool is_unchanged(int64_t file) const;
  int64_t find_contents(int64_t file, const IndexedFile& contents) const;
  Loaded load(int64_t file) const;
  void take(int64_t file, Loaded loaded, Batch& batch);
  void reuse(int64_t file, const IndexedFile& contents, int64_t earlier_row);
  void encode(Batch& batch);
  void count_removed();

  const ClipModel& model_;
  const FeatureIndex about_;
  const std::filesystem::path folder_;
  const std::vector<PictureFile> files_;
  const std::optional<FeatureIndex> earlier_;
  const bool same_source_;                                  // of the earlier index
  const std::pair<dev_t, ino_t> identity_;                  // the folder's device and inode
  std::set<std::pair<int64_t, int64_t>> ambiguous_;         // stamps of several contents of earlier_
  std::unordered_map<std::string, int64_t> place_of_name_;  // in files_
  std::unordered_map<std::string, int64_t> row_of_name_;    // in earlier_
  std::unordered_map<uint64_t, int64_t> row_of_hash_;       // in earlier_, the first
  std::vector<int64_t> to_do_;                              // in files_, ascending

  mutable std::mutex mutex_;  // of what follows: run() changes it, snapshot() reads it
  std::vector<Row> rows_;
  std::vector<bool> used_;  // of each earlier row: a file of the folder has its contents
  std::deque<std::vector<float>> encoded_;
  int64_t done_ = 0;

  Counts counts_;
  std::vector<UnreadablePicture> passed_over_;
  std::vector<std::string> damaged_;
};

}  // namespace cuclip
