// Tile products one of whose operands are the patches of pictures, gathered straight from the picture.
//
// The patches are a matrix with a row for each token: zeros for the class token, then the patches of the
// picture. A row's elements are in the order of the picture's memory, so that they come in long runs
// ("segments" of p pixels, or of 3 p bytes): channel, row, column for f32 [B, 3, H, W], but row, column,
// channel for u8 [B, H, W, 3]; the other operand has to follow that order. Each thread reads the elements of
// one 16-byte chunk of the tile, normalises and rounds them, and writes them to shared memory.
#pragma once

#include <type_traits>

#include "kernels/gemm/ffma_product.cuh"
#include "kernels/gemm/mma_product.cuh"
#include "kernels/patch_embed/pictures.h"

namespace cuclip {

/// What a kernel needs to find a token's pixels. Pixel: uint8_t or float.
template <typename Pixel>
struct PatchRows {
  const Pixel* pixels;
  int64_t line, plane, picture;        // elements from one row of pixels, channel, picture to the next
  int tokens, across, patch, segment;  // of a picture; patches side by side; pixels; elements
  int length;                          // of a patch
  int64_t rows;                        // tokens of the batch
  float scale[3], shift[3];            // a byte is normalised to byte * scale + shift

  static constexpr bool kBytes = sizeof(Pixel) == 1;

  explicit PatchRows(const Pictures& p)
      : line(p.columns * (kBytes ? 3 : 1)),
        plane(p.height * p.columns),
        picture(3 * p.height * p.columns),
        tokens(static_cast<int>(1 + p.per_picture)),
        across(static_cast<int>(p.columns / p.patch)),
        patch(static_cast<int>(p.patch)),
        segment(static_cast<int>(p.patch * (kBytes ? 3 : 1))),
        length(static_cast<int>(p.length)),
        rows(p.batch * tokens) {
    if constexpr (kBytes) {
      pixels = p.bytes;
    } else {
      pixels = p.planar;
    }
    for (int c = 0; c < 3; ++c) {
      scale[c] = p.scale[c];
      shift[c] = p.shift[c];
    }
  }

  /// Where the patch of a token begins; negative: it has none.
  __device__ __forceinline__ int64_t first_pixel(int64_t row) const {
    if (row >= rows) return -1;
    const int64_t b = row / tokens;
    const int i = static_cast<int>(row - b * tokens) - 1;
    if (i < 0) return -1;
    const int y = i / across, x = i - y * across;
    return b * picture + y * patch * line + x * segment;
  }

  /// Elements k .. k + kSize - 1 of the patch that begins at `first`, normalised; zeros outside. kRun of
  /// them, counted from a multiple of kRun, lie in one segment and one aligned access.
  template <int kRun, int kSize>
  __device__ __forceinline__ void read(int64_t first, int k, float (&v)[kSize]) const {
    constexpr int kAccess = kRun < kSize ? kRun : kSize;
#pragma unroll
    for (int e = 0; e < kSize; e += kAccess) {
      const int at = k + e;
      if (first < 0 || at >= length) {
#pragma unroll
        for (int i = 0; i < kAccess; ++i) v[e + i] = 0.0f;
        continue;
      }
      const int s = at / segment;
      const int64_t row = kBytes ? s * line : s / patch * plane + s % patch * line;
      load_run<kAccess>(pixels + first + row + (at - s * segment), at, v + e);
    }
  }

 private:
  template <int kAccess>
  __device__ __forceinline__ void load_run(const Pixel* from, int at, float* v) const {
    if constexpr (!kBytes) {
      float run[kAccess];
      unpack(load_vec<float, kAccess>(from), run);
#pragma unroll
      for (int i = 0; i < kAccess; ++i) v[i] = run[i];
    } else {
      using Word =
          std::conditional_t<kAccess == 1, uint8_t, std::conditional_t<kAccess == 2, uint16_t, uint32_t>>;
      constexpr int kEach = static_cast<int>(sizeof(Word)), kWords = kAccess / kEach;
      uint32_t words[kWords];
      if constexpr (kWords == 2) {
        const uint2 both = *reinterpret_cast<const uint2*>(from);
        words[0] = both.x;
        words[1] = both.y;
      } else {
        words[0] = *reinterpret_cast<const Word*>(from);
      }
      const int channel = at % 3;
#pragma unroll
      for (int i = 0; i < kAccess; ++i) {
        // A byte in the last bits of 2^23 as a float: full rate, where conversions have a quarter of it.
        const uint32_t bits = __byte_perm(words[i / kEach], 0x4b000000u, 0x7440 + i % kEach);
        const int c = (channel + i) % 3;
        const float byte = __uint_as_float(bits) - 8388608.0f;
        v[i] = fmaf(byte,
                    c == 0   ? scale[0]
                    : c == 1 ? scale[1]
                             : scale[2],
                    c == 0   ? shift[0]
                    : c == 1 ? shift[1]
                             : shift[2]);
      }
    }
  }
};

/// A product on tensor cores whose operand kOperand (0: A, 1: B) are patches.
template <typename Base, int kOperand, int kRun, typename Pixel>
class MmaPatchProduct : public Base {
 public:
  template <typename... Arguments>
  __device__ __forceinline__ MmaPatchProduct(const PatchRows<Pixel>& patches, int64_t row, int64_t element,
                                             Arguments&&... arguments)
      : Base(arguments...), patches_(patches), row_(row), element_(static_cast<int>(element)) {}

