#include "kernels/contrastive_loss/contrastive_loss_tile.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/contrastive_loss/left_out_pairs.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/contrastive_loss/contrastive_loss_tile.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

// Raises row maxima and new_max (which starts as the columns' maxima) to the tile's, and rescales the rows'
// sums.
void raise_maxima(const ProductTile& tile, LogitStatistics row, float* new_max) {
  const F32 d;
  const VF scale = hn::Set(d, tile.scale);
  for (int64_t i = 0; i < tile.rows; ++i) {
    const float* products = tile.products + i * tile.stride;
    VF row_max = hn::Set(d, row.max[i]);
    for (int64_t j = 0; j < tile.columns; j += lanes()) {
      const int64_t left = tile.columns - j;
      const VF logit = hn::Mul(scale, load_left(products + j, left));
      row_max = hn::IfThenElse(mask_left(left), hn::Max(row_max, logit), row_max);
      store_left(hn::Max(load_left(new_max + j, left), logit), new_max + j, left);
    }
    const float before = row.max[i];
    row.max[i] = reduce_max(row_max);
    row.sum[i] *= std::exp(before - row.max[i]);
  }
}

// Adds exp(logit − maximum) to the sums of rows and columns.
void add_exponentials(const ProductTile& tile, LogitStatistics row, LogitStatistics column) {
  const F32 d;
  const VF scale = hn::Set(d, tile.scale);
  for (int64_t i = 0; i < tile.rows; ++i) {
    const float* products = tile.products + i * tile.stride;
    const VF row_max = hn::Set(d, row.max[i]);
    VF row_sum = hn::Zero(d);
    for (int64_t j = 0; j < tile.columns; j += lanes()) {
      const int64_t left = tile.columns - j;
      const VF logit = hn::Mul(scale, load_left(products + j, left));
      const VF in_row = exp_clamped(hn::Sub(logit, row_max));
      const VF in_column = exp_clamped(hn::Sub(logit, load_left(column.max + j, left)));
      row_sum = hn::Add(row_sum, hn::IfThenElseZero(mask_left(left), in_row));
      store_left(hn::Add(load_left(column.sum + j, left), in_column), column.sum + j, left);
    }
    row.sum[i] += reduce_sum(row_sum);
  }
}

void tile_statistics(const ProductTile& tile, LogitStatistics row, LogitStatistics column, float* new_max) {
  std::copy(column.max, column.max + tile.columns, new_max);
  raise_maxima(tile, row, new_max);
  for (int64_t j = 0; j < tile.columns; j += lanes()) {
    const int64_t left = tile.columns - j;
    const VF raised = load_left(new_max + j, left);
    const VF factor = exp_clamped(hn::Sub(load_left(column.max + j, left), raised));
    store_left(hn::Mul(load_left(column.sum + j, left), factor), column.sum + j, left);
    store_left(raised, column.max + j, left);
  }
  add_exponentials(tile, row, column);
}

// Multiplies by a factor, but gives 0 where that would be denormal.
class Factor {
 public:
  explicit Factor(float factor)
      : factor_(factor), smallest_(std::numeric_limits<float>::min() / std::abs(factor)) {}
  HWY_INLINE VF times(VF x) const {
    const F32 d;
    const auto denormal = hn::Lt(hn::Abs(x), hn::Set(d, smallest_));
    return hn::Mul(hn::IfThenZeroElse(denormal, x), hn::Set(d, factor_));
  }

 private:
  float factor_, smallest_;
};

struct NoFactor {
  explicit NoFactor(float) {}
  HWY_INLINE VF times(VF x) const { return x; }
};

