// Shapes for tests and benchmarks of normalisation, the similarity matrix and top-k.
#pragma once

#include <vector>

#include "kernels/common/tensor_view.h"

namespace cuclip::cases {

/// One element, less than a vector, odd, two vectors and a bit, and more than one task of the CPU kernels.
inline std::vector<Shape> l2_normalize_shapes() { return {{1, 1}, {3, 7}, {17, 35}, {5, 512}, {300, 517}}; }

struct SimilarityCase {
  int64_t rows, columns, depth;
  double flop() const { return 2.0 * static_cast<double>(rows * columns * depth); }
};

/// One pair, odd sizes, more than the CPU's tiles of 256 and strips of 1,024.
inline std::vector<SimilarityCase> similarity_cases() {
  return {{1, 1, 1}, {2, 3, 5}, {7, 33, 64}, {1, 300, 17}, {257, 1, 31}, {260, 1030, 67}};
}

struct TopKCase {
  SimilarityCase shape;
  int64_t k;
};

/// k of 1, of all, and between; more than CUDA's lists hold (32) and more than its tiles (128); chunks of
/// columns (the CPU cuts more than 4,096) whose last is shorter than k; more than one tile of rows; one row
/// and many columns: on CUDA more tiles of them than blocks.
inline std::vector<TopKCase> top_k_cases() {
  return {{{1, 1, 1}, 1},       {{3, 7, 5}, 7},       {{2, 300, 16}, 10},   {{1, 8200, 9}, 5},
          {{2, 193, 8}, 193},   {{5, 257, 31}, 32},   {{130, 129, 24}, 33}, {{3, 400, 40}, 150},
          {{3, 8200, 4}, 8200}, {{270, 530, 33}, 20}, {{1, 33001, 8}, 12}};
}

}  // namespace cuclip::cases
