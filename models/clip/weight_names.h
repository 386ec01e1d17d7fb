// Parameter names used by other implementations.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/parameter.h"

namespace cuclip {

enum class WeightNames {
  open_clip,     // open_clip and OpenAI; cuclip's own
  hugging_face,  // transformers' CLIPModel
};

/// In which order a file has the values of a parameter.
enum class StoredOrder {
  same,
  transposed,      // [n, m] for [m, n]: projections, which are linear layers in transformers
  channels_first,  // [out, in, k, k] for [out, k, k, in]: PyTorch's convolutions
};

/// One parameter as a file has it: the tensors `names`, stacked along the first dimension. Queries, keys and
/// values are apart in transformers, keys and values of the attention pooling everywhere.
struct StoredWeight {
  std::vector<std::string> names;
  StoredOrder order = StoredOrder::same;
};

/// How the parameter is stored under this convention.
StoredWeight stored_weight(const Parameter& parameter, WeightNames names);

/// True for tensors that files carry beside the parameters and that nothing reads: OpenAI's input_resolution,
/// context_length and vocab_size, open_clip's attn_mask, transformers' position_ids. `name` is without
/// wrappers.
bool is_ignored_weight(std::string_view name);

/// The name without what training wrappers put in front of it: "module.", "state_dict." and "model.", any
/// number of times, and the "text." of open_clip's models that have a separate text tower.
std::string_view without_wrappers(std::string_view name);

}  // namespace cuclip
