// Makes a training set out of pictures with captions from the wild: reads, shrinks, cleans, balances, splits,
// and writes WebDataset shards.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "train/data/dataset.h"

namespace cuclip {

struct PrepareOptions {
  std::vector<std::string> from;  // as list_pairs takes them
  std::filesystem::path out;
  int image_size = 80;              // the shorter edge is shrunk to this
  int64_t max_pixels = 25'000'000;  // of one picture; larger ones are left out by their header
  int64_t held_out = 500;           // pairs with distinct captions that are kept out of training
  int64_t max_per_caption = 5;      // pictures with the same caption (MetaCLIP balances for the same reason)
  int64_t max_per_series = 20;      // pictures whose captions differ only in numbers
  int64_t samples_per_shard = 1000;
  int threads = 0;  // 0: as many as there are CPUs
  DatasetOptions dataset;
};

/// Counts of the captions.
struct CaptionStatistics {
  int64_t pictures = 0;
  int64_t captions = 0;           // all together
  int64_t distinct_captions = 0;  // among the first of each picture
  double mean_words = 0;          // of the first of each picture
  std::vector<std::pair<std::string, int64_t>> most_frequent;
};

struct PrepareReport {
  CaptionStatistics before, train, held_out;  // `before`: as found, each picture's original caption
  BadSamples left_out;
  std::vector<std::string> notes;  // of the sources: Dataset::notes()
  std::vector<std::string> train_shards, held_out_shards;
  std::map<std::string, int64_t> shard_bytes;  // sizes, by name
  double seconds = 0;
};

/// Writes options.out/train-NNN.tar, held-out-NNN.tar and statistics.json, in these steps:
///   1. Pictures are decoded (on white), drawings are cut out of their ground and set into a square, and all
///      are shrunk.
///   2. Pictures that are the same become one, with the captions of all (for drawings, whose captions are
///      made of titles and keywords, only the longest).
///   3. Drawings are left out if no word of the caption occurs in any other; icons, if no word of their name
///      occurs in the caption of a picture that is none.
///   4. Captions that are too frequent are thinned out.
///   5. The held-out pairs are those with the smallest hashes of their captions among the pictures that
///      nothing in training resembles: no picture, recoloured picture or caption is on both sides.
/// The same sources and options give the same bytes. An earlier set there is replaced once all pictures have
/// been read; those of its shards that its statistics.json lists are removed, and no others. Throws
/// InputError for wrong options, unusable sources, and sources that would be written over.
PrepareReport prepare_dataset(const PrepareOptions& options);

/// The report as a table for people.
std::string to_text(const PrepareReport& report);
/// The report and the options as JSON, the contents of statistics.json.
std::string to_json(const PrepareReport& report, const PrepareOptions& options);

/// Statistics of (first caption, number of captions) of some pictures.
class CaptionCounter {
 public:
  void add(const std::string& first_caption, int64_t captions);
  CaptionStatistics statistics() const;

 private:
  int64_t pictures_ = 0, captions_ = 0, words_ = 0;
  std::map<std::string, int64_t> counts_;
};

}  // namespace cuclip
