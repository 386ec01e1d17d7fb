// How bytes of a picture are normalised.
#pragma once

#include <array>
#include <cstddef>

namespace cuclip {

/// (value / 255 - mean[c]) / stddev[c] as value * scale[c] + shift[c].
struct PixelScale {
  PixelScale(const std::array<float, 3>& mean, const std::array<float, 3>& stddev) {
    for (size_t c = 0; c < 3; ++c) {
      scale[c] = static_cast<float>(1.0 / (255.0 * static_cast<double>(stddev[c])));
      shift[c] = static_cast<float>(-static_cast<double>(mean[c]) / static_cast<double>(stddev[c]));
    }
  }
  float scale[3], shift[3];
};

}  // namespace cuclip
