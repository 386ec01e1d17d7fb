// What the tile products in bf16 and tf32 (mma_product.cuh) and f32 (ffma_product.cuh) share: how operands
// lie in memory, which block takes which tile, and the pipeline that brings tiles into shared memory.
//
// A block computes kTile x kTile elements of c = A B with a loop over the reduction in steps of kStep
// elements. Each step's tiles of A and B are a stage in shared memory; kStages - 1 of them are under way
// while one is multiplied.
//
// A product keeps the tile's sums in registers, kThreadRows x kThreadColumns a thread: sum(i, j) is that of
// row thread_row(i) and column thread_column(j) of the tile. A row is shared by kRowLanes lanes that follow
// one another and by the same lanes of kRowWarps warps, of which the thread's is number row_warp(); a column
// by the lanes of a warp that are kRowLanes apart and by kColumnWarps warps.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/exec_context.h"
#include "kernels/common/vec.cuh"

namespace cuclip {

inline constexpr int kTile = 128;
// 48 KB of shared memory: two blocks on a multiprocessor also where it has 100 KB (sm_86, sm_89, sm_120).
inline constexpr int kStages = 3;
inline constexpr int kOperandBytes = 8192;  // of one operand in one stage
inline constexpr int kStageBytes = 2 * kOperandBytes;
inline constexpr int kPipelineBytes = kStages * kStageBytes;

/// Elements of the reduction in one step: 32 of bf16, 16 of f32.
template <typename T>
inline constexpr int kStep = kOperandBytes / (kTile * static_cast<int>(sizeof(T)));

template <typename T>
__device__ __forceinline__ int steps_of(int64_t reduction) {
  return static_cast<int>((reduction + kStep<T> - 1) / kStep<T>);
}

/// Neighbours in an operand's memory are neighbours along the reduction (A as [M, K], B as [N, K]), or along
/// the operand's own side of c (A as [K, M], B as [K, N]).
enum class Along : uint8_t { reduction, outer };

/// One operand: `stride` elements separate its lines, and `outer` is its extent along c.
template <typename T>
struct Operand {
  const T* data;
  int64_t stride;
  int64_t outer;
};

/// Whether 16-byte accesses fit all of an operand's lines.
template <typename T>
bool vector_lines(const Operand<T>& m) {
  return m.stride % Vec<T>::kSize == 0 && aligned_to(kVecBytes, m.data);
}

/// The part of an operand that a block needs: kTile of its outer extent, the whole reduction.
template <typename T, Along kAlong>
struct TileSource {
  const T* data;
  int64_t stride;
  int64_t reduction;
  int outer;  // how much of the tile is inside the matrix

  __device__ __forceinline__ TileSource(const Operand<T>& m, int64_t first, int64_t reduction)
      : data(m.data + (kAlong == Along::outer ? first : first * m.stride)),
        stride(m.stride),
        reduction(reduction),
        outer(static_cast<int>(max(min(m.outer - first, int64_t{kTile}), int64_t{0}))) {}

  /// Where a step's elements begin, and how many of the reduction it has.
  __device__ __forceinline__ const T* step_data(int step) const {
    const int64_t k = static_cast<int64_t>(step) * kStep<T>;
    return data + (kAlong == Along::outer ? k * stride : k);
  }
  __device__ __forceinline__ int step_reduction(int step) const {
    return static_cast<int>(min(reduction - static_cast<int64_t>(step) * kStep<T>, int64_t{kStep<T>}));
  }
};

/// Calls body(std::type_identity<Product<kA, kB, vectors, kRowSums>>()): the kernel of a product is compiled
/// for operands that 16-byte accesses fit, and for others. Host code.
template <template <Along, Along, bool, bool> typename Product, Along kA, Along kB, bool kRowSums,
          typename Body>
void with_product(bool vectors, Body&& body) {
  vectors ? body(std::type_identity<Product<kA, kB, true, kRowSums>>())
          : body(std::type_identity<Product<kA, kB, false, kRowSums>>());
}

inline int64_t tiles_of(int64_t extent) { return ceil_div(extent, kTile); }

/// The first row and column of c of a block's tile. Blocks go down kGroup rows of tiles before they move to
/// the next column: those that run at the same time then share operands in the second-level cache in both
/// directions.
struct TilePlace {
  int64_t row;
  int64_t column;

  __device__ __forceinline__ TilePlace(int64_t row, int64_t column) : row(row), column(column) {}
  __device__ __forceinline__ TilePlace(int tile, int row_tiles, int column_tiles) {
    constexpr int kGroup = 8;
    const int group = tile / (kGroup * column_tiles), inside = tile % (kGroup * column_tiles);
    const int rows = min(kGroup, row_tiles - group * kGroup);
    row = static_cast<int64_t>(group * kGroup + inside % rows) * kTile;
    column = static_cast<int64_t>(inside / rows) * kTile;
  }
};

/// Adds all steps' products to the product's sums. A product has load(step, stage), which starts the copies
/// of a step's tiles, and multiply(stage). At the end no copy is under way and shared memory is free. A
/// product may have fewer stages than others.
template <int kStages = cuclip::kStages, typename Product>
__device__ __forceinline__ void run_pipeline(Product& product, int steps) {
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < steps) product.load(s, s);
    async_commit();
  }
  int stage = 0;
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    async_wait<kStages - 2>();
    __syncthreads();
    // The barrier has also seen every warp through with the stage that is filled now.
    const int ahead = step + kStages - 1;
    if (ahead < steps) product.load(ahead, stage == 0 ? kStages - 1 : stage - 1);
    async_commit();
    product.multiply(stage);
    stage = stage == kStages - 1 ? 0 : stage + 1;
  }
  async_wait<0>();
  __syncthreads();
}

}  // namespace cuclip
