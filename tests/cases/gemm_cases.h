// Shapes of the linear layers' products, shared by tests and benchmarks.
#pragma once

#include <cstdint>

namespace cuclip::test {

struct GemmCase {
  int64_t m, n, k;
};

// Size 1, odd, one element beyond a tile (256 rows, 512 columns, 1024-row chunks), and an empty product.
inline constexpr GemmCase kGemmCases[] = {{1, 1, 1},     {3, 5, 7},      {0, 4, 4},      {257, 33, 17},
                                          {64, 513, 31}, {130, 96, 520}, {2049, 40, 24}, {5000, 17, 9}};

}  // namespace cuclip::test
