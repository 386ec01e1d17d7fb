// How the operands of tile products lie in memory, and which block computes which tile.
//
// A block computes kTile x kTile elements of c = A B with a loop over the reduction in steps of kStep
// elements. Each step's tiles of A and B are a stage in shared memory; kStages - 1 of them are under way
// while one is multiplied (product.cuh).
#pragma once

#include <concepts>
#include <cstdint>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/exec_context.h"
#include "kernels/common/tuning.h"
#include "kernels/common/vec.cuh"

namespace cuclip {

/// What operands and results consist of.
template <typename T>
concept TileElement = std::same_as<T, float> || std::same_as<T, bfloat16>;

inline constexpr int kTile = Tuning::Tile::kSide;
inline constexpr int kStages = Tuning::Tile::kStages;
inline constexpr int kOperandBytes = Tuning::Tile::kOperandBytes;
inline constexpr int kStageBytes = 2 * kOperandBytes;
inline constexpr int kPipelineBytes = kStages * kStageBytes;

/// Elements of the reduction in one step: 32 of bf16, 16 of f32.
template <TileElement T>
inline constexpr int kStep = kOperandBytes / (kTile * static_cast<int>(sizeof(T)));

template <TileElement T>
__device__ __forceinline__ int steps_of(int64_t reduction) {
  return static_cast<int>((reduction + kStep<T> - 1) / kStep<T>);
}

/// Neighbours in an operand's memory are neighbours along the reduction (A as [M, K], B as [N, K]), or along
/// the operand's own side of c (A as [K, M], B as [K, N]).
enum class Along : uint8_t { reduction, outer };

/// One operand: `stride` elements separate its lines, and `outer` is its extent along c.
template <TileElement T>
struct Operand {
  const T* data;
  int64_t stride;
  int64_t outer;
};

/// Whether 16-byte accesses fit all of an operand's lines.
template <TileElement T>
bool vector_lines(const Operand<T>& m) {
  return m.stride % Vec<T>::kSize == 0 && aligned_to(kVecBytes, m.data);
}

/// The part of an operand that a block needs: kTile of its outer extent, the whole reduction.
template <TileElement T, Along kAlong>
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

inline int64_t tiles_of(int64_t extent) { return ceil_div(extent, kTile); }

/// The first row and column of c of a block's tile. Blocks go down kGroup rows of tiles before they move to
/// the next column: those that run at the same time then share operands in the second-level cache in both
/// directions.
struct TilePlace {
  int64_t row;
  int64_t column;

  __device__ __forceinline__ TilePlace(int64_t row, int64_t column) : row(row), column(column) {}
  __device__ __forceinline__ TilePlace(int tile, int row_tiles, int column_tiles) {
    constexpr int kGroup = Tuning::Tile::kGroup;
    const int group = tile / (kGroup * column_tiles), inside = tile % (kGroup * column_tiles);
    const int rows = min(kGroup, row_tiles - group * kGroup);
    row = static_cast<int64_t>(group * kGroup + inside % rows) * kTile;
    column = static_cast<int64_t>(inside / rows) * kTile;
  }
};

}  // namespace cuclip