// One row of gradient_tile; returns Σ_j G_j S_j.
template <bool kPairsLeftOut, typename AnyFactor, typename T>
HWY_INLINE float gradient_row(const float* products, float scale, float row_lse, const float* column_lse,
                              int64_t positive, int64_t columns, AnyFactor factor, T* gradient) {
  const F32 d;
  const I32 di;
  const VF scales = hn::Set(d, scale);
  const VF row_lses = hn::Set(d, row_lse);
  const auto lane = hn::Iota(di, 0);
  VF sum = hn::Zero(d);
  for (int64_t j = 0; j < columns; j += lanes()) {
    const int64_t left = columns - j;
    VF product = load_left(products + j, left);
    const auto left_out = hn::Eq(product, hn::Set(d, kLeftOut));
    if constexpr (kPairsLeftOut) product = hn::IfThenZeroElse(left_out, product);
    const VF logit = hn::Mul(scales, product);
    const VF p_row = exp_clamped(hn::Sub(logit, row_lses));
    const VF p_column = exp_clamped(hn::Sub(logit, load_left(column_lse + j, left)));
    const auto is_positive = hn::RebindMask(d, hn::Eq(lane, hn::Set(di, static_cast<int32_t>(positive - j))));
    const VF label = hn::IfThenElseZero(is_positive, hn::Set(d, 2.0f));
    VF g = hn::Sub(hn::Add(p_row, p_column), label);
    if constexpr (kPairsLeftOut) g = hn::IfThenZeroElse(left_out, g);
    sum = hn::Add(sum, hn::IfThenElseZero(mask_left(left), hn::Mul(g, logit)));
    store_left(factor.times(g), gradient + j, left);
  }
  return reduce_sum(sum);
}

template <bool kPairsLeftOut, typename AnyFactor, typename T>
double gradient_rows(const GradientTile& p) {
  const ProductTile& tile = p.tile;
  const AnyFactor factor(p.factor);
  double sum = 0;
  for (int64_t i = 0; i < tile.rows; ++i) {
    // A column beyond either side of the tile means that it holds no positive; -1 is one such column, and
    // certainly fits in 32 bits.
    const int64_t column = p.first_positive + i;
    const int64_t positive = column < tile.columns ? std::max<int64_t>(column, -1) : -1;
    sum += static_cast<double>(gradient_row<kPairsLeftOut>(
        tile.products + i * tile.stride, tile.scale, p.row_lse[i], p.column_lse, positive, tile.columns,
        factor, static_cast<T*>(p.gradient) + i * p.gradient_stride));
  }
  return sum;
}

template <bool kPairsLeftOut, typename AnyFactor>
double gradient_of_dtype(const GradientTile& p) {
  return p.dtype == DType::f32 ? gradient_rows<kPairsLeftOut, AnyFactor, float>(p)
                               : gradient_rows<kPairsLeftOut, AnyFactor, bfloat16>(p);
}

double tile_gradient(const GradientTile& p) {
  if (p.factor == 1.0f) {
    return p.pairs_left_out ? gradient_of_dtype<true, NoFactor>(p) : gradient_of_dtype<false, NoFactor>(p);
  }
  return p.pairs_left_out ? gradient_of_dtype<true, Factor>(p) : gradient_of_dtype<false, Factor>(p);
}

template <typename T>
void scale_rows(const ScaleTile& p) {
  const VF factor = hn::Set(F32(), p.factor);
  for (int64_t i = 0; i < p.rows; ++i) {
    const float* from = p.from + i * p.stride;
    T* to = static_cast<T*>(p.to) + i * p.stride;
    for (int64_t j = 0; j < p.columns; j += lanes()) {
      store_left(hn::Mul(factor, load_left(from + j, p.columns - j)), to + j, p.columns - j);
    }
  }
}

void tile_scale(const ScaleTile& p) {
  p.dtype == DType::f32 ? scale_rows<float>(p) : scale_rows<bfloat16>(p);
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(tile_statistics);
HWY_EXPORT(tile_gradient);
HWY_EXPORT(tile_scale);

}  // namespace

void add_tile_statistics(const ProductTile& tile, LogitStatistics row, LogitStatistics column,
                         float* new_max) {
  HWY_DYNAMIC_DISPATCH(tile_statistics)(tile, row, column, new_max);
}

double gradient_tile(const GradientTile& p) { return HWY_DYNAMIC_DISPATCH(tile_gradient)(p); }

void scale_tile(const ScaleTile& p) { HWY_DYNAMIC_DISPATCH(tile_scale)(p); }

}  // namespace cuclip
#endif  // HWY_ONCE
