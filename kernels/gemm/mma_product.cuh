// A block's tile of a product in bf16 on tensor cores (mma.sync), sums in f32.
//
// Threads: four warps, each with 64 x 64 sums in registers: a step of 16 of the reduction takes 8 ldmatrix
// for 32 mma. Shared memory: lines of 16-byte chunks as they lie in global memory, swizzled; where the
// reduction is not along the lines, ldmatrix transposes. At the end the sums pass through shared memory, 16
// rows at a time, from mma's layout to rows that are stored in 16-byte vectors; that is a warp's own
// business, without barriers.
#pragma once

#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/vec.cuh"
#include "kernels/gemm/gemm_tile.cuh"

namespace cuclip {

/// One operand: from global memory to a stage, and from there to mma's fragments.
template <Along kAlong, bool kVectors, int kThreads>
class MmaOperand {
 public:
  __device__ __forceinline__ MmaOperand(const Operand<bfloat16>& m, int64_t first, int64_t reduction,
                                        int warp_outer)
      : from_(m, first, reduction) {
    // Rows and columns of ldmatrix' four matrices, in the order of mma's A.
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    if constexpr (kAlong == Along::reduction) {
      first_chunk_ = swizzle<kChunks>(warp_outer + lane % 16, lane / 16);
    } else {
      first_chunk_ = swizzle<kChunks>(lane / 16 * 8 + lane % 8, warp_outer / 8 + lane / 8 % 2);
    }
  }

  /// Starts the copies of a step's tile. Without vectors it is read element by element and written at once.
  __device__ __forceinline__ void load(int step, Vec<bfloat16>* tile) const {
    const bfloat16* data = from_.step_data(step);
    const int reduction = from_.step_reduction(step);
    const int lines = kAlong == Along::reduction ? from_.outer : reduction;
    const int width = kAlong == Along::reduction ? reduction : from_.outer;
    const int chunk = static_cast<int>(threadIdx.x) % kChunks;
    const int count = min(max(width - chunk * 8, 0), 8);
#pragma unroll
    for (int i = 0; i < kLines * kChunks / kThreads; ++i) {
      const int line = static_cast<int>(threadIdx.x) / kChunks + i * (kThreads / kChunks);
      const int n = line < lines ? count : 0;
      const bfloat16* source = n > 0 ? data + line * from_.stride + chunk * 8 : from_.data;
      Vec<bfloat16>* target = tile + swizzle<kChunks>(line, chunk);
      if constexpr (kVectors) {
        async_copy_16_zero_fill(target, source, n * static_cast<int>(sizeof(bfloat16)));
      } else {
        *target = load_first<false>(source, n);
      }
    }
  }

  /// Rows 16 i .. 16 i + 15 of the warp's, reduction 16 half .. 16 half + 15. The swizzle is an exclusive or
  /// with bits of the line, so that other fragments' chunks follow from the first one's.
  __device__ __forceinline__ void fragment(uint32_t (&r)[4], const Vec<bfloat16>* tile, int i,
                                           int half) const {
    if constexpr (kAlong == Along::reduction) {
      ldmatrix_x4(r, tile + (first_chunk_ ^ (2 * half)) + 16 * kChunks * i);
    } else {
      ldmatrix_x4_trans(r, tile + (first_chunk_ ^ (2 * i)) + 16 * kChunks * half);
    }
  }

 private:
  static constexpr int kLines = kAlong == Along::reduction ? kTile : kStep<bfloat16>;
  static constexpr int kChunks = (kAlong == Along::reduction ? kStep<bfloat16> : kTile) / 8;

  TileSource<bfloat16, kAlong> from_;
  int first_chunk_;  // of the lane, for fragment 0 of half 0
};

template <Along kAlongA, Along kAlongB, bool kVectorAccess, bool kRowSums>
class MmaProduct {
 public:
  using Input = bfloat16;
  static constexpr bool kVectors = kVectorAccess;
  static constexpr int kThreads = 128;
  static constexpr int kBlocks = 2;  // of a multiprocessor
  static constexpr int kParts = 4;   // 16 of the warp's rows each
  template <int kSize>
  static constexpr int kPasses = 16 * 64 / (kSize * kWarp);

  __device__ __forceinline__ MmaProduct(const Operand<bfloat16>& a, const Operand<bfloat16>& b,
                                        const TilePlace& at, int64_t reduction, bool sums_rows, void* shared)
      : warp_row_(static_cast<int>(threadIdx.x) / (2 * kWarp) * 64),
        warp_column_(static_cast<int>(threadIdx.x) / kWarp % 2 * 64),
        lane_(static_cast<int>(threadIdx.x) % kWarp),
        sums_rows_(sums_rows && warp_column_ == 0),
        shared_(static_cast<Vec<bfloat16>*>(shared)),
        a_(a, at.row, reduction, warp_row_),
        b_(b, at.column, reduction, warp_column_) {}

  __device__ __forceinline__ void load(int step, int stage) const {
    load_a(step, stage);
    load_b(step, stage);
  }
  __device__ __forceinline__ void load_a(int step, int stage) const { a_.load(step, tile(stage, 0)); }
  __device__ __forceinline__ void load_b(int step, int stage) const { b_.load(step, tile(stage, 1)); }

