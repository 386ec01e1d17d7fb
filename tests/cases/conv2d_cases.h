// Shapes for tests and benchmarks of the convolution.
#pragma once

#include <cstdint>
#include <vector>

namespace cuclip::cases {

struct Conv2dCase {
  int64_t batch, height, width, channels, outputs, kernel, stride, padding;
};

/// One element; pictures of one pixel; odd sizes; Cin 1 and 3; K 1, 2, 3, 5 and 7; strides that leave the
/// last rows out, or, larger than the kernel, pixels in between; more padding than kernel; a kernel that just
/// fits, and one larger than the picture; on the CPU several tasks, of pictures, the last one shorter, and of
/// rows of one picture (from 12 x 12 on), several slices of the weight's gradient, and of channels (the last
/// two), fewer in the last task or with several slices; on CUDA whole 16-byte vectors, more than one tile
/// each way, and, K = 3 and 5 with whole steps of channels, windows that share their pixels, of one run of
/// channels and of several, with a tile in the middle of a picture and with several pictures in a tile; up to
/// 64 channels of either side with several tiles each way of those forms.
inline std::vector<Conv2dCase> conv2d_cases() {
  return {{1, 1, 1, 1, 1, 1, 1, 0},      {2, 1, 1, 5, 3, 3, 1, 1},     {3, 9, 7, 5, 7, 3, 1, 1},
          {2, 9, 7, 3, 5, 5, 2, 2},      {2, 8, 6, 16, 24, 3, 2, 1},   {3, 7, 7, 17, 33, 1, 2, 0},
          {2, 6, 6, 32, 40, 1, 1, 0},    {2, 5, 8, 1, 4, 3, 1, 0},     {1, 4, 4, 6, 5, 1, 1, 1},
          {2, 11, 10, 3, 16, 3, 2, 1},   {2, 9, 9, 4, 6, 2, 3, 0},     {1, 3, 3, 4, 4, 3, 1, 0},
          {2, 2, 3, 4, 4, 5, 1, 2},      {1, 15, 13, 3, 8, 7, 4, 3},   {70, 4, 4, 8, 8, 3, 1, 1},
          {137, 4, 3, 8, 16, 1, 1, 0},   {3, 14, 14, 24, 40, 3, 1, 1}, {2, 13, 12, 64, 136, 3, 1, 1},
          {1, 9, 31, 32, 64, 3, 1, 1},   {9, 5, 3, 64, 32, 5, 1, 2},   {3, 8, 6, 96, 96, 3, 1, 1},
          {1, 12, 12, 128, 96, 3, 1, 1}, {1, 25, 24, 64, 80, 3, 2, 1}, {1, 14, 14, 256, 72, 1, 1, 0},
          {1, 12, 10, 64, 64, 5, 1, 2},  {1, 10, 10, 64, 64, 5, 1, 2}, {1, 13, 11, 64, 68, 3, 1, 1},
          {1, 17, 16, 64, 40, 3, 1, 1},  {2, 13, 12, 64, 64, 1, 1, 0}, {1, 18, 17, 5, 9, 3, 1, 1},
          {2, 12, 11, 64, 264, 1, 1, 0}, {2, 5, 6, 3, 70, 3, 1, 1},    {1, 17, 16, 16, 24, 3, 1, 1},
          {2, 8, 8, 200, 136, 3, 1, 1},  {16, 8, 8, 128, 256, 1, 1, 0}};
}

}  // namespace cuclip::cases
