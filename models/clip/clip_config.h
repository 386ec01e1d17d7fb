// The shape of a CLIP model: open_clip's model configuration.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "models/image/image_transform.h"

namespace cuclip {

struct ClipConfig {
  /// A vision transformer, or with `stages` a modified ResNet.
  struct Vision {
    int image_size = 224;  // pixels, square
    int patch_size = 32;   // of a ResNet: what the strides come to, always 32
    int width = 768;       // of a ResNet: channels after the stem
    int layers = 12;       // of a ResNet: 0
    int head_width = 64;
    double mlp_ratio = 4;         // not used by a ResNet
    std::array<int, 4> stages{};  // blocks of each stage of a ResNet, where `layers` is a list in open_clip

    bool is_resnet() const { return stages[0] > 0; }
    /// What attention works on: the transformer's width, or the channels of a ResNet's last stage.
    int attention_width() const { return is_resnet() ? width * 32 : width; }
    int heads() const { return attention_width() / head_width; }
    int patches() const { return (image_size / patch_size) * (image_size / patch_size); }
    int mlp_width() const { return static_cast<int>(width * mlp_ratio); }  // as Python computes it
    bool operator==(const Vision&) const = default;
  };
  struct Text {
    int context_length = 77;
    int vocab_size = 49408;
    int width = 512;
    int heads = 8;
    int layers = 12;
    double mlp_ratio = 4;

    int mlp_width() const { return static_cast<int>(width * mlp_ratio); }
    bool operator==(const Text&) const = default;
  };

  int embed_dim = 512;
  bool quick_gelu = false;  // x·σ(1.702x), for OpenAI's weights; otherwise erf GELU
  Vision vision;
  Text text;
  std::array<float, 3> mean = {0.48145466f, 0.4578275f, 0.40821073f};
  std::array<float, 3> stddev = {0.26862954f, 0.26130258f, 0.27577711f};
  ResampleFilter interpolation = ResampleFilter::bicubic;  // or bilinear
  ResizeMode resize_mode = ResizeMode::shortest;

  /// Of pooled features of pictures (FeatureKind).
  int representation_width() const { return vision.is_resnet() ? embed_dim : vision.width; }
  /// What pictures go through for evaluation, up to 8-bit pixels. (Training crops at random and resizes
  /// bicubically whatever these say, as open_clip does.)
  EvaluationTransform evaluation_transform() const {
    return EvaluationTransform(vision.image_size, interpolation, resize_mode);
  }
  bool operator==(const ClipConfig&) const = default;
};

/// What text_cfg's hf_tokenizer_name says where the tokeniser's files lie beside the configuration:
/// open_clip looks for them in a folder (local-dir:FOLDER) whatever it says, and for CLIP's own vocabulary
/// if it says nothing.
inline constexpr const char* kTokenizerBeside = ".";

/// Parses open_clip's JSON: a model configuration (`embed_dim`, `vision_cfg`, `text_cfg`, `quick_gelu`) or an
/// open_clip_config.json (`model_cfg` and `preprocess_cfg`). Keys that would change the maths in a way that
/// is not built in are refused, as are unknown ones; `name` is for messages. Throws InputError.
ClipConfig parse_clip_config(std::string_view json, std::string_view name);

/// open_clip_config.json of a model, which parse_clip_config() reads back.
std::string clip_config_json(const ClipConfig& config);

/// A built-in name (ViT-B-32, also written ViT-B/32; cuclip-small; ...) or the path of a JSON file. Throws
/// InputError listing the names for one that is neither.
ClipConfig load_clip_config(const std::string& name_or_path);

struct NamedClipConfig {
  std::string name;
  ClipConfig config;
};
/// The built-in models, in the order in which they are shown.
std::vector<NamedClipConfig> builtin_clip_configs();

/// Throws InputError naming the value that does not fit (an image size that is not a multiple of the patch,
/// ...).
void validate(const ClipConfig& config);
/// The same; messages begin with `name`, of what the configuration was read from.
void validate(const ClipConfig& config, std::string_view name);

}  // namespace cuclip
