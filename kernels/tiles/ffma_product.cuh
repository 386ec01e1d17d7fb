// A block's tile of a product in f32, on the ordinary pipes: tensor cores would round f32 to tf32.
//
// Threads: 32 rows of 16, each with 4 x 8 sums: rows 4y .. 4y+3, columns 4x .. 4x+3 and 64 more, so that
// operands come in 16-byte reads without bank conflicts. Shared memory: [reduction][outer], element by
// element from global memory (cp.async of 4 bytes), so that any stride and alignment will do.
#pragma once

#include "kernels/common/vec.cuh"
#include "kernels/tiles/product.cuh"

namespace cuclip {

template <Along kAlongA, Along kAlongB, bool kVectorOutputs, bool kRowSums>
class FfmaProduct {
 public:
  using Input = float;
  static constexpr bool kVectors = kVectorOutputs;
  static constexpr int kThreads = Tuning::FfmaProduct::kThreads;
  static constexpr int kBlocks = Tuning::FfmaProduct::kBlocks;
  static constexpr int kParts = 2;  // the halves of the columns
  template <int kSize>
  static constexpr int kPasses = 4;  // rows per thread

  __device__ __forceinline__ FfmaProduct(const Operand<float>& a, const Operand<float>& b,
                                         const TilePlace& at, int64_t reduction, bool sums_rows, void* shared)
      : a_(a, at.row, reduction),
        b_(b, at.column, reduction),
        shared_(static_cast<float*>(shared)),
        x_(static_cast<int>(threadIdx.x) % 16),
        y_(static_cast<int>(threadIdx.x) / 16),
        sums_rows_(sums_rows) {}

  __device__ __forceinline__ void load(int step, int stage) const {
    load_a(step, stage);
    load_b(step, stage);
  }
  __device__ __forceinline__ void load_a(int step, int stage) const {
    load_operand(a_, step, tile(stage, 0));
  }
  __device__ __forceinline__ void load_b(int step, int stage) const {
    load_operand(b_, step, tile(stage, 1));
  }

  __device__ __forceinline__ void multiply(int stage) {
    const float *a_tile = tile(stage, 0), *b_tile = tile(stage, 1);
#pragma unroll
    for (int k = 0; k < kStep<float>; ++k) {
      float a[4], b[kParts][4];
      unpack(load_vec(a_tile + element(k, y_ * 4)), a);
#pragma unroll
      for (int h = 0; h < kParts; ++h) unpack(load_vec(b_tile + element(k, x_ * 4 + h * 64)), b[h]);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          float& sum = sums_[j / 4][i][j % 4];
          sum = fmaf(a[i], b[j / 4][j % 4], sum);
        }
        if constexpr (kRowSums) {
          if (sums_rows_) row_sums_[i] += a[i];
        }
      }
    }
  }

  /// The sums, one half after the other. A half's passes are read in order: its registers
  /// move up, since registers cannot be indexed where a loop over passes is not unrolled.
  __device__ __forceinline__ void stage(int part) {
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
#pragma unroll
      for (int i = 0; i < 16; ++i) {
        if (p == part) staged_[i / 4][i % 4] = sums_[p][i / 4][i % 4];
      }
    }
  }
  __device__ __forceinline__ void read(int, float (&v)[4]) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      v[j] = staged_[0][j];
#pragma unroll
      for (int i = 1; i < 4; ++i) staged_[i - 1][j] = staged_[i][j];
    }
  }
  template <int kSize>
  __device__ __forceinline__ int row(int, int pass) const {
    return y_ * 4 + pass;
  }
  template <int kSize>
  __device__ __forceinline__ int column(int part) const {
    return part * 64 + x_ * 4;
  }

  static constexpr int kThreadRows = 4, kThreadColumns = 8, kRowLanes = 16, kRowWarps = 1, kColumnWarps = 16;
  static constexpr bool kMmaSums = false;
  __device__ __forceinline__ float& sum(int i, int j) { return sums_[j / 4][i][j % 4]; }
  __device__ __forceinline__ int thread_row(int i) const { return y_ * 4 + i; }
  __device__ __forceinline__ int thread_column(int j) const { return j / 4 * 64 + x_ * 4 + j % 4; }
  __device__ __forceinline__ int row_warp() const { return 0; }
  __device__ __forceinline__ int column_warp() const { return y_ / 2; }

  template <typename Body>
  __device__ __forceinline__ void for_row_sums(Body&& body) const {
    if (!sums_rows_ || x_ != 0) return;
#pragma unroll
    for (int i = 0; i < 4; ++i) body(y_ * 4 + i, row_sums_[i]);
  }

 protected:
  __device__ __forceinline__ float* tile(int stage, int operand) const {
    return shared_ + (stage * kStageBytes + operand * kOperandBytes) / static_cast<int>(sizeof(float));
  }

  // Chunks of four are swizzled by k, so that writes along the reduction are free of conflicts too.
  static __device__ __forceinline__ int element(int k, int outer) {
    return k * kTile + ((outer / 4) ^ (k & 7)) * 4 + outer % 4;
  }

 private:
  template <Along kAlong>
  static __device__ __forceinline__ void load_operand(const TileSource<float, kAlong>& from, int step,
                                                      float* tile) {
    const float* data = from.step_data(step);
    const int reduction = from.step_reduction(step);
#pragma unroll
    for (int i = 0; i < kTile * kStep<float> / kThreads; ++i) {
      const unsigned e = threadIdx.x + i * kThreads;
      // Along the reduction a warp reads 32 bytes of four lines, which it writes to 32 banks.
      const int k = static_cast<int>(kAlong == Along::reduction ? e % 8 + e / (8 * kTile) * 8 : e / kTile);
      const int outer = static_cast<int>(kAlong == Along::reduction ? e / 8 % kTile : e % kTile);
      const bool inside = k < reduction && outer < from.outer;
      const int64_t offset = kAlong == Along::reduction ? outer * from.stride + k : k * from.stride + outer;
      async_copy_4_zero_fill(tile + element(k, outer), inside ? data + offset : from.data, inside ? 4 : 0);
    }
  }

  TileSource<float, kAlongA> a_;
  TileSource<float, kAlongB> b_;
  float* shared_;
  int x_, y_;
  bool sums_rows_;
  float sums_[kParts][4][4] = {};
  float staged_[4][4];
  float row_sums_[4] = {};
};

}  // namespace cuclip
