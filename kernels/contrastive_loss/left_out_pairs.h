// Which pairs of one tile of the similarity matrix are left out of the contrastive loss, in SIMD. On the calling
// thread.
#pragma once

#include <bit>
#include <cstdint>

namespace cuclip {

/// Rows and columns of the largest tile.
inline constexpr int64_t kMostPairsOfSide = 256;
/// A set has 128 bits.
inline constexpr int64_t kWordsOfSet = 4;

/// The sets of a tile's rows [rows, 4] and columns [columns, 4].
struct TileWords {
  const int32_t* row = nullptr;
  const int32_t* column = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t first_positive = 0;  // column, within the tile or not, of row 0's positive
};

/// Bit j of row i: the pair (i, j) is left out. With room for what find_left_out() needs.
struct LeftOutPairs {
  static constexpr int64_t kWordsOfRow = kMostPairsOfSide / 64;
  static constexpr int64_t kBytesOfSet = 16;

  uint64_t bits[kMostPairsOfSide][kWordsOfRow];

  // The columns' sets byte by byte: the bytes' complements, and of each column its first and its last byte that
  // is not zero, and where it is.
  alignas(64) uint8_t missing[kBytesOfSet][kMostPairsOfSide];
  alignas(64) uint8_t first_byte[kMostPairsOfSide], first_place[kMostPairsOfSide];
  alignas(64) uint8_t last_byte[kMostPairsOfSide], last_place[kMostPairsOfSide];
};

/// Fills the bits of the tile's rows; those beyond its columns are 0.
void find_left_out(const TileWords& tile, LeftOutPairs& pairs);

/// Calls body(row, column) for each pair of the first `rows` rows that is left out.
template <typename Body>
void for_each_left_out(const LeftOutPairs& pairs, int64_t rows, Body&& body) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t w = 0; w < LeftOutPairs::kWordsOfRow; ++w) {
      for (uint64_t left = pairs.bits[i][w]; left != 0; left &= left - 1) {
        body(i, w * 64 + std::countr_zero(left));
      }
    }
  }
}

}  // namespace cuclip
