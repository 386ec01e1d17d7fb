#include "models/clip/initialise.h"

#include <cmath>
#include <string_view>
#include <vector>

#include "kernels/random/random.h"

namespace cuclip {
namespace {

enum class Kind { constant, normal, uniform };

// value: the constant, the standard deviation, or the bound of the symmetric interval.
struct Rule {
  Kind kind;
  float value;
};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

float inverse_sqrt(int64_t n) { return 1.0f / std::sqrt(static_cast<float>(n)); }

// torch.nn.Linear and Conv2d: weights and bias uniform in ±1/√fan_in.
Rule pytorch_default(int64_t fan_in) { return {Kind::uniform, inverse_sqrt(fan_in)}; }

Rule norm_or_attention_bias(std::string_view name) {
  const bool is_weight = name.ends_with("weight");
  return {Kind::constant, is_weight ? 1.0f : 0.0f};
}

Rule text_rule(std::string_view name, const ClipConfig::Text& text) {
  const float attention = inverse_sqrt(text.width);
  const float residual = attention * inverse_sqrt(2 * text.layers);
  if (name == "token_embedding.weight") return {Kind::normal, 0.02f};
  if (name == "positional_embedding") return {Kind::normal, 0.01f};
  if (name == "text_projection") return {Kind::normal, attention};
  if (name.ends_with("in_proj_weight")) return {Kind::normal, attention};
  if (name.ends_with("out_proj.weight") || name.ends_with("c_proj.weight")) return {Kind::normal, residual};
  if (name.ends_with("c_fc.weight")) return {Kind::normal, inverse_sqrt(2 * text.width)};
  if (name.ends_with("c_fc.bias")) return pytorch_default(text.width);
  if (name.ends_with("c_proj.bias")) {
    return pytorch_default(text.mlp_width());
  }
  return norm_or_attention_bias(name);
}

Rule vision_rule(std::string_view name, const Shape& shape, const ClipConfig::Vision& vision) {
  if (name == "visual.class_embedding" || name == "visual.positional_embedding" || name == "visual.proj") {
    return {Kind::normal, inverse_sqrt(vision.width)};
  }
  if (name == "visual.conv1.weight") return pytorch_default(shape[1] * shape[2] * shape[3]);
  // torch.nn.MultiheadAttention: Xavier-uniform over the stacked [3C, C] matrix.
  if (name.ends_with("in_proj_weight"))
    return {Kind::uniform, std::sqrt(6.0f) * inverse_sqrt(shape[0] + shape[1])};
  if (name.ends_with("out_proj.weight")) return pytorch_default(shape[1]);
  if (contains(name, ".mlp.") && name.ends_with("weight")) return pytorch_default(shape[1]);
  if (name.ends_with("c_fc.bias")) return pytorch_default(vision.width);
  if (name.ends_with("c_proj.bias")) {
    return pytorch_default(vision.mlp_width());
  }
  return norm_or_attention_bias(name);
}

}  // namespace

void initialise_parameters(Context& context, const ClipConfig& config, ParameterStore& store, uint64_t seed) {
  uint64_t stream = 0;
  for (Parameter& parameter : store.parameters()) {
    const std::string_view name = parameter.name;
    Rule rule = name.starts_with("visual.") ? vision_rule(name, parameter.shape, config.vision)
                                            : text_rule(name, config.text);
    if (name == "logit_scale") rule = {Kind::constant, std::log(1.0f / 0.07f)};
    const Tensor flat = parameter.value.reshaped({parameter.shape.elements()});
    if (rule.kind == Kind::normal) {
      fill_normal({.out = flat, .stddev = rule.value, .seed = seed, .stream = stream}, context.exec());
    } else if (rule.kind == Kind::uniform) {
      fill_uniform({.out = flat, .low = -rule.value, .high = rule.value, .seed = seed, .stream = stream},
                   context.exec());
    } else {
      flat.assign(std::vector<float>(static_cast<size_t>(flat.elements()), rule.value));
    }
    stream++;
  }
}

}  // namespace cuclip
