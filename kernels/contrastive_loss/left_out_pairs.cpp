// Every pair is compared, 16 (AVX-512), 8 or 4 columns at once, without branches: where captions are short,
// so many pairs pass a quick test that mispredicted branches take longer than the comparison.
#include "kernels/contrastive_loss/left_out_pairs.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/contrastive_loss/left_out_pairs.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

using VI = hn::Vec<I32>;

constexpr int64_t kMostColumns = 256;

// Some columns' sets, word by word, and all ones for each that is empty.
struct ColumnWords {
  alignas(64) int32_t words[kWordsOfSet][kMostColumns];
  alignas(64) int32_t empty[kMostColumns];
};

// Beyond the last column are empty sets, up to a whole vector.
void separate_words(const int32_t* sets, int64_t columns, ColumnWords& out) {
  const I32 d;
  VI v[kWordsOfSet];
  for (int64_t j = 0; j < columns; j += lanes()) {
    int32_t last[kWordsOfSet * HWY_MAX_BYTES / 4] = {};
    const int32_t* from = sets + j * kWordsOfSet;
    if (columns - j < lanes()) from = (std::copy(from, sets + columns * kWordsOfSet, last), last);
    hn::LoadInterleaved4(d, from, v[0], v[1], v[2], v[3]);
    for (int64_t w = 0; w < kWordsOfSet; ++w) hn::Store(v[w], d, out.words[w] + j);
    const VI any = hn::Or(hn::Or(v[0], v[1]), hn::Or(v[2], v[3]));
    hn::Store(hn::VecFromMask(d, hn::Eq(any, hn::Zero(d))), d, out.empty + j);
  }
}

// Leaves pairs of a row out whose set is not empty.
struct Row {
  VI words[kWordsOfSet];
  float* products;

  explicit Row(const int32_t* set, float* products) : products(products) {
    for (int64_t w = 0; w < kWordsOfSet; ++w) words[w] = hn::Set(I32(), set[w]);
  }
  HWY_INLINE void leave_out(const VI (&column)[kWordsOfSet], VI empty, int64_t j) const {
    const F32 d;
    VI beyond_column = hn::AndNot(column[0], words[0]),
       beyond_row = hn::Or(empty, hn::AndNot(words[0], column[0]));
    for (int64_t w = 1; w < kWordsOfSet; ++w) {
      beyond_column = hn::Or(beyond_column, hn::AndNot(column[w], words[w]));
      beyond_row = hn::Or(beyond_row, hn::AndNot(words[w], column[w]));
    }
    const U32 du;
    const auto least = hn::Min(hn::BitCast(du, beyond_column), hn::BitCast(du, beyond_row));
    const auto out = hn::RebindMask(d, hn::Eq(least, hn::Zero(du)));
    store(hn::IfThenElse(out, hn::Set(d, kLeftOut), load(products + j)), products + j);
  }
};

// Of two rows, which share what is loaded of the columns.
void leave_out_of_rows(const Row& first, const Row& second, const ColumnWords& columns, int64_t count) {
  const I32 d;
  for (int64_t j = 0; j < count; j += lanes()) {
    const VI column[] = {hn::Load(d, columns.words[0] + j), hn::Load(d, columns.words[1] + j),
                         hn::Load(d, columns.words[2] + j), hn::Load(d, columns.words[3] + j)};
    const VI empty = hn::Load(d, columns.empty + j);
    first.leave_out(column, empty, j);
    second.leave_out(column, empty, j);
  }
}

// The first row from `row` on whose set is not empty, or tile.rows.
int64_t row_with_words(const WordsTile& tile, int64_t row) {
  const auto empty = [&](int64_t i) {
    const int32_t* set = tile.row_words + i * kWordsOfSet;
    return (set[0] | set[1] | set[2] | set[3]) == 0;
  };
  while (row < tile.rows && empty(row)) ++row;
  return row;
}

void left_out(const WordsTile& tile) {
  ColumnWords columns;
  for (int64_t first = 0; first < tile.columns; first += kMostColumns) {
    const int64_t count = std::min(kMostColumns, tile.columns - first);
    separate_words(tile.column_words + first * kWordsOfSet, count, columns);
    const auto products = [&](int64_t row) { return tile.products + row * tile.stride + first; };
    const auto row = [&](int64_t i) { return Row(tile.row_words + i * kWordsOfSet, products(i)); };
    // A positive is compared like the others, and put back.
    float none = 0;
    const auto positive = [&](int64_t i) {
      const int64_t column = tile.first_positive + i - first;
      return column >= 0 && column < count ? products(i) + column : &none;
    };
    for (int64_t i = row_with_words(tile, 0); i < tile.rows;) {
      const int64_t next = row_with_words(tile, i + 1);
      const int64_t other = next < tile.rows ? next : i;
      const float kept = *positive(i), other_kept = *positive(other);
      leave_out_of_rows(row(i), row(other), columns, count);
      *positive(i) = kept;
      *positive(other) = other_kept;
      i = row_with_words(tile, next + 1);
    }
  }
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(left_out);

}  // namespace

void leave_pairs_out(const WordsTile& tile) { HWY_DYNAMIC_DISPATCH(left_out)(tile); }

}  // namespace cuclip
#endif  // HWY_ONCE
