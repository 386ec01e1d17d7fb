#include "models/clip/weight_names.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

// Outside the transformer blocks; the two projections are transposed.
constexpr Pair kOuter[] = {
    {"logit_scale", "logit_scale"},
    {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"},
    {"visual.class_embedding", "vision_model.embeddings.class_embedding"},
    {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"},
    {"visual.ln_pre.weight", "vision_model.pre_layrnorm.weight"},  // the misspelling is theirs
    {"visual.ln_pre.bias", "vision_model.pre_layrnorm.bias"},
    {"visual.ln_post.weight", "vision_model.post_layernorm.weight"},
    {"visual.ln_post.bias", "vision_model.post_layernorm.bias"},
    {"visual.proj", "visual_projection.weight"},
    {"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"ln_final.weight", "text_model.final_layer_norm.weight"},
    {"ln_final.bias", "text_model.final_layer_norm.bias"},
    {"text_projection", "text_projection.weight"},
};

// Within a block, before ".weight" or ".bias".
constexpr Pair kInner[] = {
    {"ln_1", "layer_norm1"}, {"ln_2", "layer_norm2"},   {"attn.out_proj", "self_attn.out_proj"},
    {"mlp.c_fc", "mlp.fc1"}, {"mlp.c_proj", "mlp.fc2"},
};

constexpr std::string_view kKeysAndValues = "kv_proj";
constexpr std::string_view kBlocks = "transformer.resblocks.";

StoredWeight block_weight(std::string_view name) {
  const bool vision = name.starts_with("visual.");
  std::string_view rest = name.substr((vision ? std::string_view("visual.").size() : 0) + kBlocks.size());
  const size_t dot = rest.find('.');
  const std::string layer =
      fmt::format("{}_model.encoder.layers.{}.", vision ? "vision" : "text", rest.substr(0, dot));
  rest.remove_prefix(dot + 1);
  if (rest.starts_with("attn.in_proj_")) {
    const std::string_view kind = rest.substr(std::string_view("attn.in_proj_").size());
    StoredWeight stored;
    for (const char part : {'q', 'k', 'v'}) {
      stored.names.push_back(fmt::format("{}self_attn.{}_proj.{}", layer, part, kind));
    }
    return stored;
  }
  for (const auto& [ours, theirs] : kInner) {
    if (rest.starts_with(ours) && rest[ours.size()] == '.') {
      return {.names = {fmt::format("{}{}{}", layer, theirs, rest.substr(ours.size()))}};
    }
  }
  fail_input("there is no name in transformers for the parameter {}", name);
}

}  // namespace

StoredWeight stored_weight(const Parameter& parameter, WeightNames names) {
  const std::string& name = parameter.name;
  if (names == WeightNames::open_clip) {
    StoredWeight stored{.names = {name}};
    if (parameter.role == ParameterRole::filters) stored.order = StoredOrder::channels_first;
    if (const size_t place = name.find(kKeysAndValues); place != name.npos) {
      const std::string before = name.substr(0, place), after = name.substr(place + kKeysAndValues.size());
      stored.names = {before + "k_proj" + after, before + "v_proj" + after};
    }
    return stored;
  }
  for (const auto& [ours, theirs] : kOuter) {
    if (name == ours) {
      return {.names = {std::string(theirs)},
              .order = name == "visual.proj" || name == "text_projection" ? StoredOrder::transposed
                                                                          : StoredOrder::same};
    }
  }
  CUCLIP_CHECK(
      name.find(kBlocks) != name.npos,
      "the weights have transformers' names, which has none for the parameter {}: its CLIPModel has vision "
      "transformers only, and the configuration is of another model",
      name);
  return block_weight(name);
}

bool is_ignored_weight(std::string_view name) {
  constexpr std::string_view kIgnored[] = {"input_resolution",
                                           "context_length",
                                           "vocab_size",
                                           "attn_mask",
                                           "vision_model.embeddings.position_ids",
                                           "text_model.embeddings.position_ids"};
  return std::find(std::begin(kIgnored), std::end(kIgnored), name) != std::end(kIgnored);
}

std::string_view without_wrappers(std::string_view name) {
  for (bool stripped = true; stripped;) {
    stripped = false;
    for (const std::string_view wrapper : {"module.", "state_dict.", "model.", "text."}) {
      if (name.starts_with(wrapper)) {
        name.remove_prefix(wrapper.size());
        stripped = true;
      }
    }
  }
  return name;
}

}  // namespace cuclip
