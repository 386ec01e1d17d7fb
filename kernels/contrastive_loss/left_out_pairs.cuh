// Takes pairs whose words say the same out of a tile of products I Tᵀ in registers.
#pragma once

#include "kernels/contrastive_loss/left_out_pairs.h"
#include "kernels/tiles/product.cuh"

namespace cuclip {

/// The sets of a block's rows and columns, kWordsOfSet words each, with any alignment.
struct PairWords {
  const int32_t* image;
  const int32_t* text;
};

/// The words of a block that begins at this row and column, of a forward or backward call that was given words.
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

  /// Brings the sets there; elements outside the matrix have empty ones. Every thread of the block calls it, and
  /// leave_out() may be called after a barrier.
  __device__ __forceinline__ void load(const PairWords& words, const TilePlace& at, int rows,
                                       int columns) const {
    load_side(words.image + at.row * kWordsOfSet, rows, sets_);
    load_side(words.text + at.column * kWordsOfSet, columns, sets_ + kTile);
  }

  /// Sums of pairs become kLeftOut where neither set is empty and one contains the other; positives stay.
  /// `first` is the column of row 0's positive, whether in the tile or not.
  __device__ __forceinline__ void leave_out(Product& product, int64_t first) const {
    if (first <= -kTile || first >= kTile) {
      leave_out<false>(product, 0);
    } else {
      leave_out<true>(product, static_cast<int>(first));
    }
  }

 private:
  // Where in shared memory an element's set is: eight lanes read neighbours (mma) or every fourth (FFMA), which
  // the exclusive or spreads over all banks.
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

  uint4* sets_;  // [2][kTile]
};

/// Leaves pairs out of a tile whose sums are complete. Every thread of the block calls it; `shared` has
/// TileWords::kBytes that nobody else reads, and is free again afterwards.
template <RegisterSums Product>
__device__ __forceinline__ void leave_pairs_out(Product& product, const PairWords& words, const TilePlace& at,
                                                int rows, int columns, int64_t first_positive, void* shared) {
  const TileWords<Product> tile(shared);
  tile.load(words, at, rows, columns);
  __syncthreads();
  tile.leave_out(product, first_positive + at.row - at.column);
  __syncthreads();
}

}  // namespace cuclip
