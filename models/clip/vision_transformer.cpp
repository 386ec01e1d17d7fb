#include "models/clip/vision_transformer.h"

namespace cuclip {
namespace {

ops::PatchEmbedParameters add_embedding(ParameterStore& store, const ClipConfig& config) {
  const ClipConfig::Vision& v = config.vision;
  CUCLIP_CHECK(v.image_size % v.patch_size == 0, "vision: image_size {} is not a multiple of patch_size {}",
               v.image_size, v.patch_size);
  // Names in the order of open_clip's state dict.
  Parameter& class_token = store.add("visual.class_embedding", {v.width});
  Parameter& position = store.add("visual.positional_embedding", {v.patches() + 1, v.width});
  store.add("visual.proj", {v.width, config.embed_dim});
  Parameter& weight = store.add("visual.conv1.weight", {v.width, 3, v.patch_size, v.patch_size});
  return {weight, class_token, position, config.mean, config.stddev};
}

}  // namespace

VisionTransformer::VisionTransformer(ParameterStore& store, const ClipConfig& config)
    : embed_(add_embedding(store, config)),
      ln_pre_weight_(store.add("visual.ln_pre.weight", {config.vision.width})),
      ln_pre_bias_(store.add("visual.ln_pre.bias", {config.vision.width})),
      transformer_(store, "visual.transformer.", config.vision.width, config.vision.layers,
                   config.vision.heads(), config.vision.mlp_width(),
                   config.quick_gelu ? Activation::quick_gelu : Activation::gelu, false),
      ln_post_weight_(store.add("visual.ln_post.weight", {config.vision.width})),
      ln_post_bias_(store.add("visual.ln_post.bias", {config.vision.width})),
      proj_(store.get("visual.proj")) {}

Tensor VisionTransformer::forward(Tape& tape, const Tensor& images, DType dtype, bool recomputation,
                                  const Tensor& kept) const {
  Tensor embedded = ops::patch_embed(tape, images, embed_, dtype);
  if (kept) embedded = ops::pool(tape, embedded, kept);
  const Tensor x = ops::layer_norm(tape, embedded, ln_pre_weight_, ln_pre_bias_);
  const Residual out = transformer_.forward_pooled(tape, x, Tensor(), recomputation);
  const Tensor pooled =
      ops::residual_layer_norm(tape, out.x, out.delta, ln_post_weight_, ln_post_bias_).normalised;
  return ops::project(tape, pooled, proj_);
}

}  // namespace cuclip
