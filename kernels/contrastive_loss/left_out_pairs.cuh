// Takes pairs whose words say the same out of a tile of products I Tᵀ in registers: by the bits where the
// sums are those of fused multiply-adds, by the number of common bits, which tensor cores count, where they
// are mma's.
#pragma once

#include "kernels/common/mma.cuh"
#include "kernels/contrastive_loss/left_out_pairs.h"
#include "kernels/tiles/product.cuh"

namespace cuclip {

/// The sets of a block's rows and columns, kWordsOfSet words each, with any alignment.
struct PairWords {
  const int32_t* image;
  const int32_t* text;
};

/// The words of a block that begins at this row and column, of a forward or backward call that was given
/// words.
template <typename Params>
PairWords words_from(const Params& p, int64_t row, int64_t column) {
  return {p.image_words.template as<int32_t>() + row * kWordsOfSet,
          p.text_words.template as<int32_t>() + column * kWordsOfSet};
}

/// a & ~b | c
__device__ __forceinline__ uint32_t beyond(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0xba;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
  return result;
}

/// The sets of a tile's rows and columns, in shared memory, each in one chunk of 16 bytes.
template <RegisterSums Product>
class TileWords {
 public:
  static constexpr int kBytes = 2 * kTile * kWordsOfSet * sizeof(uint32_t);

  __device__ __forceinline__ explicit TileWords(void* shared) : sets_(static_cast<uint4*>(shared)) {}

  /// Brings the sets there; elements outside the matrix have empty ones. Every thread of the block calls it,
  /// and leave_out() may be called after a barrier.
  __device__ __forceinline__ void load(const PairWords& words, const TilePlace& at, int rows,
                                       int columns) const {
    load_side(words.image + at.row * kWordsOfSet, rows, sets_);
    load_side(words.text + at.column * kWordsOfSet, columns, sets_ + kTile);
  }

  /// kPositives: the tile has some, that of its row i in column `first` + i.
  template <bool kPositives>
  __device__ __forceinline__ void leave_out(Product& product, int first) const {
    Set rows[Product::kThreadRows];
#pragma unroll
    for (int i = 0; i < Product::kThreadRows; ++i) rows[i] = Set(sets_[place(product.thread_row(i))]);
#pragma unroll
    for (int j = 0; j < Product::kThreadColumns; ++j) {
      const Set column(sets_[kTile + place(product.thread_column(j))]);
#pragma unroll
      for (int i = 0; i < Product::kThreadRows; ++i) {
        bool left_out = min(rows[i].beyond(column), column.beyond(rows[i])) == 0;
        if (kPositives) left_out = left_out && product.thread_column(j) != product.thread_row(i) + first;
        if (left_out) product.sum(i, j) = kLeftOut;
      }
    }
  }

 private:
  // Where in shared memory an element's set is: eight lanes read every fourth column, which the exclusive or
  // spreads over all banks.
  static __device__ __forceinline__ int place(int element) { return element ^ (element >> 3 & 3); }

  static __device__ __forceinline__ void load_side(const int32_t* from, int count, uint4* sets) {
    auto* words = reinterpret_cast<int32_t*>(sets);
    constexpr int kWords = static_cast<int>(kWordsOfSet);
    for (int e = static_cast<int>(threadIdx.x); e < kTile * kWords; e += Product::kThreads) {
      const int element = e / kWords;
      words[place(element) * kWords + e % kWords] = element < count ? from[e] : 0;
    }
  }

  // A set, and all ones if it is empty.
  struct Set {
    uint32_t word[kWordsOfSet];
    uint32_t empty;
    __device__ __forceinline__ Set() = default;
    __device__ __forceinline__ explicit Set(const uint4& v) : word{v.x, v.y, v.z, v.w} {
      empty = (v.x | v.y | v.z | v.w) == 0 ? ~0u : 0u;
    }
    // Zero if the set is within the other one, and not empty.
    __device__ __forceinline__ uint32_t beyond(const Set& other) const {
      uint32_t bits = empty;
#pragma unroll
      for (int w = 0; w < kWordsOfSet; ++w) bits = cuclip::beyond(word[w], other.word[w], bits);
      return bits;
    }
  };

  uint4* sets_;  // [2][kTile]
};

/// The same by counting. A product of sets, their bits as bytes, is the number of bits that two have in
/// common, and one contains the other where that is all of the smaller one. In which order the bits are does
/// not matter, nor that a bit counts more than another, as long as it is the same for all sets: a lane has
/// one word of a set, and its registers for mma are the word's bits 0, 8, 16 and 24, then 1, 9, 17 and 25,
/// and so on, where they are. No shared memory.
template <RegisterSums Product>
class CommonBits {
 public:
  __device__ __forceinline__ CommonBits(const PairWords& words, const TilePlace& at, int rows, int columns)
      : image_(words.image + at.row * kWordsOfSet),
        text_(words.text + at.column * kWordsOfSet),
        rows_(rows),
        columns_(columns) {}

  /// As TileWords' does.
  template <bool kPositives>
  __device__ __forceinline__ void leave_out(Product& product, int first) const {
#pragma unroll
    for (int i = 0; i < Product::kThreadRows / 2; i += kRowTiles) {
      leave_out_of_rows<kPositives>(product, i, first);
    }
  }

