// How the contrastive loss on the CPU is cut into tiles, and the products that its logits are made of.
#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels/common/rounding.h"
#include "kernels/common/tensor_view.h"
#include "kernels/contrastive_loss/left_out_pairs.h"
#include "kernels/tiles/tile_product.h"

namespace cuclip {

/// 256 × 256 logits are 256 KiB: with their 256 images and texts of 256 features they fit a 1 MiB cache, and
/// oneDNN runs such products at its full rate.
inline constexpr int64_t kLogitTileRows = 256;
inline constexpr int64_t kLogitTileColumns = 256;

/// Rows of a tile: fewer for small batches, so that there are some eight tasks.
inline int64_t tile_rows_for(int64_t rows) {
  return std::clamp<int64_t>(round_up(ceil_div(rows, 8), 32), 32, kLogitTileRows);
}

inline char* row_of(const TensorView& x, int64_t row) {
  return static_cast<char*>(x.data) + static_cast<size_t>(row * x.size(1)) * size_of(x.dtype);
}

/// products [rows, columns], row stride kLogitTileColumns, = image[row ...] · text[column ...]ᵀ of a call;
/// with words, kLeftOut where a pair is left out.
template <typename Params>
void logit_products(const Params& p, int64_t row, int64_t rows, int64_t column, int64_t columns,
                    float* products) {
  const int64_t depth = p.image.size(1);
  tile_product({.a = row_of(p.image, row),
                .b = row_of(p.text, column),
                .c = products,
                .m = rows,
                .n = columns,
                .k = depth,
                .lda = depth,
                .ldb = depth,
                .ldc = kLogitTileColumns,
                .transpose_b = true,
                .input = p.image.dtype});
  if (!p.image_words) return;
  leave_pairs_out({.products = products,
                   .stride = kLogitTileColumns,
                   .rows = rows,
                   .columns = columns,
                   .row_words = p.image_words.template as<int32_t>() + row * kWordsOfSet,
                   .column_words = p.text_words.template as<int32_t>() + column * kWordsOfSet,
                   .first_positive = p.label_offset + row - column});
}

}  // namespace cuclip
