// Arenas for tests and benchmarks of AdamW and the gradient norm.
#pragma once

#include <vector>

#include "kernels/adamw/adamw.h"

namespace cuclip::cases {

struct AdamWCase {
  int64_t n;
  std::vector<AdamWSegment> segments;
};

/// One element, odd sizes with padding between them and an empty segment, and a tensor that crosses the CPU's
/// blocks of 65,536 elements.
inline std::vector<AdamWCase> adamw_cases() {
  return {{1, {{0, 1, 0.2f}}},
          {64, {{0, 17, 0.2f}, {32, 0, 0.1f}, {32, 1}, {48, 15}}},
          {150000, {{3, 5, 0.1f}, {1000, 140001, 0.2f}, {149990, 10, 0.2f}}}};
}

}  // namespace cuclip::cases
