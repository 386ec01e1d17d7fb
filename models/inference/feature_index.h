// An index of pictures: their features and where they came from, in one file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "core/file_io.h"
#include "models/clip/clip.h"

namespace cuclip {

/// The file of a row as it was when it was encoded.
struct IndexedFile {
  FileStamp stamp;
  uint64_t xxh3 = 0;  // XXH3-64 of the contents

  bool operator==(const IndexedFile&) const = default;
};

/// For IndexedFile::stamp.mtime_ns: the time says nothing about this file, its contents decide.
inline constexpr int64_t kNoTime = std::numeric_limits<int64_t>::min();

struct FeatureIndex {
  std::string source;              // the folder or data set that was indexed, absolute where it is a path
  std::vector<std::string> names;  // of each row: a path below the folder, or a sample's key
  std::vector<int64_t> rows;       // of each row: its place in the data set; unused for a folder
  bool is_folder = true;
  std::string model;                    // where the model was found
  std::string model_fingerprint;        // ClipModel::fingerprint()
  Tensor features;                      // f32 [names.size(), E], rows of unit length
  DType stored = DType::f32;            // of the features in the index file: f32 or bf16
  std::string precision = {};           // that the model ran in, a word of Precision; empty: not known
  bool batch_invariant = false;         // ClipOptions: each row has the bits of its picture encoded alone
  std::vector<IndexedFile> files = {};  // of each row; empty: not known (data sets, indexes of format 1)
  Tensor rnorm = {};    // f32 [names.size()]: their inverse norms (keep_norms); empty: not kept
  int64_t missing = 0;  // pictures of the folder that an interrupted indexing did not come to; 0: finished

  /// The file of a row, for a folder.
  std::filesystem::path path(int64_t row) const;
  /// What hits call a row: its file, for a folder, otherwise its key.
  std::string name(int64_t row) const;
};

/// Throws InputError unless this model made the index, which messages call `name`: features of different
/// models cannot be compared. `description`: of the model (LoadedModel).
void require_model_of(const FeatureIndex& index, const std::string& name, const ClipModel& model,
                      const std::string& description);

/// Writes a safetensors file: "features" in f32 or bf16, "names", "rows" and, where they are known, "files":
/// u8 [N, 24], for each row the size, the mtime_ns and the xxh3 as little-endian integers of 64 bits. The
/// rest is metadata (a source or model that is not valid UTF-8 percent-encoded, as "source_bytes",
/// "model_bytes"). Atomic. Throws InputError for files of another number than the names.
void save_index(const FeatureIndex& index, const std::filesystem::path& path);

/// The same, written and waiting to be put there.
PendingFile pending_index(const FeatureIndex& index, const std::filesystem::path& path);

/// Whether an index may be written there: there is nothing, an empty file, or an index.
bool may_become_index(const std::filesystem::path& path);

/// Reads formats 1 and 2. Throws InputError for a file that is not an index, a damaged one, or one that a
/// newer cuclip made.
FeatureIndex load_index(Context& context, const std::filesystem::path& path);

struct Hit {
  int64_t row;
  float similarity;
};

/// For whoever searches more than once: brings the features to the context's device, and keeps their norms
/// beside them, so that a search reads the features once. The answers have the same bits.
void keep_norms(Context& context, FeatureIndex& index);

/// The `count` >= 0 rows most similar to `query` (f32 [1, E]), the best first; all if there are fewer.
std::vector<Hit> search_index(Context& context, const FeatureIndex& index, const Tensor& query,
                              int64_t count);

}  // namespace cuclip
