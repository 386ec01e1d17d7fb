// How the operands of tile products lie in memory, and which block computes which tile.
//
// A block computes kTile x kTile elements of c = A B, or as many as another form of the product has
// (tuning.h), with a loop over the reduction in steps of kStep elements. Each step's tiles of A and B are a
// stage in shared memory; all stages but one are under way while that one is multiplied (product.cuh).
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
/// Of tiles in shared memory: a swizzle's exclusive or with bits of an offset is then one of the address.
inline constexpr int kTileAlignment = 256;
static_assert(kOperandBytes % kTileAlignment == 0);

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

/// Whether 16-byte accesses fit all of an operand's lines, and the bytes from one step to the next 32 bits.
/// Where such a line ends inside 16 bytes, the rest of them is read too: along the reduction it must be
/// zeros.
template <TileElement T>
bool vector_lines(const Operand<T>& m) {
  return m.stride % Vec<T>::kSize == 0 && m.stride < int64_t{1} << 25 && aligned_to(kVecBytes, m.data);
}

/// The part of an operand that a block needs: kOuter of its outer extent, the whole reduction.
template <TileElement T, Along kAlong, int kOuter = kTile>
struct TileSource {
  const T* data;
  int64_t stride;
  int64_t reduction;
  int outer;  // how much of the tile is inside the matrix

  __device__ __forceinline__ TileSource(const Operand<T>& m, int64_t first, int64_t reduction)
      : data(m.data + (kAlong == Along::outer ? first : first * m.stride)),
        stride(m.stride),
        reduction(reduction),
        outer(static_cast<int>(max(min(m.outer - first, int64_t{kOuter}), int64_t{0}))) {}

  /// Where a step's elements begin, and how many of the reduction it has.
  __device__ __forceinline__ const T* step_data(int step) const {
    const int64_t k = static_cast<int64_t>(step) * kStep<T>;
    return data + (kAlong == Along::outer ? k * stride : k);
  }
  __device__ __forceinline__ int step_reduction(int step) const {
    return static_cast<int>(min(reduction - static_cast<int64_t>(step) * kStep<T>, int64_t{kStep<T>}));
  }
};

/// p + a b. nvcc does not see through it: of several addresses at multiples of a stride it would make sums of
/// 64 bits in another order, with twice the instructions.
__device__ __forceinline__ const char* advance(const char* p, uint32_t a, uint32_t b) {
  const char* to;
  asm("mad.wide.u32 %0, %1, %2, %3;" : "=l"(to) : "r"(a), "r"(b), "l"(p));
  return to;
}

/// A thread's copies of an operand's tiles into shared memory, in chunks of 16 bytes, by kThreads threads
/// that take the chunks of as many lines at once as they can.
template <TileElement T, Along kAlong, int kThreads, int kOuter>
class ChunkCopies {
 public:
  static constexpr int kChunk = Vec<T>::kSize;  // elements of a chunk
  static constexpr int kLines = kAlong == Along::reduction ? kOuter : kStep<T>;
  static constexpr int kChunks = (kAlong == Along::reduction ? kStep<T> : kOuter) / kChunk;  // of a line
  static constexpr int kLinesAtOnce = kThreads / kChunks;

  static __device__ __forceinline__ int first_line() { return static_cast<int>(threadIdx.x) / kChunks; }
  static __device__ __forceinline__ int chunk() { return static_cast<int>(threadIdx.x) % kChunks; }

  __device__ __forceinline__ ChunkCopies(const Operand<T>& m, int64_t first, int64_t reduction)
      : stride_bytes_(static_cast<uint32_t>(m.stride) * sizeof(T)) {
    const TileSource<T, kAlong, kOuter> from(m, first, reduction);
    data_ = reinterpret_cast<const char*>(from.data + first_line() * from.stride + chunk() * kChunk);
    if constexpr (kAlong == Along::reduction) {
      steps_ = static_cast<int>((reduction - chunk() * kChunk + kStep<T> - 1) / kStep<T>);
      lines_ = from.outer - first_line();
    } else {
      const bool inside = chunk() * kChunk < from.outer;
      steps_ = inside ? static_cast<int>(reduction / kStep<T>) : 0;
      lines_ = inside ? static_cast<int>(reduction % kStep<T>) - first_line() : 0;
    }
  }

  /// Starts those of a step; to(i) is where the thread's chunk of line first_line() + i kLinesAtOnce goes.
  template <typename To>
  __device__ __forceinline__ void start(int step, To&& to) const {
    int lines;  // inside the matrix, of the thread's first and those that follow it
    uint32_t step_bytes;
    if constexpr (kAlong == Along::reduction) {
      lines = step < steps_ ? lines_ : 0;
      step_bytes = kStep<T> * sizeof(T);
    } else {
      lines = step < steps_ ? kLines : lines_;
      step_bytes = kStep<T> * stride_bytes_;
    }
    const char* first = advance(data_, static_cast<uint32_t>(step), step_bytes);
#pragma unroll
    for (int i = 0; i < kLines / kLinesAtOnce; ++i) {
      const char* from = i == 0 ? first : advance(first, i * kLinesAtOnce, stride_bytes_);
      async_copy_16(to(i), from, i * kLinesAtOnce < lines);
    }
  }

 private:
  const char* data_;  // the thread's first chunk of the first step
  uint32_t stride_bytes_;
  int steps_;  // along the reduction: those that have the thread's chunk; else those that have all lines
  int lines_;  // inside, as in start(): of these steps; else of the step after them
};

inline int64_t tiles_of(int64_t extent, int64_t side = kTile) { return ceil_div(extent, side); }

/// The first row and column of c of a block's tile. Blocks go down kGroup rows of tiles before they move to
/// the next column: those that run at the same time then share operands in the second-level cache in both
/// directions.
struct TilePlace {
  int64_t row;
  int64_t column;

  __device__ __forceinline__ TilePlace(int64_t row, int64_t column) : row(row), column(column) {}
  __device__ __forceinline__ TilePlace(int tile, int row_tiles, int column_tiles, int tile_rows = kTile,
                                       int tile_columns = kTile) {
    constexpr int kGroup = Tuning::Tile::kGroup;
    const int group = tile / (kGroup * column_tiles), inside = tile % (kGroup * column_tiles);
    const int rows = min(kGroup, row_tiles - group * kGroup);
    row = static_cast<int64_t>(group * kGroup + inside % rows) * tile_rows;
    column = static_cast<int64_t>(inside / rows) * tile_columns;
  }
};

}  // namespace cuclip
