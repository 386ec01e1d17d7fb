#include "models/clip/vision_transformer.h"

namespace cuclip {
namespace {

using Role = ParameterRole;

// Patches and the class token.
int64_t positions(const ClipConfig::Vision& v) {
  CUCLIP_CHECK(v.image_size % v.patch_size == 0, "vision: image_size {} is not a multiple of patch_size {}",
               v.image_size, v.patch_size);
  return v.patches() + 1;
}

Initialiser scaled_normal(const ClipConfig::Vision& v) { return Initialiser::normal(inverse_sqrt(v.width)); }

BlockShape block_shape(const ClipConfig& config) {
  const ClipConfig::Vision& v = config.vision;
  const int64_t width = v.width;
  return {.width = width,
          .heads = v.heads(),
          .mlp_width = v.mlp_width(),
          .activation = config.quick_gelu ? Activation::quick_gelu : Activation::gelu,
          .causal = false,
          // As torch.nn.MultiheadAttention, which stacks queries, keys and values, and Linear.
          .initialisers = {.attention_in = Initialiser::xavier(3 * width, width),
                           .attention_out = Initialiser::fan_in(width),
                           .mlp_fc = Initialiser::fan_in(width),
                           .mlp_proj = Initialiser::fan_in(v.mlp_width())}};
}

}  // namespace

VisionTransformer::VisionTransformer(const ParameterScope& scope, const ClipConfig& config)
    : class_token_(
          scope.add("class_embedding", {config.vision.width}, Role::token, scaled_normal(config.vision))),
      position_(scope.add("positional_embedding", {positions(config.vision), config.vision.width},
                          Role::position, scaled_normal(config.vision))),
      proj_(scope.add("proj", {config.vision.width, config.embed_dim}, Role::weight,
                      scaled_normal(config.vision))),
      patch_weight_(scope.add(
          "conv1.weight", {config.vision.width, 3, config.vision.patch_size, config.vision.patch_size},
          Role::weight,
          Initialiser::fan_in(int64_t{3} * config.vision.patch_size * config.vision.patch_size))),
      embed_{patch_weight_, class_token_, position_, config.mean, config.stddev},
      ln_pre_(scope, "ln_pre", config.vision.width),
      transformer_(scope.inner("transformer."), config.vision.layers, block_shape(config)),
      ln_post_(scope, "ln_post", config.vision.width) {}

Tensor VisionTransformer::forward(Tape& tape, const Tensor& images, const ImagePass& pass) const {
  Tensor embedded = ops::patch_embed(tape, images, embed_, pass.dtype);
  if (pass.kept) embedded = ops::pool(tape, embedded, pass.kept);
  const Tensor x = ops::layer_norm(tape, embedded, ln_pre_.weight, ln_pre_.bias);
  const Residual out = transformer_.forward_pooled(tape, x, Tensor(), pass.recomputation);
  const Tensor pooled =
      ops::residual_layer_norm(tape, out.x, out.delta, ln_post_.weight, ln_post_.bias).normalised;
  return pass.projected ? ops::project(tape, pooled, proj_) : pooled;
}

}  // namespace cuclip