  __device__ __forceinline__ void multiply(int stage) {
    const Vec<bfloat16>*a_tile = tile(stage, 0), *b_tile = tile(stage, 1);
#pragma unroll
    for (int half = 0; half < kStep<bfloat16> / 16; ++half) {
      uint32_t a[4][4], b[4][4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        a_.fragment(a[i], a_tile, i, half);
        b_.fragment(b[i], b_tile, i, half);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          const uint32_t b_pair[] = {b[j / 2][j % 2], b[j / 2][j % 2 + 2]};
          mma_bf16(sums_[i][j], a[i], b_pair);
        }
        if constexpr (kRowSums) {
          constexpr uint32_t kOnes = 0x3f803f80;
          const uint32_t ones[] = {kOnes, kOnes};
          if (sums_rows_) mma_bf16(row_sums_[i], a[i], ones);
        }
      }
    }
  }

  /// Brings 16 rows of sums to shared memory; read() then gives the lane's vectors of them, kSize neighbours
  /// of rows row(part, pass) at column(part), in the tile.
  __device__ __forceinline__ void stage(int part) {
    __syncwarp();  // the part before has been read
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      if (i != part) continue;
#pragma unroll
      for (int j = 0; j < 8; ++j) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          float* to = staged(lane_ / 4 + 8 * h, j * 2 + lane_ % 4 / 2) + lane_ % 2 * 2;
          store_shared_pair(to, sums_[i][j][2 * h], sums_[i][j][2 * h + 1]);
        }
      }
    }
    __syncwarp();
  }
  template <int kSize>
  __device__ __forceinline__ void read(int pass, float (&v)[kSize]) const {
#pragma unroll
    for (int q = 0; q < kSize; q += 4) {
      float four[4];
      unpack(load_vec(staged(pass_row<kSize>(pass), lane_column<kSize>() / 4 + q / 4)), four);
#pragma unroll
      for (int j = 0; j < 4; ++j) v[q + j] = four[j];
    }
  }
  template <int kSize>
  __device__ __forceinline__ int row(int part, int pass) const {
    return warp_row_ + part * 16 + pass_row<kSize>(pass);
  }
  template <int kSize>
  __device__ __forceinline__ int column(int) const {
    return warp_column_ + lane_column<kSize>();
  }

  /// The sums in registers: see gemm_tile.cuh.
  static constexpr int kThreadRows = 8, kThreadColumns = 16, kRowLanes = 4, kRowWarps = 2, kColumnWarps = 2;
  __device__ __forceinline__ float& sum(int i, int j) { return sums_[i / 2][j / 2][i % 2 * 2 + j % 2]; }
  __device__ __forceinline__ int thread_row(int i) const { return warp_row_ + i * 8 + lane_ / 4; }
  __device__ __forceinline__ int thread_column(int j) const {
    return warp_column_ + j / 2 * 8 + lane_ % 4 * 2 + j % 2;
  }
  __device__ __forceinline__ int row_warp() const { return warp_column_ / 64; }
  __device__ __forceinline__ int column_warp() const { return warp_row_ / 64; }

  /// Calls body(row of the tile, sum of A's row) where this thread has one. They are products with ones:
  /// every column is the same.
  template <typename Body>
  __device__ __forceinline__ void for_row_sums(Body&& body) const {
    if (!sums_rows_ || lane_ % 4 != 0) return;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      body(warp_row_ + 16 * i + lane_ / 4, row_sums_[i][0]);
      body(warp_row_ + 16 * i + lane_ / 4 + 8, row_sums_[i][2]);
    }
  }

 protected:
  __device__ __forceinline__ Vec<bfloat16>* tile(int stage, int operand) const {
    return shared_ + (stage * kStageBytes + operand * kOperandBytes) / kVecBytes;
  }

 private:
  // Chunk (of 4 floats) of a row of the warp's 16 x 64 staged sums. Half a warp writes two chunks of four
  // rows at once: the row's bits keep them apart. Eight lanes read all chunks of one row, or every second
  // one: the chunk's upper bit keeps those apart.
  __device__ __forceinline__ float* staged(int row, int chunk) const {
    float* warp_sums = reinterpret_cast<float*>(shared_) + (warp_row_ / 32 + warp_column_ / 64) * (16 * 64);
    return warp_sums + (row * 16 + (chunk ^ (chunk >> 3) ^ ((row & 3) * 2))) * 4;
  }
  template <int kSize>
  __device__ __forceinline__ int pass_row(int pass) const {
    return (pass * kWarp + lane_) / (64 / kSize);
  }
  template <int kSize>
  __device__ __forceinline__ int lane_column() const {
    return lane_ % (64 / kSize) * kSize;
  }

  int warp_row_, warp_column_, lane_;
  bool sums_rows_;
  Vec<bfloat16>* shared_;
  MmaOperand<kAlongA, kVectors, kThreads> a_;
  MmaOperand<kAlongB, kVectors, kThreads> b_;
  float sums_[4][8][4] = {};  // of 16 x 8 elements each
  float row_sums_[4][4] = {};
};

}  // namespace cuclip
