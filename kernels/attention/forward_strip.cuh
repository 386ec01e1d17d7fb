// Attention forward of a strip of queries by one warp: one or two tiles of 16 rows, with their queries, the
// online softmax and the sums of values all in registers (a tile has 16 + 16 + head_dim / 2 of them for head
// dimension 64). Lane (g, t) holds a tile's rows g and g + 8.
//
// Keys come 32 at a time where every query sees them, then 16 at a time, with those that a query does not see
// masked; the last 16 are 8 where no more are left. So the steps depend only on the shape, and the bits
// depend neither on how much of K and V was in shared memory at once nor on which rows make a strip.
#pragma once

#include "kernels/attention/attention_arguments.cuh"
#include "kernels/attention/square_rows.cuh"

namespace cuclip {

/// The rows of a strip: where it starts, and how many tiles it has.
struct StripRows {
  int first, tiles;
};

/// What a warp keeps of a strip with up to kTiles tiles. The callers give its rows each time: between the
/// strip's beginning and its end there are no registers for what can be found again.
template <int kHeadDim, int kTiles>
class ForwardStrip {
 public:
  __device__ __forceinline__ explicit ForwardStrip(const HeadLayout& layout) : layout_(layout) {}

  /// Loads the queries, whose rows are `stride` apart in the head's matrix, tile by tile through rows
  /// [stage_row, stage_row + 16) of `stage`, which are the warp's own.
  __device__ __forceinline__ void load_queries(StripRows rows, const bfloat16* queries,
                                               const HeadTile<kHeadDim>& stage, int stage_row) {
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      if (tile >= rows.tiles) break;
      const int row = rows.first + tile * kStripRows, stride = static_cast<int>(layout_.projection_stride());
      stage_strip(stage, stage_row, queries + row * layout_.projection_stride(), stride, length() - row);
      auto staged = SquareRows<kHeadDim>::of_queries(stage);
      staged.advance(stage_row);
#pragma unroll
      for (int square = 0; square < kHeadDim / 16; ++square) staged.load(q_[tile][square], 0, square);
    }
  }

  /// Takes in the keys [first, last), which are the first rows of k and v. `first` is a multiple of 32.
  __device__ __forceinline__ void attend(StripRows rows, const HeadTile<kHeadDim>& k,
                                         const HeadTile<kHeadDim>& v, int first, int last) {
    if (rows.tiles == kTiles) {
      attend<kTiles>(rows.first, k, v, first, last);
    } else if (rows.tiles > 0) {
      attend<1>(rows.first, k, v, first, last);
    }
  }

