// The shape of a CLIP model: open_clip's model configuration.
#pragma once

#include <array>
#include <string>

namespace cuclip {

struct ClipConfig {
  struct Vision {
    int image_size = 224;  // pixels, square
    int patch_size = 32;
    int width = 768;
    int layers = 12;
    int head_width = 64;
    float mlp_ratio = 4.0f;

    int heads() const { return width / head_width; }
    int patches() const { return (image_size / patch_size) * (image_size / patch_size); }
  };
  struct Text {
    int context_length = 77;
    int vocab_size = 49408;
    int width = 512;
    int heads = 8;
    int layers = 12;
    float mlp_ratio = 4.0f;
  };

  int embed_dim = 512;
  bool quick_gelu = false;  // x·σ(1.702x), as OpenAI's weights want; otherwise erf GELU
  Vision vision;
  Text text;
  std::array<float, 3> mean = {0.48145466f, 0.4578275f, 0.40821073f};
  std::array<float, 3> stddev = {0.26862954f, 0.26130258f, 0.27577711f};
};

}  // namespace cuclip
