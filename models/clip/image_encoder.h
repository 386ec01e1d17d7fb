// What CLIP's image encoders have in common.
#pragma once

#include <memory>

#include "core/tape.h"
#include "models/clip/clip_config.h"

namespace cuclip {

class ParameterScope;

/// What batch normalisation normalises by. Encoders without it do not care.
enum class BatchStatistics : uint8_t {
  running,         // what training has measured: to evaluate, and to use a model
  of_batch,        // the batch's own, which the running ones then follow: a training step
  of_batch_again,  // the batch's own, which have been counted already: the same batch computed anew
};

/// How a pass through an image encoder computes.
struct ImagePass {
  DType dtype = DType::f32;
  bool recomputation = false;  // ClipOptions::recomputation
  BatchStatistics statistics = BatchStatistics::running;
  bool fixed_weights = false;  // ClipModel::fix_weights()
  bool projected = true;       // false: FeatureKind::pooled
  Tensor
      kept{};  // i32 [B, K], the tokens for a vision transformer to see, from 0 (the class token); none: all
};

class ImageEncoder {
 public:
  virtual ~ImageEncoder() = default;
  /// images u8 [B, H, W, 3] or f32 [B, 3, H, W] (already normalised), H = W = image_size → features
  /// f32 [B, embed_dim], not normalised; if they are not to be projected, [B, representation_width] of the
  /// pass's dtype.
  virtual Tensor forward(Tape& tape, const Tensor& images, const ImagePass& pass) const = 0;
};

/// The one that the configuration asks for, with its parameters added to `scope`.
std::unique_ptr<const ImageEncoder> make_image_encoder(const ParameterScope& scope, const ClipConfig& config);

}  // namespace cuclip
