// CLIP's image encoder: a vision transformer (Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words", with
// CLIP's additional ln_pre).
#pragma once

#include "models/clip/image_encoder.h"
#include "models/clip/transformer.h"

namespace cuclip {

class VisionTransformer : public ImageEncoder {
 public:
  /// Fresh class token, positions and projection are width^-½ · N(0, 1), the rest PyTorch's defaults.
  VisionTransformer(const ParameterScope& scope, const ClipConfig& config);

  Tensor forward(Tape& tape, const Tensor& images, const ImagePass& pass) const override;

 private:
  // In the order of open_clip's state dict.
  Parameter &class_token_, &position_, &proj_, &patch_weight_;
  ops::PatchEmbedParameters embed_;
  NormParameters ln_pre_;
  Transformer transformer_;
  NormParameters ln_post_;
};

}  // namespace cuclip
