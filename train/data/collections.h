// Lists of pictures with captions, as the preparation of a data set takes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "train/data/dataset.h"

namespace cuclip {

/// A picture that may become a sample.
struct RawPair {
  std::string key;
  std::string original;               // the caption as it was found, for the statistics
  std::vector<std::string> captions;  // normalised; the first is the one to evaluate with
  bool drawing = false;               // on white or transparent ground: the ground around it may be cut off

  // Where the picture is: a file, or a sample of a data set.
  std::filesystem::path file;
  std::shared_ptr<const Dataset> dataset;
  int64_t index = 0;
};

struct RawPairs {
  std::vector<RawPair> pairs;
  BadSamples bad;                  // pictures without a caption, captions without a picture
  std::vector<std::string> notes;  // Dataset::notes()
};

/// The pictures of `from`: "openclipart" or "tuxpaint" (Debian's packages openclipart-svg and
/// openclipart-png, and tuxpaint-stamps-default; "openclipart:FOLDER" and "tuxpaint:FOLDER" elsewhere), or a
/// data set as open_dataset takes it. If a collection is not there, throws InputError naming the package to
/// install.
RawPairs list_pairs(const std::string& from, const DatasetOptions& options, int threads);

/// The Open Clip Art Library: folder/svg has the metadata, folder/png the pictures of the same names.
RawPairs list_openclipart(const std::filesystem::path& folder, int threads);

/// Tux Paint's stamps: pictures (PNG) with a .txt whose first line is the English caption.
RawPairs list_tuxpaint(const std::filesystem::path& folder);

}  // namespace cuclip
