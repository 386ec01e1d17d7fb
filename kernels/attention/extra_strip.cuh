// The 17th strip of keys of a head, with the 257th token, in attention's backward (key_strips.cuh): eight
// warps with two strips each leave no registers for a third.
#pragma once

#include "kernels/attention/key_strips.cuh"

namespace cuclip {

inline constexpr int kBlockStrips = 4;  // of queries, in a buffer

/// A strip's number in a block of strips. Unsigned, so that it is one instruction.
__device__ __forceinline__ int in_block(int strip, unsigned strips = kBlockStrips) {
  return static_cast<int>(static_cast<unsigned>(strip) % strips);
}

/// Sums in shared memory; while the other strips meet a block of queries, a warp for each of the block's
/// strips finds their weights, and afterwards four pieces, half of dk's or dv's columns each, are added up.
class ExtraStrip {
 public:
  using Shape = KeyStripShape;
  static constexpr int kPieces = 4;
  static constexpr int kSumBytes = kStripRows * 32 * 4;  // of a piece
  static constexpr int kBytes = kBlockStrips * Shape::kWeightBytes + kPieces * kSumBytes;

  /// k and v of the strip, which is number `strip`, and kBytes of shared memory.
  __device__ __forceinline__ ExtraStrip(const HeadLayout& layout, const SquareLanes& lanes, int strip,
                                        const char* k, const char* v, char* memory)
      : layout_(layout), lanes_(lanes), strip_(strip), k_(k), v_(v), memory_(memory) {}

  /// Takes in a strip of queries; dS's square goes to `gradients`.
  __device__ __forceinline__ void attend(int query, const char* queries, char* gradients) const {
    if (!sees(query)) return;
    const auto rows = [&](const char* matrix) {
      return [this, matrix](int, int square, uint32_t(&a)[4]) {
        ldmatrix_x4(a, SquareLanes::at(shared_address(matrix) + lanes_.square, 2 * square));
      };
    };
    const StripWeights<1> weights = weigh<1>(
        layout_, lanes_, query, queries, [&](int) { return strip_; }, rows(k_), rows(v_),
        [&](int) { return gradients; });
    char* square = memory_ + in_block(query) * Shape::kWeightBytes;
    store_weights(lanes_, square, 0, &weights.p[0][0]);
    store_weights(lanes_, square, 1, &weights.p[0][2]);
  }

  /// Adds the strips of queries [first, end), a block, to a piece; `queries` has them, gradients(query) is
  /// the square of dS.
  template <typename Gradients>
  __device__ __forceinline__ void add(int piece, int first, int end, const char* queries,
                                      Gradients&& gradients) const {
    float sums[4][4] = {};
    if (first > 0) load(sums, piece);
    for (int query = first; query < end; ++query) {
      if (!sees(query)) continue;
      const char* square = values(piece) ? memory_ + in_block(query) * Shape::kWeightBytes : gradients(query);
      uint32_t a[4];
      load_weights(a, square);
      const uint32_t rows = shared_address(queries) + (query - first) * Shape::kQueryStripBytes +
                            (values(piece) ? Shape::kStripBytes : 0) + lanes_.square;
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        uint32_t b[4];
        ldmatrix_x4_trans(b, SquareLanes::at(rows, 2 * (first_square(piece) + j)));
        mma_bf16(sums[2 * j], a, {b[0], b[1]});
        mma_bf16(sums[2 * j + 1], a, {b[2], b[3]});
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      *place(piece, i) = make_float4(sums[i][0], sums[i][1], sums[i][2], sums[i][3]);
    }
  }

  /// Writes a piece to dk of the head, or to dv, which follows it.
  __device__ __forceinline__ void finish(int piece, bfloat16* gradient, char* stage) const {
    float sums[4][4];
    load(sums, piece);
    const int64_t row = strip_ * kStripRows, stride = layout_.projection_stride();
    store_columns<2>(sums, values(piece) ? 1.0f : layout_.scale,
                     strip_tile(stage + (values(piece) ? Shape::kStripBytes : 0)), first_square(piece),
                     gradient + row * stride + (values(piece) ? layout_.width : 0), stride,
                     static_cast<int>(layout_.length - row));
  }

 private:
  __device__ __forceinline__ static bool values(int piece) { return piece / 2 > 0; }
  __device__ __forceinline__ static int first_square(int piece) { return piece % 2 * 2; }
  __device__ __forceinline__ bool sees(int query) const { return !layout_.causal || query >= strip_; }
  __device__ __forceinline__ float4* place(int piece, int i) const {
    return reinterpret_cast<float4*>(memory_ + kBlockStrips * Shape::kWeightBytes + piece * kSumBytes) +
           i * kWarp + threadIdx.x % kWarp;
  }
  __device__ __forceinline__ void load(float (&sums)[4][4], int piece) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float4 four = *place(piece, i);
      sums[i][0] = four.x, sums[i][1] = four.y, sums[i][2] = four.z, sums[i][3] = four.w;
    }
  }

  const HeadLayout& layout_;
  const SquareLanes& lanes_;
  int strip_;
  const char *k_, *v_;
  char* memory_;
};

}  // namespace cuclip
