// Takes pairs out of a tile of the similarity matrix whose words say the same, in SIMD. On the calling
// thread.
#pragma once

#include <cmath>
#include <cstdint>

namespace cuclip {

/// A set has 128 bits.
inline constexpr int64_t kWordsOfSet = 4;
/// The product of a pair that is left out: its exponential is that of nothing.
inline constexpr float kLeftOut = -INFINITY;

/// Products of `rows` rows and `columns` columns, and their sets, [rows, 4] and [columns, 4]. The stride is
/// at least `columns` rounded up to 16: products beyond the columns are written, though not changed.
struct WordsTile {
  float* products = nullptr;
  int64_t stride = 0;
  int64_t rows = 0;
  int64_t columns = 0;
  const int32_t* row_words = nullptr;
  const int32_t* column_words = nullptr;
  int64_t first_positive = 0;  // column, within the tile or not, of row 0's positive
};

/// Products of pairs become kLeftOut where neither set is empty and one contains the other; positives stay.
void leave_pairs_out(const WordsTile& tile);

}  // namespace cuclip
