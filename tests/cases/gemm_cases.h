// Shapes of the linear layers' products, shared by tests and benchmarks.
#pragma once

#include <cstdint>
#include <vector>

namespace cuclip::cases {

struct GemmCase {
  int64_t m, n, k;
};

/// Size 1; odd; an empty product, and one of nothing (k = 0); one element beyond a tile of either device (on
/// the CPU 256 rows, 512 columns, 1024-row chunks; on CUDA 128 x 128 with steps of 32 or 16); several tiles
/// and steps of whole 16-byte vectors; more rows than one slice of the weight gradients (1024 and 512).
inline std::vector<GemmCase> gemm_cases() {
  return {{1, 1, 1},      {3, 5, 7},      {0, 4, 4},      {4, 8, 0},     {257, 33, 17},   {64, 513, 31},
          {130, 96, 520}, {129, 264, 72}, {2049, 40, 24}, {5000, 17, 9}, {1100, 136, 152}};
}

}  // namespace cuclip::cases
