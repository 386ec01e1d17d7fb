// Lists of pictures with captions, as the preparation of a data set takes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
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
  std::string icon_name;              // of icons, which have the words of programs: without the colour
  bool drawing = false;               // on white or transparent ground: the ground around it may be cut off

  // Where the picture is: drawn when asked for (from several threads), a file, or a sample of a data set.
  std::function<Image()> draw;
  std::filesystem::path file;
  std::shared_ptr<const Dataset> dataset;
  int64_t index = 0;
};

struct RawPairs {
  std::vector<RawPair> pairs;
  BadSamples bad;                  // pictures without a caption, captions without a picture
  std::vector<std::string> notes;  // Dataset::notes()
};

/// The pictures of `from`: a collection's name ("openclipart", where Debian's packages have it;
/// "openclipart:FOLDER" elsewhere), all collections that are there ("collections", or "collections:FOLDER"
/// where the packages were unpacked below FOLDER, as scripts/fetch_pictures.sh does; a note says which are
/// missing), or a data set as open_dataset takes it. If a collection that is named, or all of them, are not
/// there, throws InputError naming the packages.
RawPairs list_pairs(const std::string& from, const DatasetOptions& options, int threads);

/// Whether `from` is a collection or all of them, in the words of list_pairs.
bool names_collection(const std::string& from);
/// The collections' names, in the order in which they are read.
std::vector<std::string> collection_names();

/// The Open Clip Art Library: folder/svg has the metadata, folder/png the pictures of the same names.
RawPairs list_openclipart(const std::filesystem::path& folder, int threads);

/// Tux Paint's stamps: pictures (PNG) with a .txt whose first line is the English caption.
RawPairs list_tuxpaint(const std::filesystem::path& folder);

}  // namespace cuclip
