// Rows of one head's matrix in shared memory, as bf16, and the tensor-core products of a warp with 16 of
// them.
//
// A row is head_dim / 8 chunks of 16 bytes, swizzled (async_copy.cuh) so that neither copies along rows nor
// ldmatrix down a column of chunks have bank conflicts. For head dimension 80 each row's first 8 chunks come
// first, then every row's last 2: a swizzle takes a power of two.
//
// All operands are loaded in one pattern: lane i gives row i % 16, chunk i / 16 of a 16x16 square. That is A
// of mma_bf16 (mma.cuh); read as B, the square's two column tiles are registers {0, 2} and {1, 3} where its
// rows are B's columns, and {0, 1} and {2, 3} where its rows are k (transposed).
#pragma once

#include "kernels/common/async_copy.cuh"
#include "kernels/common/exponential.cuh"
#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/vec.cuh"

namespace cuclip {

inline constexpr int kStripRows = 16;  // of an mma

template <int kHeadDim>
struct HeadTile {
  static constexpr int kChunks = kHeadDim / 8;
  static constexpr int kSquares = kHeadDim / 16;  // 16x16, side by side
  static constexpr int kWide = kChunks >= 16 ? 16 : kChunks >= 8 ? 8 : 4;
  static constexpr int kRest = kChunks - kWide;
  static_assert(kRest == 0 || (kRest & (kRest - 1)) == 0, "one swizzle for the rest");

  Vec<bfloat16>* chunks;
  int rows;  // a multiple of 16

  __host__ __device__ static constexpr int chunks_of(int rows) { return rows * kChunks; }
  __host__ __device__ static constexpr int bytes_of(int rows) { return chunks_of(rows) * kVecBytes; }

  /// Chunk `chunk` of row first + row. `first` is a multiple of 8, the swizzle's period, so that in a loop
  /// over `first` only the base moves.
  __device__ __forceinline__ Vec<bfloat16>* at(int first, int row, int chunk) const {
    if constexpr (kRest > 0) {
      if (chunk >= kWide) {
        return chunks + rows * kWide + first * kRest + swizzle<kRest>(row, chunk - kWide);
      }
    }
    return chunks + first * kWide + swizzle<kWide>(row, chunk);
  }

  /// Square `square` of rows [row, row + 16).
  __device__ __forceinline__ void load(uint32_t (&r)[4], int row, int square) const {
    ldmatrix_x4(r, lane_address(row, square));
  }
  __device__ __forceinline__ void load_transposed(uint32_t (&r)[4], int row, int square) const {
    ldmatrix_x4_trans(r, lane_address(row, square));
  }

 private:
  __device__ __forceinline__ const Vec<bfloat16>* lane_address(int row, int square) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    return at(row, lane % 16, 2 * square + lane / 16);
  }
};

