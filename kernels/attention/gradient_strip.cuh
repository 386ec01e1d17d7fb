// Attention backward of 16 queries or keys by one warp: the strip's gradients stay in registers while it
// meets the other side's rows 16 at a time. Queries sum dq = dS k; keys sum dk = dS^T q and dv = P^T dout.
// Both make their own P and dS, on tensor cores from q, k, v and dout, which are read as rows or transposed
// from the same tiles: a side's first matrix is q or k, its second dout or v.
//
// P and dS are rounded to bf16 where they are multiplied; sums are f32. The steps depend only on the shape.
#pragma once

#include "kernels/attention/attention_arguments.cuh"
#include "kernels/attention/head_tile.cuh"

namespace cuclip {

/// What belongs to queries, in shared memory; zeros beyond the last.
struct QueryStatistics {
  float* exponents;  // lse * log2(e)
  float* delta;      // dout . out
};

template <int kHeadDim, bool kKeys>
class GradientStrip {
 public:
  /// The strip that starts at `row`; its rows are [tile_row, tile_row + 16) of its side's matrices.
  __device__ __forceinline__ GradientStrip(const HeadLayout& layout, int row, const HeadTile<kHeadDim>& first,
                                           const HeadTile<kHeadDim>& second, int tile_row)
      : layout_(layout), first_(first), second_(second), row_(row), tile_row_(tile_row) {
    if constexpr (kHeld) {
      load_strip(first_operand_, first, tile_row);
      load_strip(second_operand_, second, tile_row);
    }
  }

  /// Takes in the other side's rows [begin, end), which are the first rows of its matrices. `begin` is a
  /// multiple of 16. `queries` begins with the first row of the queries' matrices.
  __device__ __forceinline__ void attend(const HeadTile<kHeadDim>& first, const HeadTile<kHeadDim>& second,
                                         const QueryStatistics& queries, int begin, int end) {
    const int seen_from = kKeys && layout_.causal ? row_ : 0;
    for (int other = max(begin, seen_from); other < min(end, seen_to()); other += kStripRows) {
      step(first, second, queries, other - begin, other);
    }
  }

  /// Writes the gradients of the strip's rows below the length to `gradient`, dq or dk of the head, and what
  /// follows dk; `stage` are the warp's own rows.
  __device__ __forceinline__ void finish(const HeadTile<kHeadDim>& stage, int stage_row, bfloat16* gradient) {
    const int stride = static_cast<int>(layout_.projection_stride()),
              left = static_cast<int>(layout_.length) - row_;
    bfloat16* rows = gradient + row_ * layout_.projection_stride();
    store_strip(first_sums_, {layout_.scale, layout_.scale}, stage, stage_row, rows, stride, left);
    if constexpr (kKeys) {
      store_strip(second_sums_, {1.0f, 1.0f}, stage, stage_row, rows + layout_.width, stride, left);
    }
  }

 private:
  // For larger heads the operands are loaded again at each step: beside the sums they would not fit into
  // registers.
  static constexpr bool kHeld = kHeadDim <= 80;

  __device__ __forceinline__ static int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
  // One past the last of the other side's rows that the strip meets.
  __device__ __forceinline__ int seen_to() const {
    return kKeys ? static_cast<int>(layout_.length) : layout_.visible_keys(row_ + kStripRows - 1);
  }

  __device__ __forceinline__ void dot(float (&scores)[2][4], const StripOperand<kHeadDim>& held,
                                      const HeadTile<kHeadDim>& own, const HeadTile<kHeadDim>& other,
                                      int tile_row, bool half) const {
    if constexpr (kHeld) {
      dot_strip(scores, held, other, tile_row, half);
    } else {
      StripOperand<kHeadDim> operand;
      load_strip(operand, own, tile_row_);
      dot_strip(scores, operand, other, tile_row, half);
    }
  }

  __device__ __forceinline__ void step(const HeadTile<kHeadDim>& first, const HeadTile<kHeadDim>& second,
                                       const QueryStatistics& queries, int tile_row, int other) {
    const bool half = other + 8 >= seen_to();
    const bool masked =
        kKeys ? layout_.causal && other == row_ : other + kStripRows > layout_.visible_keys(row_);
    float p[2][4], ds[2][4];
    dot(p, first_operand_, first_, first, tile_row, half);
    dot(ds, second_operand_, second_, second, tile_row, half);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int own_row = i / 2 % 2 * 8 + lane() / 4, other_row = i / 4 * 8 + lane() % 4 * 2 + i % 2;
      const int query = kKeys ? tile_row + other_row : tile_row_ + own_row;
      float& probability = p[i / 4][i % 4];
      float& gradient = ds[i / 4][i % 4];
      probability = exp2_fast(fmaf(probability, layout_.exponent_scale, -queries.exponents[query]));
      gradient = probability * (gradient - queries.delta[query]);
      const bool hidden = kKeys ? row_ + own_row > other + other_row
                                : other + other_row >= layout_.visible_keys(row_ + own_row);
      if (masked && hidden) probability = gradient = 0.0f;
    }
    add_product(first_sums_, ds, first, tile_row);
    if constexpr (kKeys) add_product(second_sums_, p, second, tile_row);
  }

  const HeadLayout& layout_;
  const HeadTile<kHeadDim>& first_;
  const HeadTile<kHeadDim>& second_;
  StripOperand<kHeadDim> first_operand_, second_operand_;
  float first_sums_[kHeadDim / 8][4] = {};
  float second_sums_[kHeadDim / 8][4] = {};
  int row_, tile_row_;
};

}  // namespace cuclip
