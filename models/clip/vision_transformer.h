// CLIP's image encoder: a vision transformer (Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words", with
// CLIP's additional ln_pre).
#pragma once

#include "models/clip/clip_config.h"
#include "models/clip/transformer.h"

namespace cuclip {

class VisionTransformer {
 public:
  VisionTransformer(ParameterStore& store, const ClipConfig& config);

  /// images u8 [B, H, W, 3] or f32 [B, 3, H, W] (already normalised), H = W = image_size → features
  /// f32 [B, embed_dim], not normalised. `kept`: i32 [B, K], the tokens to see, from 0 (the class token)
  /// upwards; none: all.
  Tensor forward(Tape& tape, const Tensor& images, DType dtype, bool checkpointing,
                 const Tensor& kept = Tensor()) const;

 private:
  ops::PatchEmbedParameters embed_;
  Parameter &ln_pre_weight_, &ln_pre_bias_;
  Transformer transformer_;
  Parameter &ln_post_weight_, &ln_post_bias_, &proj_;
};

}  // namespace cuclip
