// Parameter names used by other implementations.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cuclip {

enum class WeightNames {
  open_clip,     // open_clip and OpenAI; cuclip's own
  hugging_face,  // transformers' CLIPModel
};

/// One parameter as a file has it: the tensors `names`, stacked along the first dimension (queries, keys and
/// values are apart in transformers), all of them transposed where `transposed` (its projections are linear
/// layers, [out, in]).
struct StoredWeight {
  std::vector<std::string> names;
  bool transposed = false;
};

/// Where the parameter that open_clip calls `name` is stored under the other convention.
StoredWeight stored_weight(std::string_view name, WeightNames names);

/// True for tensors that files carry beside the parameters and that nothing reads: OpenAI's input_resolution,
/// context_length and vocab_size, transformers' position_ids, and attention masks.
bool is_ignored_weight(std::string_view name);

/// The name without what training wrappers put in front of it: "module.", "state_dict." and "model.", any
/// number of times, and the "text." of open_clip's models that have a separate text tower.
std::string_view without_wrappers(std::string_view name);

}  // namespace cuclip
