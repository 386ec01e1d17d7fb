// An 8-bit RGB picture in memory.
#pragma once

#include <cstdint>
#include <vector>

namespace cuclip {

/// Row-major, 3 interleaved bytes a pixel.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;  // width * height * 3
};

}  // namespace cuclip
