// Pictures that the recording scripts (tests/tools/record_resample.py) make from a seed in the same way.
#pragma once

#include <cstdint>

#include "models/image/image.h"

namespace cuclip::test {

/// Style 0 is noise, style 1 only 0 and 255, style 2 a ramp with a little noise.
inline Image generated_picture(int width, int height, int style, uint32_t state) {
  Image image{.width = width, .height = height, .rgb = {}};
  image.rgb.resize(static_cast<size_t>(width) * static_cast<size_t>(height) * 3);
  for (size_t i = 0; i < image.rgb.size(); ++i) {
    state = state * 1664525u + 1013904223u;
    const uint32_t noise = state >> 24;
    const uint32_t ramp = static_cast<uint32_t>(i) + noise / 16;
    image.rgb[i] = static_cast<uint8_t>(style == 0 ? noise : style == 1 ? 255 * (noise >> 7) : ramp);
  }
  return image;
}

}  // namespace cuclip::test
