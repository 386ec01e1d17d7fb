// Shapes for tests and benchmarks of the contrastive loss.
#pragma once

#include <string>
#include <vector>

#include "kernels/common/check.h"

namespace cuclip::cases {

struct ContrastiveLossCase {
  int64_t rows, columns, depth;
  int64_t label_offset = 0;

  double forward_flop() const { return 2.0 * static_cast<double>(rows * columns * depth); }
  double backward_flop() const { return 3.0 * forward_flop(); }
  std::string to_string() const {
    return fmt::format("{} x {} x {}, label_offset {}", rows, columns, depth, label_offset);
  }
};

/// One pair, odd sizes, one more than the tiles (of 128 and 256), a rank's share of the rows, whose columns
/// are more than the CPU's block of 1,024, and one with more columns than CUDA's block of 8,192 and its 128
/// tiles. 72 features: rows that can be read in whole vectors.
inline std::vector<ContrastiveLossCase> contrastive_loss_cases() {
  return {{1, 1, 1},
          {2, 2, 3},
          {7, 7, 5},
          {33, 33, 64},
          {1, 5, 3, 4},
          {257, 257, 67},
          {290, 1103, 40, 517},
          {150, 160, 72, 9},
          {3, 16500, 8, 8190}};
}

/// More rows than the block of 4,096 on either device.
inline ContrastiveLossCase contrastive_loss_beyond_block() { return {4200, 4200, 5}; }

}  // namespace cuclip::cases
