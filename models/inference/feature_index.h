// An index of pictures: their features and where they came from, in one file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "models/clip/clip.h"

namespace cuclip {

struct FeatureIndex {
  std::string source;              // the folder or data set that was indexed, absolute where it is a path
  std::vector<std::string> names;  // of each row: a path below the folder, or a sample's key
  std::vector<int64_t> rows;       // of each row: its place in the data set; unused for a folder
  bool is_folder = true;
  std::string model;  // where the model was found
  std::string model_fingerprint;
  Tensor features;  // f32 [names.size(), E], rows of unit length

  /// The file of a row, for a folder.
  std::filesystem::path path(int64_t row) const;
};

/// A hash of all weights and of the configuration: the same for two models that encode alike.
std::string model_fingerprint(const Clip& model);

/// Writes a safetensors file: "features" in f32 or bf16, "names" and "rows", the rest as metadata (a source
/// or model that is not valid UTF-8 percent-encoded, as "source_bytes", "model_bytes"). Atomic.
void save_index(const FeatureIndex& index, const std::filesystem::path& path, DType dtype = DType::f32);

/// Whether an index may be written there: there is nothing, an empty file, or an index.
bool may_become_index(const std::filesystem::path& path);

/// Throws InputError for a file that is not an index, a damaged one, or one that a newer cuclip made.
FeatureIndex load_index(Context& context, const std::filesystem::path& path);

struct Hit {
  int64_t row;
  float similarity;
};

/// The `count` rows most similar to `query` (f32 [1, E]), the best first; all if there are fewer.
std::vector<Hit> search_index(Context& context, const FeatureIndex& index, const Tensor& query,
                              int64_t count);

}  // namespace cuclip
