// A block's tile of a product in f32, on the ordinary pipes: tensor cores would round f32 to tf32.
//
// Threads: 32 rows of 16, each with 4 x 8 sums: rows 4y .. 4y+3, columns 4x .. 4x+3 and 64 more, so that
// operands come in 16-byte reads without bank conflicts. Shared memory: [reduction][outer], element by
// element from global memory (cp.async of 4 bytes), so that any stride and alignment will do.
#pragma once

#include "kernels/common/vec.cuh"
#include "kernels/tiles/product.cuh"

namespace cuclip {

/// A thread's copies of an operand's tiles into shared memory, element by element, by kThreads threads.
template <Along kAlong, int kThreads>
class ElementCopies {
 public:
  __device__ __forceinline__ ElementCopies(const Operand<float>& m, int64_t first, int64_t reduction)
      : stride_(m.stride) {
    const TileSource<float, kAlong> from(m, first, reduction);
    const int thread = static_cast<int>(threadIdx.x);
    if constexpr (kAlong == Along::reduction) {
      // A warp reads 32 bytes of four lines, which it writes to 32 banks.
      const int k = thread % kRun, line = thread / kRun;
      data_ = from.data + line * stride_ + k;
      target_ = place(k, line);
      lines_ = from.outer - line;
#pragma unroll
      for (int i = 0; i < kRuns; ++i) steps_[i] = steps_of<float>(max(reduction - k - i * kRun, int64_t{0}));
    } else {
      const int k = thread / kTile, outer = thread % kTile;
      const bool inside = outer < from.outer;
      data_ = from.data + k * stride_ + outer;
      target_ = place(k, outer);
      lines_ = inside ? static_cast<int>(reduction % kStep<float>) - k : 0;
      steps_[0] = inside ? static_cast<int>(reduction / kStep<float>) : 0;
    }
  }

  /// Where an element lies in a tile, in bytes. Chunks of four are swizzled by k, so that writes along the
  /// reduction are free of conflicts too.
  static __device__ __forceinline__ int place(int k, int outer) {
    return (k * kTile + ((outer / 4) ^ (k & 7)) * 4 + outer % 4) * static_cast<int>(sizeof(float));
  }

  /// Starts those of a step's tile.
  __device__ __forceinline__ void start(int step, uint32_t tile) const {
    const uint32_t to = tile + target_;
    const int64_t k = static_cast<int64_t>(step) * kStep<float>;
    const float* first = data_ + (kAlong == Along::reduction ? k : k * stride_);
    asm("" : "+l"(first));  // else nvcc adds all strides to all steps in 64 bits
    if constexpr (kAlong == Along::reduction) {
#pragma unroll
      for (int i = 0; i < kRuns; ++i) {
#pragma unroll
        for (int line = 0; line < kTile; line += kThreads / kRun) {
          async_copy_4(to + place(i * kRun, line), first + line * stride_ + i * kRun,
                       step < steps_[i] && line < lines_);
        }
      }
    } else {
      const int lines = step < steps_[0] ? kStep<float> : lines_;
#pragma unroll
      for (int k = 0; k < kStep<float>; k += kThreads / kTile) {
        async_copy_4((to ^ place(k % 8, 0) % (kTile * 4)) + k * (kTile * 4), first + k * stride_, k < lines);
      }
    }
  }

 private:
  static constexpr int kRun = 8;  // neighbours along the reduction that a warp copies together
  static constexpr int kRuns = kAlong == Along::reduction ? kStep<float> / kRun : 1;

  const float* data_;  // the thread's first element of the first step
  int64_t stride_;
  uint32_t target_;   // where it goes in a tile
  int steps_[kRuns];  // along the reduction: those that have the thread's element of each run; else those
                      // that have all lines
  int lines_;         // inside, of the thread's first and those that follow it; else in the step after those
};

template <Along kAlongA, Along kAlongB, bool kVectorOutputs, bool kRowSums>
class FfmaProduct {
 public:
  using Input = float;
  static constexpr bool kVectors = kVectorOutputs;
  static constexpr int kThreads = Tuning::FfmaProduct::kThreads;
  static constexpr int kBlocks = Tuning::FfmaProduct::kBlocks;
  static constexpr int kRows = kTile, kColumns = kTile;
  static constexpr int kStages = cuclip::kStages, kPipelineBytes = cuclip::kPipelineBytes;
  static constexpr int kParts = 2;  // the halves of the columns
  template <int kSize>
  static constexpr int kPasses = 4;  // rows per thread

  __device__ __forceinline__ FfmaProduct(const Operand<float>& a, const Operand<float>& b,
                                         const TilePlace& at, int64_t reduction, bool sums_rows, void* shared)
      : a_(a, at.row, reduction),
        b_(b, at.column, reduction),
        shared_(static_cast<float*>(shared)),
        shared_address_(shared_address(shared)),
        x_(static_cast<int>(threadIdx.x) % 16),
        y_(static_cast<int>(threadIdx.x) / 16),
        sums_rows_(sums_rows) {
    asm("" : "+r"(shared_address_));  // kept in a register, as in TensorCoreProduct
  }

  __device__ __forceinline__ void load(int step, int stage) const {
    load_a(step, stage);
    load_b(step, stage);
  }
  __device__ __forceinline__ void load_a(int step, int stage) const { a_.start(step, address(stage, 0)); }
  __device__ __forceinline__ void load_b(int step, int stage) const { b_.start(step, address(stage, 1)); }

  __device__ __forceinline__ void multiply(int stage) {
    const uint32_t a_at = address(stage, 0) + y_ * kVecBytes, b_at = address(stage, 1) + x_ * kVecBytes;
#pragma unroll
    for (int k = 0; k < kStep<float>; ++k) {
      const int swizzle = k % 8 * kVecBytes, line = k * kTile * static_cast<int>(sizeof(float));
      float a[4], b[kParts][4];
      unpack(load_shared_vec<float>((a_at ^ swizzle) + line), a);
#pragma unroll
      for (int h = 0; h < kParts; ++h)
        unpack(load_shared_vec<float>((b_at ^ swizzle) + line + h * 256), b[h]);
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

  static __device__ __forceinline__ int element(int k, int outer) {
    return Copies<Along::outer>::place(k, outer) / static_cast<int>(sizeof(float));
  }

 private:
  template <Along kAlong>
  using Copies = ElementCopies<kAlong, kThreads>;

  __device__ __forceinline__ uint32_t address(int stage, int operand) const {
    return shared_address_ + stage * kStageBytes + operand * kOperandBytes;
  }

  Copies<kAlongA> a_;
  Copies<kAlongB> b_;
  float* shared_;
  uint32_t shared_address_;
  int x_, y_;
  bool sums_rows_;
  float sums_[kParts][4][4] = {};
  float staged_[4][4];
  float row_sums_[4] = {};
};

struct FfmaProducts {
  using Input = float;
  template <Along kAlongA, Along kAlongB, bool kVectors, bool kRowSums>
  using Product = FfmaProduct<kAlongA, kAlongB, kVectors, kRowSums>;
};

}  // namespace cuclip