  /// Writes the results of the strip's queries below `length` as load_queries reads.
  __device__ __forceinline__ void finish(StripRows rows, const HeadTile<kHeadDim>& stage, int stage_row,
                                         bfloat16* out, float* lse) {
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      if (tile >= rows.tiles) break;
      float inverse[2], logs[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float sum = warp_sum<4>(state_[tile][half].sum);
        inverse[half] = 1.0f / sum;
        logs[half] = fmaf(state_[tile][half].exponent, kLn2, logf(sum));
      }
      const int row = rows.first + tile * kStripRows, left = length() - row;
      store_strip(sums_[tile], inverse, stage, stage_row, out + row * layout_.width,
                  static_cast<int>(layout_.width), left);
      // Lane (g, 0) writes row g and lane (g, 1) row g + 8: one store.
      const int lane = hidden(static_cast<int>(threadIdx.x) % kWarp), half = lane % 4,
                r = half * 8 + lane / 4;
      if (lse && half < 2 && r < left) lse[row + r] = half == 0 ? logs[0] : logs[1];
    }
  }

 private:
  static constexpr float kLn2 = 0.69314718055994531f;

  // Of a row. Probabilities are relative to 2^exponent, the largest so far.
  struct State {
    float exponent = -INFINITY;
    float sum = 0.0f;  // this lane's share
  };

  __device__ __forceinline__ int length() const { return static_cast<int>(layout_.length); }

  // Of a query. There is no causal mask over strips of more than one tile.
  __device__ __forceinline__ int visible_keys(int query) const {
    return kTiles == 1 ? layout_.visible_keys(query) : length();
  }

  template <int kActive>
  __device__ __forceinline__ void attend(int row, const HeadTile<kHeadDim>& k, const HeadTile<kHeadDim>& v,
                                         int first, int last) {
    auto keys = SquareRows<kHeadDim>::of_keys(k), values = SquareRows<kHeadDim>::of_values(v);
    const auto whole_steps = [&] { return max(0, min(last, visible_keys(row)) - first) / (2 * kStripRows); };
#pragma unroll 1
    for (int steps = whole_steps(); steps > 0; --steps) step<kActive, 2, false>(keys, values, row, 0);
    const int end = min(last, visible_keys(row + kActive * kStripRows - 1));
#pragma unroll 1
    for (int key = first + 2 * kStripRows * whole_steps(); key < end; key += kStripRows) {
      step<kActive, 1, true>(keys, values, row, key);
    }
  }

  // The next 16 kSquares keys, of which the first is `key` where that matters, for a mask.
  template <int kActive, int kSquares, bool kMasked>
  __device__ __forceinline__ void step(SquareRows<kHeadDim>& keys, SquareRows<kHeadDim>& values, int row,
                                       int key) {
    float scores[kActive][kSquares][2][4] = {};
    const bool half = kMasked && key + 8 >= visible_keys(row + kActive * kStripRows - 1);
#pragma unroll
    for (int i = 0; i < kSquares; ++i) {
#pragma unroll
      for (int square = 0; square < kHeadDim / 16; ++square) {
        uint32_t r[4];
        keys.load(r, i * kStripRows, square);
#pragma unroll
        for (int tile = 0; tile < kActive; ++tile) {
          mma_bf16(scores[tile][i][0], q_[tile][square], {r[0], r[1]});
          if (!half) mma_bf16(scores[tile][i][1], q_[tile][square], {r[2], r[3]});
        }
      }
    }
    keys.advance(kSquares * kStripRows);
#pragma unroll
    for (int tile = 0; tile < kActive; ++tile) {
      if constexpr (kMasked) mask(scores[tile][0], row + tile * kStripRows, key);
#pragma unroll
      for (int half_tile = 0; half_tile < 2; ++half_tile) to_probabilities(scores[tile], tile, half_tile);
    }
#pragma unroll
    for (int i = 0; i < kSquares; ++i) {
      uint32_t p[kActive][4];
#pragma unroll
      for (int j = 0; j < 4 * kActive; ++j) {
        const float(&pair)[4] = scores[j / 4][i][j / 2 % 2];
        p[j / 4][j % 4] = pack_bf16(pair[j % 2 * 2], pair[j % 2 * 2 + 1]);
      }
#pragma unroll
      for (int square = 0; square < kHeadDim / 16; ++square) {
        uint32_t r[4];
        values.load_transposed(r, i * kStripRows, square);
#pragma unroll
        for (int tile = 0; tile < kActive; ++tile) {
          mma_bf16(sums_[tile][2 * square], p[tile], {r[0], r[1]});
          mma_bf16(sums_[tile][2 * square + 1], p[tile], {r[2], r[3]});
        }
      }
    }
    values.advance(kSquares * kStripRows);
  }

  // Of the tile whose first query is `row`.
  __device__ __forceinline__ void mask(float (&scores)[2][4], int row, int key) const {
    const int lane = hidden(static_cast<int>(threadIdx.x) % kWarp);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int column = key + i / 4 * 8 + lane % 4 * 2 + i % 2;
      if (column >= visible_keys(row + i / 2 % 2 * 8 + lane / 4)) scores[i / 4][i % 4] = -INFINITY;
    }
  }

  // Scores -> probabilities, of rows g (half 0) or g + 8 (half 1) of a tile. fmaxf drops a NaN, which may not
  // become the maximum; but its own probability is NaN, and so is the sum.
  template <int kSquares>
  __device__ __forceinline__ void to_probabilities(float (&scores)[kSquares][2][4], int tile, int half) {
    State& state = state_[tile][half];
    float max = scores[0][0][2 * half];
#pragma unroll
    for (int i = 1; i < 4 * kSquares; ++i) max = fmaxf(max, scores[i / 4][i / 2 % 2][2 * half + i % 2]);
    max = fmaxf(max, __shfl_xor_sync(kAllLanes, max, 2));
    max = fmaxf(max, __shfl_xor_sync(kAllLanes, max, 1));
    const float exponent = fmaxf(state.exponent, max * layout_.exponent_scale);
    const float factor = exp2_fast(state.exponent - exponent);
    state.exponent = exponent;
    state.sum *= factor;
#pragma unroll
    for (int chunk = 0; chunk < kHeadDim / 8; ++chunk) {
      sums_[tile][chunk][2 * half] *= factor;
      sums_[tile][chunk][2 * half + 1] *= factor;
    }
#pragma unroll
    for (int i = 0; i < 4 * kSquares; ++i) {
      float& score = scores[i / 4][i / 2 % 2][2 * half + i % 2];
      score = exp2_fast(fmaf(score, layout_.exponent_scale, -exponent));
      state.sum += score;
    }
  }

  const HeadLayout& layout_;
  StripOperand<kHeadDim> q_[kTiles];
  float sums_[kTiles][kHeadDim / 8][4] = {};
  State state_[kTiles][2];
};

}  // namespace cuclip
