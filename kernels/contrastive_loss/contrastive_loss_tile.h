// What the contrastive loss does with one tile of the similarity matrix, in SIMD. On the calling thread.
#pragma once

#include <cstdint>

#include "kernels/common/dtype.h"

namespace cuclip {

/// Running maximum and Σ exp(x − maximum) of some logits. Starts as {kLowestLogit, 0}: finite, so that the
/// difference of two maxima is never ∞ − ∞.
inline constexpr float kLowestLogit = -3.4028235e38f;
struct LogitStatistics {
  float* max = nullptr;
  float* sum = nullptr;
};

/// Products I·Tᵀ of `rows` rows and `columns` columns; the logits are scale · product.
struct ProductTile {
  const float* products = nullptr;
  int64_t stride = 0;
  int64_t rows = 0;
  int64_t columns = 0;
  float scale = 1.0f;
};

/// Adds the tile's logits to the statistics of its rows and of its columns. `new_max` is room for `columns`
/// floats.
void add_tile_statistics(const ProductTile& tile, LogitStatistics row, LogitStatistics column,
                         float* new_max);

/// Turns the tile into the gradient with respect to its logits, without the common factor dloss / (2 Nr):
///   G_ij = exp(S_ij − row_lse_i) + exp(S_ij − column_lse_j) − 2 [j = first_positive + i]
/// or, with pairs_left_out, 0 where the product is kLeftOut (left_out_pairs.h).
/// `gradient` [rows, columns] f32 or bf16, row stride gradient_stride; f32 may be the tile itself. It gets
/// factor · G; with a factor other than 1, 0 where that would be denormal, which processors multiply slowly.
/// Returns Σ G_ij S_ij.
struct GradientTile {
  ProductTile tile;
  const float* row_lse = nullptr;
  const float* column_lse = nullptr;
  int64_t first_positive = 0;  // column, within the tile or not, of row 0's positive
  bool pairs_left_out = false;
  float factor = 1.0f;
  DType dtype = DType::f32;
  void* gradient = nullptr;
  int64_t gradient_stride = 0;
};
double gradient_tile(const GradientTile& p);

/// to[r, c] = factor · from[r, c], rounded to dtype. `to` may be `from` for f32.
struct ScaleTile {
  const float* from = nullptr;
  void* to = nullptr;
  int64_t stride = 0;  // of both
  DType dtype = DType::f32;
  int64_t rows = 0;
  int64_t columns = 0;
  float factor = 1.0f;
};
void scale_tile(const ScaleTile& p);

}  // namespace cuclip
