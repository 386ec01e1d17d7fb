// A model's weights in one file or several, as transformers' save_pretrained(max_shard_size=...) writes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_io.h"
#include "models/clip/weights.h"

namespace cuclip {

inline constexpr const char* kWeightsFile = "model.safetensors";
inline constexpr const char* kWeightsIndex = "model.safetensors.index.json";

/// Files that have been written beside their places and wait to be put there.
struct PendingWeights {
  /// In the order in which they must be: with the last one the weights are whole.
  std::vector<PendingFile> files;
  /// Their names: the last one is kWeightsFile, or kWeightsIndex if there are shards before it.
  std::vector<std::string> names;
  /// How many tensors are larger than the limit, and have a shard each.
  int64_t oversized = 0;
};

/// Writes all parameters in f32 for `folder`: as kWeightsFile where they take at most max_bytes (headers not
/// counted), otherwise in shards, model-00001-of-0000N.safetensors, and kWeightsIndex, which says where each
/// tensor is. A shard has as many tensors as come next and fit; a tensor that is larger has one of its own.
/// max_bytes > 0. Throws Error if a file cannot be written.
PendingWeights pending_weights(const ClipModel& model, const std::filesystem::path& folder, WeightNames names,
                               int64_t max_bytes);

/// True for the names that pending_weights gives.
bool is_weights_name(std::string_view name);

}  // namespace cuclip
