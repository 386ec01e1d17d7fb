// Shapes for tests and benchmarks of average pooling.
#pragma once

#include <vector>
#include "kernels/common/tensor_view.h"

namespace cuclip::cases {

struct Pool2dCase {
  Shape shape;  // [N, H, W, C]
  int64_t k;
};

/// One element; windows of one pixel; rows and columns left out; the whole picture; several tasks of the CPU
/// kernel; a ResNet's; on CUDA rows of windows for several blocks.
inline std::vector<Pool2dCase> pool2d_cases() {
  return {{{1, 1, 1, 1}, 1},  {{2, 3, 4, 5}, 1},    {{3, 5, 7, 17}, 2},
          {{2, 7, 8, 16}, 3}, {{2, 4, 4, 33}, 4},   {{37, 16, 18, 48}, 2},
          {{2, 9, 5, 8}, 5},  {{4, 56, 56, 64}, 2}, {{1, 4, 180, 20}, 2}};
}

}  // namespace cuclip::cases
