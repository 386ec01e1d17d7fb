// From a tile of products I Tᵀ in registers to what the rows and the columns of the similarity matrix need of
// it: the maximum of their logits and the sum of exp(logit − maximum), each with a maximum of its own.
#pragma once

#include "kernels/common/exponential.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/contrastive_loss/contrastive_loss_tile.h"
#include "kernels/tiles/product.cuh"

namespace cuclip {

/// log of the sum of some exponentials, as max + log(sum). In memory it is PackedLogSum.
struct LogSum {
  float max;
  float sum;
};

/// One access of 8 bytes: nvcc takes accesses to structs of floats apart.
using PackedLogSum = uint64_t;
__device__ __forceinline__ PackedLogSum pack(const LogSum& s) {
  return static_cast<uint64_t>(__float_as_uint(s.sum)) << 32 | __float_as_uint(s.max);
}
__device__ __forceinline__ LogSum unpack(PackedLogSum s) {
  return {__uint_as_float(static_cast<uint32_t>(s)), __uint_as_float(static_cast<uint32_t>(s >> 32))};
}

/// The value for no exponentials at all. Its maximum is finite, so that the difference of two maxima is never
/// ∞ − ∞.
__device__ __forceinline__ LogSum empty_log_sum() { return {kLowestLogit, 0.0f}; }

/// A NaN among the logits shows in the sum, never in the maximum.
__device__ __forceinline__ LogSum merge(const LogSum& a, const LogSum& b) {
  const float max = fmaxf(a.max, b.max);
  return {max, fmaf(a.sum, exp_fast(a.max - max), b.sum * exp_fast(b.max - max))};
}

/// Rows' and columns' statistics of a tile, first of each warp's part of it, in shared memory.
template <RegisterSums Product>
requires SquareTile<Product>
class TileStatistics {
 public:
  static constexpr int kBytes = (Product::kRowWarps + Product::kColumnWarps) * kTile * sizeof(PackedLogSum);

  __device__ __forceinline__ explicit TileStatistics(void* shared)
      : rows_(static_cast<PackedLogSum*>(shared)), columns_(rows_ + Product::kRowWarps * kTile) {}

  /// Turns the product's sums into logits. Those outside the matrix will not count.
  static __device__ __forceinline__ void make_logits(Product& product, float scale, int rows, int columns) {
#pragma unroll
    for (int i = 0; i < Product::kThreadRows; ++i) {
#pragma unroll
      for (int j = 0; j < Product::kThreadColumns; ++j) {
        const bool inside = product.thread_row(i) < rows && product.thread_column(j) < columns;
        product.sum(i, j) = inside ? scale * product.sum(i, j) : -INFINITY;
      }
    }
  }

  /// Every thread of the block calls it; row() and column() may be called after a barrier.
  __device__ __forceinline__ void reduce(Product& product) const {
    constexpr int kRowLanes = Product::kRowLanes, kColumnLanes = kWarp / kRowLanes;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int i = 0; i < Product::kThreadRows; ++i) {
      LogSum s = empty_log_sum();
#pragma unroll
      for (int j = 0; j < Product::kThreadColumns; ++j) s.max = fmaxf(s.max, product.sum(i, j));
      s.max = warp_max<kRowLanes>(s.max);
#pragma unroll
      for (int j = 0; j < Product::kThreadColumns; ++j) s.sum += exp_fast(product.sum(i, j) - s.max);
      s.sum = warp_sum<kRowLanes>(s.sum);
      if (lane % kRowLanes == 0) rows_[place(product.row_warp(), product.thread_row(i))] = pack(s);
    }
#pragma unroll
    for (int j = 0; j < Product::kThreadColumns; ++j) {
      LogSum s = empty_log_sum();
#pragma unroll
      for (int i = 0; i < Product::kThreadRows; ++i) s.max = fmaxf(s.max, product.sum(i, j));
      s.max = warp_max<kColumnLanes, kRowLanes>(s.max);
#pragma unroll
      for (int i = 0; i < Product::kThreadRows; ++i) s.sum += exp_fast(product.sum(i, j) - s.max);
      s.sum = warp_sum<kColumnLanes, kRowLanes>(s.sum);
      if (lane < kRowLanes) columns_[place(product.column_warp(), product.thread_column(j))] = pack(s);
    }
  }

  __device__ __forceinline__ LogSum row(int i) const { return merged<Product::kRowWarps>(rows_, i); }
  __device__ __forceinline__ LogSum column(int j) const { return merged<Product::kColumnWarps>(columns_, j); }

 private:
  // Lanes write every fourth column of 64 (FFMA), or every second of 8 (mma): the exclusive or spreads the
  // former over all banks and leaves the latter as they are.
  static __device__ __forceinline__ int place(int warp, int at) {
    return warp * kTile + (at ^ (at / 16 % 4));
  }
  template <int kWarps>
  static __device__ __forceinline__ LogSum merged(const PackedLogSum* parts, int at) {
    LogSum s = unpack(parts[place(0, at)]);
    for (int warp = 1; warp < kWarps; ++warp) s = merge(s, unpack(parts[place(warp, at)]));
    return s;
  }

  PackedLogSum* rows_;
  PackedLogSum* columns_;
};

}  // namespace cuclip