  __device__ __forceinline__ void load(int step, int stage) const {
    // Lines of the tile are tokens. With patches as A a step moves along them, as B across.
    using T = typename Base::Input;
    using Tile = std::conditional_t<kOperand == 0, typename Base::OperandA, typename Base::OperandB>;
    constexpr int kChunks = Tile::kChunks, kChunk = Tile::kChunk;
    const int64_t row = row_ + (kOperand == 0 ? 0 : static_cast<int64_t>(step) * kStep<T>);
    const int chunk = static_cast<int>(threadIdx.x) % kChunks;
    const int k = element_ + (kOperand == 0 ? step * kStep<T> : 0) + chunk * kChunk;
    if constexpr (kOperand == 0) {
      Base::load_b(step, stage);
    } else {
      Base::load_a(step, stage);
    }
#pragma unroll
    for (int i = 0; i < Tile::kLines * kChunks / Base::kThreads; ++i) {
      const int line = static_cast<int>(threadIdx.x) / kChunks + i * (Base::kThreads / kChunks);
      float v[kChunk];
      patches_.template read<kRun>(patches_.first_pixel(row + line), k, v);
      Base::tile(stage, kOperand)[Tile::place(line, chunk)] = pack<T>(v);
    }
  }

 private:
  const PatchRows<Pixel>& patches_;
  int64_t row_;  // the tile's first token
  int element_;  // the tile's first element of a patch
};

/// The same with fused multiply-adds.
template <typename Base, int kOperand, int kRun, typename Pixel>
class FfmaPatchProduct : public Base {
 public:
  template <typename... Arguments>
  __device__ __forceinline__ FfmaPatchProduct(const PatchRows<Pixel>& patches, int64_t row, int64_t element,
                                              Arguments&&... arguments)
      : Base(arguments...), patches_(patches), row_(row), element_(static_cast<int>(element)) {}

  __device__ __forceinline__ void load(int step, int stage) const {
    static_assert(kTile * kStep<float> == 4 * Base::kThreads, "one chunk a thread");
    const int thread = static_cast<int>(threadIdx.x);
    float v[4];
    if constexpr (kOperand == 0) {
      Base::load_b(step, stage);
      // Two chunks of 16 tokens to a warp: 32 bytes of each, and no two lanes write to one bank.
      const int line = thread / 2 % kTile, k = (thread % 2 + thread / (2 * kTile) * 2) * 4;
      patches_.template read<kRun>(patches_.first_pixel(row_ + line), element_ + step * kStep<float> + k, v);
#pragma unroll
      for (int i = 0; i < 4; ++i) Base::tile(stage, 0)[Base::element(k + i, line)] = v[i];
    } else {
      Base::load_a(step, stage);
      const int line = thread / (kTile / 4), k = thread % (kTile / 4) * 4;
      const int64_t row = row_ + static_cast<int64_t>(step) * kStep<float> + line;
      patches_.template read<kRun>(patches_.first_pixel(row), element_ + k, v);
      store_vec(Base::tile(stage, 1) + Base::element(line, k), pack<float>(v));
    }
  }

 private:
  const PatchRows<Pixel>& patches_;
  int64_t row_;
  int element_;
};

/// The widest run for which PatchRows::read may be asked: of bytes 8, 2 or 1, of f32 4, 2 or 1.
template <typename Pixel>
int widest_run(const PatchRows<Pixel>& p) {
  for (const int run : {sizeof(Pixel) == 1 ? 8 : 4, 2}) {
    if (p.segment % run == 0 && p.line % run == 0 &&
        aligned_to(static_cast<size_t>(run) * sizeof(Pixel), p.pixels))
      return run;
  }
  return 1;
}

/// Calls body(std::integral_constant<int, run>) with the widest run.
template <typename Pixel, typename Body>
void with_run(const PatchRows<Pixel>& p, Body&& body) {
  const int run = widest_run(p);
  if (run == 1) return body(std::integral_constant<int, 1>{});
  if (run == 2) return body(std::integral_constant<int, 2>{});
  body(std::integral_constant < int, sizeof(Pixel) == 1 ? 8 : 4 > {});
}

}  // namespace cuclip
