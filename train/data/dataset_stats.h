// What is in a data set: counts, caption lengths, repetitions, damage.
#pragma once

#include <cstdint>
#include <string>

#include "train/data/dataset.h"
#include "train/data/prepare.h"

namespace cuclip {

struct DatasetStatistics {
  std::string description;
  int64_t samples = 0;
  CaptionStatistics captions;
  int64_t max_words = 0;           // of a first caption
  int64_t repeated_captions = 0;   // pictures whose first caption an earlier picture has too
  int64_t duplicate_pictures = 0;  // pictures that look the same as an earlier one; 0 without decoding
  int64_t min_width = 0, max_width = 0, min_height = 0, max_height = 0;  // of decoded pictures
  BadSamples bad;
  std::vector<std::string> notes;  // Dataset::notes()
};

/// Reads all of it; decode = false leaves the pictures alone and looks only at the captions. threads = 0: one
/// for each CPU.
DatasetStatistics dataset_statistics(const Dataset& dataset, bool decode, int64_t max_pixels, int threads);

std::string to_text(const DatasetStatistics& statistics);
std::string to_json(const DatasetStatistics& statistics);

}  // namespace cuclip
