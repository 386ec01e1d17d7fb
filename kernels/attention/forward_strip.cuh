// Attention forward of 16 queries by one warp: the strip's queries, the online softmax and the sums of
// values, all in registers (16 + 8 + head_dim / 2 of them for head dimension 64). Lane (g, t) holds rows g
// and g + 8.
//
// Keys come 32 at a time where every query sees them, then 16 at a time, with those that a query does not see
// masked; the last 16 are 8 where no more are left. So the steps depend only on the shape, and the bits do
// not depend on how much of K and V was in shared memory at once.
#pragma once

#include "kernels/attention/attention_arguments.cuh"
#include "kernels/attention/head_tile.cuh"

namespace cuclip {

template <int kHeadDim>
class ForwardStrip {
 public:
  /// The strip of queries that starts at `row`; they are rows [tile_row, tile_row + 16) of `q`.
  __device__ __forceinline__ ForwardStrip(const HeadLayout& layout, int row, const HeadTile<kHeadDim>& q,
                                          int tile_row)
      : layout_(layout), row_(row) {
    load_strip(q_, q, tile_row);
  }

  /// Takes in the keys [first, last), which are the first rows of k and v. `first` is a multiple of 32.
  __device__ __forceinline__ void attend(const HeadTile<kHeadDim>& k, const HeadTile<kHeadDim>& v, int first,
                                         int last) {
    int key = first;
    for (; key + 2 * kStripRows <= min(last, layout_.visible_keys(row_)); key += 2 * kStripRows) {
      step<2, false>(k, v, key - first, key);
    }
    for (; key < min(last, layout_.visible_keys(row_ + kStripRows - 1)); key += kStripRows) {
      step<1, true>(k, v, key - first, key);
    }
  }

  /// Writes the results of the strip's queries below `length`; `stage` are the warp's own rows.
  __device__ __forceinline__ void finish(const HeadTile<kHeadDim>& stage, int stage_row, bfloat16* out,
                                         float* lse) {
    float inverse[2], logs[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = warp_sum<4>(sum_[half]);
      inverse[half] = 1.0f / sum;
      logs[half] = fmaf(max_[half], layout_.scale, logf(sum));
    }
    const int left = static_cast<int>(layout_.length) - row_;
    store_strip(sums_, inverse, stage, stage_row, out + row_ * layout_.width, static_cast<int>(layout_.width),
                left);
    // Lane (g, 0) writes row g and lane (g, 1) row g + 8: one store.
    const int half = lane() % 4, r = half * 8 + lane() / 4;
    if (lse && half < 2 && r < left) lse[row_ + r] = half == 0 ? logs[0] : logs[1];
  }

 private:
  __device__ __forceinline__ static int lane() { return static_cast<int>(threadIdx.x) % kWarp; }

  // 16 kSquares keys starting at `key`, in rows starting at `tile_row`.
  template <int kSquares, bool kMasked>
  __device__ __forceinline__ void step(const HeadTile<kHeadDim>& k, const HeadTile<kHeadDim>& v, int tile_row,
                                       int key) {
    float scores[kSquares][2][4];
#pragma unroll
    for (int i = 0; i < kSquares; ++i) {
      const bool half = kMasked && key + 8 >= layout_.visible_keys(row_ + kStripRows - 1);
      dot_strip(scores[i], q_, k, tile_row + i * kStripRows, half);
      if constexpr (kMasked) mask(scores[i], key);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) to_probabilities(scores, half);
#pragma unroll
    for (int i = 0; i < kSquares; ++i) add_product(sums_, scores[i], v, tile_row + i * kStripRows);
  }

  __device__ __forceinline__ void mask(float (&scores)[2][4], int key) const {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int column = key + i / 4 * 8 + lane() % 4 * 2 + i % 2;
      if (column >= layout_.visible_keys(row_ + i / 2 % 2 * 8 + lane() / 4)) scores[i / 4][i % 4] = -INFINITY;
    }
  }

  // Scores -> probabilities relative to the maximum so far, of rows g (half 0) or g + 8 (half 1). A NaN may
  // not become the maximum, but its own probability is NaN, and so is the sum.
  template <int kSquares>
  __device__ __forceinline__ void to_probabilities(float (&scores)[kSquares][2][4], int half) {
    float max = -INFINITY;
#pragma unroll
    for (int i = 0; i < 4 * kSquares; ++i) max = fmaxf(max, scores[i / 4][i / 2 % 2][2 * half + i % 2]);
    max = fmaxf(max_[half], warp_max<4>(max));
    const float factor = exp2_fast((max_[half] - max) * layout_.exponent_scale);
    const float offset = max * layout_.exponent_scale;
    max_[half] = max;
    sum_[half] *= factor;
#pragma unroll
    for (int chunk = 0; chunk < kHeadDim / 8; ++chunk) {
      sums_[chunk][2 * half] *= factor;
      sums_[chunk][2 * half + 1] *= factor;
    }
#pragma unroll
    for (int i = 0; i < 4 * kSquares; ++i) {
      float& score = scores[i / 4][i / 2 % 2][2 * half + i % 2];
      score = exp2_fast(fmaf(score, layout_.exponent_scale, -offset));
      sum_[half] += score;
    }
  }

  const HeadLayout& layout_;
  StripOperand<kHeadDim> q_;
  float sums_[kHeadDim / 8][4] = {};
  float max_[2] = {-INFINITY, -INFINITY};
  float sum_[2] = {};  // this lane's share
  int row_;
};

}  // namespace cuclip
