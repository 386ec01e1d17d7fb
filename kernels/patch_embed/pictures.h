// The geometry of a batch of pictures and of their patches, for the kernels.
#pragma once

#include <array>

#include "kernels/common/pixel_scale.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

struct Pictures : PixelScale {
  Pictures(const TensorView& image, int64_t patch, const std::array<float, 3>& mean,
           const std::array<float, 3>& stddev)
      : PixelScale(mean, stddev),
        batch(image.size(0)),
        height(image.size(image.dtype == DType::u8 ? 1 : 2)),
        columns(image.size(image.dtype == DType::u8 ? 2 : 3)),
        patch(patch),
        per_picture((height / patch) * (columns / patch)),
        length(3 * patch * patch) {
    if (image.dtype == DType::u8) {
      bytes = image.as<uint8_t>();
    } else {
      planar = image.as<float>();
    }
  }

  int64_t batch, height, columns, patch;
  int64_t per_picture;             // patches
  int64_t length;                  // values of a patch
  const uint8_t* bytes = nullptr;  // [B, H, W, 3], or
  const float* planar = nullptr;   // [B, 3, H, W]
};

}  // namespace cuclip
