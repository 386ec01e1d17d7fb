// Where a warp reads the operands of its products from a tile in shared memory, for the attention forward. A
// lane's places in shared memory are a register for each matrix and immediates: the swizzle repeats every
// eight rows, and its chunks lie at an exclusive or from one another, as tiles begin at whole rows of banks.
#pragma once

#include "kernels/attention/head_tile.cuh"

namespace cuclip {

/// Tiles in shared memory begin at multiples of this.
inline constexpr int kTileAlignment = 256;

/// Where a lane reads the squares of a tile's rows. The square's pairs of registers {0, 1} and {2, 3} are
/// operands B side by side, as HMMA takes them.
template <int kHeadDim>
class SquareRows {
  using Tile = HeadTile<kHeadDim>;

 public:
  /// For products with the rows transposed: a pair is for 8 rows.
  __device__ __forceinline__ static SquareRows of_keys(const Tile& tile) {
    const int lane = own_lane();
    return SquareRows(tile, lane % 8 + lane / 16 * 8, lane / 8 % 2);
  }
  /// For a strip's rows as operands A.
  __device__ __forceinline__ static SquareRows of_queries(const Tile& tile) { return of_values(tile); }
  /// For products with the rows as k, by load_transposed: a pair is for 8 of the head's dimensions.
  __device__ __forceinline__ static SquareRows of_values(const Tile& tile) {
    const int lane = own_lane();
    return SquareRows(tile, lane % 16, lane / 16);
  }

  /// Square `square` of the rows `row` (a multiple of 16) beyond the first.
  __device__ __forceinline__ void load(uint32_t (&r)[4], int row, int square) const {
    ldmatrix_x4(r, address(row, square));
  }
  __device__ __forceinline__ void load_transposed(uint32_t (&r)[4], int row, int square) const {
    ldmatrix_x4_trans(r, address(row, square));
  }
  __device__ __forceinline__ void advance(int rows) {
    wide_ += static_cast<uint32_t>(rows * Tile::kWide * kVecBytes);
    rest_ += static_cast<uint32_t>(rows * Tile::kRest * kVecBytes);
  }

 private:
  static constexpr int kWideSquares = Tile::kWide / 2;
  static_assert(Tile::kRest <= 2, "the rest is one square");

  __device__ __forceinline__ SquareRows(const Tile& tile, int row, int chunk)
      : wide_(shared_address(tile.at(0, row, chunk))),
        rest_(Tile::kRest > 0 ? shared_address(tile.at(0, row, Tile::kWide % Tile::kChunks + chunk)) : 0) {}

  __device__ __forceinline__ static int own_lane() { return hidden(static_cast<int>(threadIdx.x) % kWarp); }
  __device__ __forceinline__ uint32_t address(int row, int square) const {
    if (square >= kWideSquares) return rest_ + static_cast<uint32_t>(row * Tile::kRest * kVecBytes);
    return (wide_ ^ static_cast<uint32_t>(2 * square * kVecBytes)) +
           static_cast<uint32_t>(row * Tile::kWide * kVecBytes);
  }

  uint32_t wide_, rest_;
};

}  // namespace cuclip
