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

/// One pair, odd sizes, one more than the CPU's tile of 256, and a rank's share of the rows, whose columns
/// are more than the CPU's block of 1,024.
inline std::vector<ContrastiveLossCase> contrastive_loss_cases() {
  return {{1, 1, 1}, {2, 2, 3}, {7, 7, 5}, {33, 33, 64}, {1, 5, 3, 4}, {257, 257, 67}, {290, 1103, 40, 517}};
}

/// More rows than the CPU's block of 4,096.
inline ContrastiveLossCase contrastive_loss_beyond_block() { return {4200, 4200, 5}; }

}  // namespace cuclip::cases
