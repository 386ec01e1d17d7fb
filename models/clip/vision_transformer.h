// CLIP's image encoder: a vision transformer (Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words", with
// CLIP's additional ln_pre).
#pragma once

#include "models/clip/clip_config.h"
#include "models/clip/transformer.h"

namespace cuclip {

class VisionTransformer {
 public:
  /// Fresh class token, positions and projection are width^-½ · N(0, 1), the rest PyTorch's defaults.
  VisionTransformer(const ParameterScope& scope, const ClipConfig& config);

  /// images u8 [B, H, W, 3] or f32 [B, 3, H, W] (already normalised), H = W = image_size → features
  /// f32 [B, embed_dim], not normalised. `kept`: i32 [B, K], the tokens to see, from 0 (the class token)
  /// upwards; none: all.
  Tensor forward(Tape& tape, const Tensor& images, DType dtype, bool recomputation,
                 const Tensor& kept = Tensor()) const;

 private:
  // In the order of open_clip's state dict.
  Parameter &class_token_, &position_, &proj_, &patch_weight_;
  ops::PatchEmbedParameters embed_;
  NormParameters ln_pre_;
  Transformer transformer_;
  NormParameters ln_post_;
};

}  // namespace cuclip