/// x, without what nvcc knows of it. Otherwise it keeps the addresses of copies in registers, from one strip
/// or buffer to the next.
__device__ __forceinline__ int hidden(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

/// Calls body(row, chunk) for each chunk of `rows` rows, divided among `threads` threads, of which this is
/// number `thread`: neighbouring threads have neighbouring chunks of a row.
template <int kHeadDim, typename Body>
__device__ __forceinline__ void for_each_chunk(int rows, int thread, int threads, Body&& body) {
  using Tile = HeadTile<kHeadDim>;
  for (int i = thread; i < rows * Tile::kWide; i += threads) body(i / Tile::kWide, i % Tile::kWide);
  if constexpr (Tile::kRest > 0) {
    for (int i = thread; i < rows * Tile::kRest; i += threads) {
      body(i / Tile::kRest, Tile::kWide + i % Tile::kRest);
    }
  }
}

/// Calls body(row, chunk) for each chunk of kRows rows, all by this warp, in a loop that is unrolled.
template <int kHeadDim, int kRows, typename Body>
__device__ __forceinline__ void for_each_chunk_of_warp(Body&& body) {
  using Tile = HeadTile<kHeadDim>;
  const unsigned lane = static_cast<unsigned>(hidden(static_cast<int>(threadIdx.x) % kWarp));
#pragma unroll
  for (unsigned j = 0; j * kWarp < kRows * Tile::kWide; ++j) {
    const unsigned i = lane + j * kWarp;
    body(static_cast<int>(i / Tile::kWide), static_cast<int>(i % Tile::kWide));
  }
  if constexpr (Tile::kRest > 0) {
    static_assert(kRows * Tile::kRest <= kWarp);
    if (lane < kRows * Tile::kRest) {
      body(static_cast<int>(lane / Tile::kRest), static_cast<int>(Tile::kWide + lane % Tile::kRest));
    }
  }
}

/// Called by the whole block: begins to copy rows [0, valid) of a matrix whose rows are `stride` apart to a
/// tile, with zeros after them.
template <int kHeadDim>
__device__ __forceinline__ void copy_in(const HeadTile<kHeadDim>& tile, const bfloat16* matrix,
                                        int64_t stride, int valid) {
  const int thread = hidden(static_cast<int>(threadIdx.x)), threads = static_cast<int>(blockDim.x);
  for_each_chunk<kHeadDim>(tile.rows, thread, threads, [&](int row, int chunk) {
    async_copy_16(shared_address(tile.at(0, row, chunk)), matrix + row * stride + chunk * 8, row < valid);
  });
}

/// Copies a strip's rows of a matrix to rows [row, row + 16) of `tile`, which are this warp's own; rows from
/// `valid` onwards become zeros.
template <int kHeadDim>
__device__ __forceinline__ void stage_strip(const HeadTile<kHeadDim>& tile, int row, const bfloat16* matrix,
                                            int stride, int valid) {
  __syncwarp();
  for_each_chunk_of_warp<kHeadDim, kStripRows>([&](int r, int chunk) {
    *tile.at(row, r, chunk) = r < valid ? load_vec(matrix + r * stride + chunk * 8) : Vec<bfloat16>{};
  });
  __syncwarp();
}

/// A strip's rows as operands A: all its squares.
template <int kHeadDim>
using StripOperand = uint32_t[kHeadDim / 16][4];

template <int kHeadDim>
__device__ __forceinline__ void load_strip(StripOperand<kHeadDim>& a, const HeadTile<kHeadDim>& tile,
                                           int row) {
#pragma unroll
  for (int square = 0; square < kHeadDim / 16; ++square) tile.load(a[square], row, square);
}

/// scores[16 x 16] = strip * rows [row, row + 16) of the tile, transposed. Where only the first 8 rows are
/// wanted (`half`), the second column tile is left zero.
template <int kHeadDim>
__device__ __forceinline__ void dot_strip(float (&scores)[2][4], const StripOperand<kHeadDim>& strip,
                                          const HeadTile<kHeadDim>& tile, int row, bool half) {
#pragma unroll
  for (int i = 0; i < 4; ++i) scores[0][i] = scores[1][i] = 0.0f;
#pragma unroll
  for (int square = 0; square < kHeadDim / 16; ++square) {
    uint32_t r[4];
    tile.load(r, row, square);
    mma_bf16(scores[0], strip[square], {r[0], r[2]});
    if (!half) mma_bf16(scores[1], strip[square], {r[1], r[3]});
  }
}

/// sums[16 x kHeadDim] += weights[16 x 16] * rows [row, row + 16) of the tile.
template <int kHeadDim>
__device__ __forceinline__ void add_product(float (&sums)[kHeadDim / 8][4], const float (&weights)[2][4],
                                            const HeadTile<kHeadDim>& tile, int row) {
  uint32_t a[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) a[i] = pack_bf16(weights[i / 2][i % 2 * 2], weights[i / 2][i % 2 * 2 + 1]);
#pragma unroll
  for (int square = 0; square < kHeadDim / 16; ++square) {
    uint32_t r[4];
    tile.load_transposed(r, row, square);
    mma_bf16(sums[2 * square], a, {r[0], r[1]});
    mma_bf16(sums[2 * square + 1], a, {r[2], r[3]});
  }
}

/// Writes factors * sums to rows [0, valid) of a matrix, in 16-byte stores: through rows [row, row + 16) of
/// `tile`, which are this warp's own. factors are of rows lane / 4 and lane / 4 + 8.
template <int kHeadDim>
__device__ __forceinline__ void store_strip(const float (&sums)[kHeadDim / 8][4], const float (&factors)[2],
                                            const HeadTile<kHeadDim>& tile, int row, bfloat16* matrix,
                                            int stride, int valid) {
  const int lane = hidden(static_cast<int>(threadIdx.x) % kWarp);
  __syncwarp();
#pragma unroll
  for (int chunk = 0; chunk < kHeadDim / 8; ++chunk) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      tile.at(row + half * 8, lane / 4, chunk)->words[lane % 4] =
          pack_bf16(sums[chunk][2 * half] * factors[half], sums[chunk][2 * half + 1] * factors[half]);
    }
  }
  __syncwarp();
  for_each_chunk_of_warp<kHeadDim, kStripRows>([&](int r, int chunk) {
    if (r < valid) store_vec(matrix + r * stride + chunk * 8, *tile.at(row, r, chunk));
  });
}

}  // namespace cuclip