 private:
  static constexpr int kSteps = 4;     // of 32 bits each
  static constexpr int kRowTiles = 2;  // of 16 rows; four at once do not fit into registers

  // This lane's word of an element's set; elements outside the matrix have empty ones.
  static __device__ __forceinline__ uint32_t load(const int32_t* sets, int element, int count) {
    const int word = static_cast<int>(threadIdx.x % 4);
    return element < count ? static_cast<uint32_t>(sets[element * kWordsOfSet + word]) : 0;
  }

  // One bit of each of a word's bytes. nvcc would compute it again for each column if it could.
  static __device__ __forceinline__ uint32_t bits_of(uint32_t word, int bit) {
    uint32_t bits;
    asm volatile("and.b32 %0, %1, %2;" : "=r"(bits) : "r"(word), "r"(0x01010101u << bit));
    return bits;
  }

  // The size of a set; of an empty one a size that no sum of common bits has.
  static __device__ __forceinline__ int or_none(int size) { return size == 0 ? INT32_MAX : size; }

  // mma's A of 16 rows and B of 8 columns. The rows' second words are those of the rows 8 further on.
  struct RowBits {
    uint32_t a[kSteps][4];
    __device__ __forceinline__ RowBits() = default;
    __device__ __forceinline__ RowBits(uint32_t word, uint32_t second) {
#pragma unroll
      for (int s = 0; s < 2 * kSteps; ++s) {
        a[s / 2][s % 2 * 2] = bits_of(word, s);
        a[s / 2][s % 2 * 2 + 1] = bits_of(second, s);
      }
    }
  };
  struct ColumnBits {
    uint32_t b[kSteps][2];
    __device__ __forceinline__ explicit ColumnBits(uint32_t word) {
#pragma unroll
      for (int s = 0; s < 2 * kSteps; ++s) b[s / 2][s % 2] = bits_of(word, s);
    }
  };
  static __device__ __forceinline__ void count(int (&sums)[4], const RowBits& rows,
                                               const ColumnBits& columns) {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) mma_u8(sums, rows.a[s], columns.b[s]);
  }

  // kRowTiles tiles of 16 rows, from tile i on.
  template <bool kPositives>
  __device__ __forceinline__ void leave_out_of_rows(Product& product, int i, int first) const {
    RowBits rows[kRowTiles];
    int row_size[2 * kRowTiles];
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      rows[r] = RowBits(load(image_, product.thread_row(2 * (i + r)), rows_),
                        load(image_, product.thread_row(2 * (i + r) + 1), rows_));
      int size[4] = {};
      count(size, rows[r], ColumnBits(~0u));
      row_size[2 * r] = or_none(size[0]);
      row_size[2 * r + 1] = or_none(size[2]);
    }
    // The lane's part of mma's B is of another column than its sums are.
    const int lane = static_cast<int>(threadIdx.x % kWarp), to_column = lane / 4 - lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < Product::kThreadColumns; j += 2) {
      const ColumnBits column(load(text_, product.thread_column(j) + to_column, columns_));
      int size[4] = {}, common[kRowTiles][4] = {};
      count(size, RowBits(~0u, ~0u), column);
      const int column_size[] = {or_none(size[0]), or_none(size[1])};
      bool left_out[kRowTiles][4], any = false;
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
        count(common[r], rows[r], column);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          left_out[r][e] = common[r][e] == min(row_size[2 * r + e / 2], column_size[e % 2]);
          any = any || left_out[r][e];
        }
      }
      if (!__any_sync(kAllLanes, any)) continue;
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int row = 2 * (i + r) + e / 2;
          if (kPositives && product.thread_column(j + e % 2) == product.thread_row(row) + first) continue;
          if (left_out[r][e]) product.sum(row, j + e % 2) = kLeftOut;
        }
      }
    }
  }

  const int32_t *image_, *text_;
  int rows_, columns_;
};

/// Leaves pairs out of a tile whose sums are complete: they become kLeftOut where neither set is empty and
/// one contains the other; positives stay. `first_positive` is the column of the matrix's row 0's positive.
/// Every thread of the block calls it; `shared` has TileWords::kBytes that nobody else reads, and is free
/// again afterwards.
template <RegisterSums Product>
__device__ __forceinline__ void leave_pairs_out(Product& product, const PairWords& words, const TilePlace& at,
                                                int rows, int columns, int64_t first_positive, void* shared) {
  const auto leave_out = [&](const auto& sets) {
    // Row 0's of the tile, whether in the tile or not.
    const int64_t first = first_positive + at.row - at.column;
    if (first <= -kTile || first >= kTile) {
      sets.template leave_out<false>(product, 0);
    } else {
      sets.template leave_out<true>(product, static_cast<int>(first));
    }
  };
  if constexpr (Product::kMmaSums) {
    leave_out(CommonBits<Product>(words, at, rows, columns));
  } else {
    static_assert(TileWords<Product>::kBytes <= kPipelineBytes);
    const TileWords<Product> sets(shared);
    sets.load(words, at, rows, columns);
    __syncthreads();
    leave_out(sets);
    __syncthreads();
  }
}

}  // namespace cuclip
