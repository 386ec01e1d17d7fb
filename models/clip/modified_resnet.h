// CLIP's other image encoder: a modified ResNet (Radford et al. 2021, "Learning Transferable Visual Models
// From Natural Language Supervision", section 2.4; He et al. 2015 and 2018; Zhang 2019, "Making Convolutional
// Networks Shift-Invariant Again"): three convolutions as a stem, average pooling in front of strides, and a
// layer of attention as the last pooling.
#pragma once

#include <optional>
#include <vector>

#include "core/ops.h"
#include "models/clip/image_encoder.h"

namespace cuclip {

/// A convolution without bias and the batch normalisation behind it.
class ConvolutionAndNorm {
 public:
  /// `names`: of the two, "conv1" and "bn1". The norm's scale starts as `scale`.
  ConvolutionAndNorm(const ParameterScope& scope, const std::pair<std::string, std::string>& names,
                     int64_t in_channels, int64_t out_channels, int64_t kernel, int64_t stride = 1,
                     float scale = 1.0f);

  /// x [B, H, W, in] → [B, H / stride, W / stride, out]: normalised, `residual` added, relu'd.
  Tensor forward(Tape& tape, const Tensor& x, const ImagePass& pass, bool relu = true,
                 const Tensor& residual = {}) const;

 private:
  int64_t stride_, padding_;
  Parameter &filters_, &weight_, &bias_, &running_mean_, &running_var_;
  std::shared_ptr<PackedWeight> kept_;  // filled where the weights are fixed
};

/// 1 × 1, 3 × 3 and 1 × 1 convolutions around a shortcut. A stride of 2 is an average over 2 × 2 values.
class Bottleneck {
 public:
  static constexpr int64_t kExpansion = 4;  // channels of its output for each of `inner`
  Bottleneck(const ParameterScope& scope, int64_t in_channels, int64_t inner, int64_t stride);

  Tensor forward(Tape& tape, const Tensor& x, const ImagePass& pass) const;

 private:
  int64_t stride_;
  ConvolutionAndNorm first_, second_, third_;
  std::optional<ConvolutionAndNorm> shortcut_;  // where the shape changes
};

/// The weight [out, in] and bias of a linear layer of the attention pooling, initialised as open_clip does.
struct PoolProjection {
  PoolProjection(const ParameterScope& scope, const std::string& name, int64_t out, int64_t in);
  Parameter &weight, &bias;
};

/// Attention whose one query is the mean of all places, in place of a global average.
class AttentionPool {
 public:
  AttentionPool(const ParameterScope& scope, const ClipConfig::Vision& v, int64_t embed_dim);

  /// x [B, H, W, C] → f32 [B, embed_dim].
  Tensor forward(Tape& tape, const Tensor& x) const;

 private:
  int64_t heads_;
  Parameter& position_;
  PoolProjection kv_, q_, out_;
};

class ModifiedResnet : public ImageEncoder {
 public:
  ModifiedResnet(const ParameterScope& scope, const ClipConfig& config);

  Tensor forward(Tape& tape, const Tensor& images, const ImagePass& pass) const override;

 private:
  std::array<float, 3> mean_, stddev_;
  int64_t places_;  // of a picture after the last stage
  ConvolutionAndNorm stem_[3];
  std::vector<Bottleneck> blocks_;  // of all stages
  AttentionPool pool_;
};

}  // namespace cuclip
