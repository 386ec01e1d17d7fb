// What open_clip's CLIP computed for a small model (tests/tools/record_open_clip.py).
#pragma once

#include <string>
#include <vector>

#include "models/clip/clip.h"
#include "models/files/safetensors.h"

namespace cuclip::test {

/// One recorded model: "gelu", "quick_gelu" or "resnet", or what FOLDER/NAME.json and .safetensors have.
class OpenClipRecording {
 public:
  explicit OpenClipRecording(const std::string& name_or_path);

  const ClipConfig& config() const { return config_; }
  /// Normalised f32 [B, 3, S, S], and token ids i32 [B, context_length].
  Tensor images(Context& context) const;
  Tensor tokens(Context& context) const;
  /// Gives the model open_clip's weights; both must have the same parameters.
  void load_weights(ClipModel& model) const { load(model, {"weight."}); }
  /// Gives the model the loss's gradients in place of its weights, and the running statistics after the step.
  void load_results(ClipModel& model) const { load(model, {"gradient.", "statistic."}); }
  /// "output.image", "output.text", "output.loss"; of the ResNet also "output.evaluated".
  std::vector<float> values(const std::string& name) const;
  /// How far open_clip itself is from what is exact: "outputs from f64", the largest difference; "gradients
  /// from f64", that of the farthest gradient relative to its norm; "bf16 from f32", 1 - the least cosine of
  /// features under autocast. Of models in full size alone.
  double distance(const std::string& name) const;

 private:
  // The tensors whose names begin with one of the prefixes, without it, by way of a file.
  void load(ClipModel& model, std::initializer_list<std::string_view> prefixes) const;
  const SafetensorsEntry& entry(const std::string& name) const;

  ClipConfig config_;
  Safetensors file_;
};

/// The configurations that were recorded.
inline const std::vector<std::string> kOpenClipRecordings{"gelu", "quick_gelu", "resnet"};

}  // namespace cuclip::test
