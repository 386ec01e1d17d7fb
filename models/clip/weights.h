// A model's weights in safetensors files.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "models/clip/clip.h"
#include "models/clip/weight_names.h"

namespace cuclip {

class WeightFiles;  // models/files/weight_files.h

/// Fills every parameter from files with open_clip's, OpenAI's or transformers' names, in f32, bf16 or f16.
/// Position embeddings of another image resolution are resampled (position_resample.h); the result is a line
/// for people if they were. Throws InputError: for tensors that are missing, not expected or of another
/// shape, with one message that lists them, before the parameters have memory (ClipOptions::unset); for a
/// weight that is NaN or infinite, naming the tensor; for a file that changes meanwhile. The parameters are
/// then unspecified. Afterwards they have nothing to do with the files any more. `config`: where the model's
/// configuration comes from, for the first of these messages.
std::vector<std::string> load_weights(ClipModel& model, const WeightFiles& files,
                                      const std::string& config = "");

/// The same for a file or an index. Throws InputError for what WeightFiles refuses too, pickled files above
/// all.
std::vector<std::string> load_weights(ClipModel& model, const std::filesystem::path& path,
                                      const std::string& config = "");

/// One tensor of a file, in the host's memory.
struct StoredTensor {
  std::string name;
  Tensor value;
};

/// All parameters in f32 as files under these names have them, in the parameters' order.
std::vector<StoredTensor> stored_tensors(const ClipModel& model, WeightNames names);

/// Writes all parameters in f32, atomically. `metadata` goes into the file's header.
void save_weights(const ClipModel& model, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata = {},
                  WeightNames names = WeightNames::open_clip);

}  // namespace cuclip
