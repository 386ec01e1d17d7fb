// A folder with all that a model needs to be used, by cuclip and by those whose names its weights have.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "models/clip/weight_names.h"
#include "models/inference/model_source.h"

namespace cuclip {

struct ConvertedFolder {
  std::filesystem::path weights = {};  // the file, or the index of several
  int64_t files = 1;                   // of weights, without the index
  int64_t oversized = 0;          // tensors with a file of their own because they are larger than max_bytes
  std::string no_tokenizer = {};  // why the folder has none, if it has none
};

/// Writes into `folder`, which is there:
///   - open_clip_config.json, marked as written by convert; model.safetensors, or shards of at most
///     max_bytes and their index (weight_shards.h)
///   - for transformers' names config.json and preprocessor_config.json
///   - the tokeniser as transformers has it (hf_tokenizer.h), which open_clip then reads too; except that
///     for open_clip's names CLIP's own vocabulary is tokenizer.txt.gz, since open_clip has a tokeniser for
///     it. None if the model has none, or one that does not make its vocabulary (an untrained model's).
/// A folder that convert filled before is filled again, and its files that no longer belong there are
/// removed, not what they lead to. Everything is written beside its place first. Only then are the old
/// weights removed, and the new files put in place, those last with which the weights are whole: at every
/// moment they are the old ones with their files, or the new ones with theirs, or cannot be loaded. Throws
/// InputError for files that convert did not write and that would be replaced, or read by others instead of
/// its own, for links to another model's files, and for inputs; Error if something cannot be written.
ConvertedFolder write_converted_folder(const std::filesystem::path& folder, const LoadedModel& loaded,
                                       WeightNames names, int64_t max_bytes,
                                       const std::vector<std::string>& inputs);

}  // namespace cuclip
