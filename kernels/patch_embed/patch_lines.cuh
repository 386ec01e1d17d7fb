// Where the patches of pictures lie in memory, and where their pixels are put in a block's shared memory.
//
// The patches are a matrix with a row for each token: none for the class token, then those of the picture.
// Its elements come in lines (patch_order.cuh). The same line of neighbouring patches is one run of bytes, a
// span. A patch's part of it rarely begins and ends with a sector of memory (32 bytes), so a line is brought
// to shared memory for all tokens of a tile at once: whole sectors, each of them once, unchanged and at the
// alignment that they have in the picture. Where lines are cut (as for patches of 32 pixels) a span is one
// patch's.
#pragma once

#include <algorithm>
#include <bit>
#include <numeric>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/check.h"
#include "kernels/common/vec.cuh"
#include "kernels/patch_embed/patch_order.cuh"
#include "kernels/tiles/tile.cuh"

namespace cuclip {

inline constexpr int kPatchStages = Tuning::Tile::kPatchStages;

/// The same line of neighbouring patches.
struct alignas(16) LineSpan {
  int64_t from;  // where line 0 of the first patch begins: bytes from the first picture's start
  int place;     // and the line in its slot in shared memory
  int count;     // patches
};

/// What a block has in shared memory besides tiles: slots for lines, and behind them two tiles' spans.
struct LineWindow {
  int slot_bytes;  // a line of all tokens
  Divisor slots;
  int spans;  // of a tile, at most
  __host__ __device__ int line_bytes() const { return slots * slot_bytes; }
  int bytes() const { return line_bytes() + 2 * spans * static_cast<int>(sizeof(LineSpan)); }
};

/// Pixel: uint8_t or float.
template <typename Pixel>
struct PatchLines {
  const Pixel* pixels;
  PatchOrder order;
  int row;                        // bytes of a row of pixels
  int64_t plane, picture, total;  // of a channel, of a picture, of all
  int rows;                       // tokens of the batch
  Divisor tokens, spans;          // of a picture
  Divisor across, span;           // patches side by side, of a span
  Divisor lanes;                  // that copy a line of a span: a power of two, no more than it needs
  int gap;                        // bytes between the places of spans in shared memory, at least
  bool even_rows;                 // every row begins at a multiple of 16 bytes
  bool aligned;                   // the first does
  float scale[3], shift[3];       // a byte is normalised to byte * scale + shift

  static constexpr bool kBytes = sizeof(Pixel) == 1;
  static constexpr int kSize = static_cast<int>(sizeof(Pixel));
  static constexpr int kSector = 32;
  // Beside the tiles.
  static constexpr int kMostBytes = Tuning::kSharedBytesOfBlock - kPatchStages * kStageBytes - kTile * 4;

  /// Lines are cut where that costs nothing, or where whole ones do not fit.
  explicit PatchLines(const Pictures& p) : PatchLines(p, false) {
    const bool fits = std::max(window<bfloat16, 0>().bytes(), window<bfloat16, 1>().bytes()) <= kMostBytes;
    if (order.segment % PatchOrder::kSplitLine == 0 || !fits) *this = PatchLines(p, true);
  }

  /// For a block whose operand kOperand is the patches: as A the lines of two steps for a tile's
  /// tokens, as B two steps' tokens for a tile's lines.
  template <typename T, int kOperand>
  LineWindow window() const {
    constexpr int kTokens = kOperand == 0 ? kTile : kStep<T>, kElements = kOperand == 0 ? kStep<T> : kTile;
    const int elements = kOperand == 0 ? 2 * kStep<T> : kTile;
    const int first = order.line - std::gcd(int{order.line}, kElements);  // the latest at which a step begins
    const int lines = std::min((first + elements - 1) / order.line + 1, order.lines);
    // A warp reads up to 128 bytes of a patch at once. Where that is more than a line it must find the next
    // one in other banks.
    const int read_bytes = kOperand == 0 ? kStep<T> * kSize : 128;
    const int bytes = (kTokens - 1) * (line_bytes() + gap) + line_bytes() + 2 * (kVecBytes - 1);
    return {.slot_bytes = static_cast<int>(round_up(bytes, 128)) + (read_bytes > line_bytes() ? 64 : 0),
            .slots = Divisor(kOperand == 0 ? lines : 2 * lines),
            .spans = (kTokens - 2) / span + 2};
  }

  __host__ __device__ int line_bytes() const { return order.line * kSize; }

  /// Span `number` of the tile of kTokens tokens that begins at `first`; without patches after the last.
  template <int kTokens>
  __device__ __forceinline__ LineSpan find_span(int first, int number) const {
    const int b0 = first / tokens, index = b0 * spans + max(first % tokens - 1, 0) / span + number;
    const int b = index / spans, i = index % spans * span;
    const int token = b * tokens + 1 + i - first, outside = max(-token, 0);
    if (token >= kTokens || first + token >= rows) return {0, 0, 0};
    const int64_t from = offset(b, i + outside);
    return {from, place(from, token + outside), min(span - outside, kTokens - token - outside)};
  }
  /// Where token t's line is in its slot; negative: it has no patch.
  __device__ __forceinline__ int place_of_token(int first, int t) const {
    const int b = (first + t) / tokens, i = (first + t) % tokens - 1;
    if (i < 0 || first + t >= rows) return -1;
    const int before = min(i % span, t);
    return place(offset(b, i - before), t - before) + before * line_bytes();
  }

  /// From line 0 of a patch to line l.
  __device__ __forceinline__ int64_t line_offset(int l) const {
    const int r = l / order.parts, part = l % order.parts * line_bytes();
    if constexpr (kBytes) {
      return int64_t{r} * row + part;
    } else {
      return r / order.patch * plane + (r % order.patch * row + part);
    }
  }
  /// How far line l is shifted in its slot, so that it keeps its alignment.
  __device__ __forceinline__ int line_shift(int l) const {
    return even_rows ? 0 : static_cast<int>(line_offset(l)) & (kVecBytes - 1);
  }

  /// Starts one lane's copies of a span's line to its slot. The line is `line` bytes from line 0, and `last`
  /// bytes of the last patch are elements.
  __device__ __forceinline__ void copy(const LineSpan& s, int64_t line, int last, char* slot,
                                       int lane) const {
    const int64_t from = s.from + line;
    const char* source = reinterpret_cast<const char*>(pixels) + from;
    const int bytes = (s.count - 1) * line_bytes() + last;
    const int room = static_cast<int>(min(total - from, int64_t{bytes} + kVecBytes));
    char* to = slot + s.place;
    // From a sector's start, so that both of its halves are in one request.
    for (int d = lane * kVecBytes - (static_cast<int>(from) & (kSector - 1)); d < bytes;
         d += lanes * kVecBytes) {
      if (d <= -kVecBytes) continue;
      if (aligned) {
        async_copy_16_zero_fill(to + d, source + d, min(room - d, kVecBytes));
      } else {
#pragma unroll 1
        for (int i = max(d, 0); i < min(d + kVecBytes, bytes); i += kSize) {
          *reinterpret_cast<Pixel*>(to + i) = *reinterpret_cast<const Pixel*>(source + i);
        }
      }
    }
  }

 private:
  PatchLines(const Pictures& p, bool split)
      : order(p, split),
        row(static_cast<int>(p.columns * (kBytes ? 3 : kSize))),
        plane(p.height * row),
        picture(p.height * p.columns * 3 * kSize),
        total(p.batch * picture),
        tokens(1 + p.per_picture),
        spans(split ? p.per_picture : p.height / p.patch),
        across(p.columns / p.patch),
        span(split ? 1 : p.columns / p.patch),
        lanes(std::clamp<uint32_t>(std::bit_ceil(static_cast<uint32_t>(span * line_bytes() / kVecBytes)), 2,
                                   16)),
        even_rows(row % kVecBytes == 0) {
    CUCLIP_CHECK(p.batch * tokens <= INT32_MAX - kTile, "patch embedding: {} tokens are too many",
                 p.batch * tokens);
    rows = static_cast<int>(p.batch * tokens);
    // Spans that end at a multiple of 16 bytes do not run into the next. 128 bytes are all banks.
    const bool even_spans = even_rows && span * order.segment * kSize % kVecBytes == 0;
    gap = even_spans && line_bytes() % 128 != 0 ? 0 : kSector;
    if constexpr (kBytes) {
      pixels = p.bytes;
    } else {
      pixels = p.planar;
    }
    aligned = aligned_to(kVecBytes, pixels);
    for (int c = 0; c < 3; ++c) {
      scale[c] = p.scale[c];
      shift[c] = p.shift[c];
    }
  }

  /// Where patch i of picture b begins.
  __device__ __forceinline__ int64_t offset(int b, int i) const {
    const int y = i / across * order.patch, x = i % across * order.segment;
    return b * picture + int64_t{y} * row + x * kSize;
  }
  /// Where the span of the tile's token t lies in its line's slot: at its alignment, after other spans.
  __device__ __forceinline__ int place(int64_t from, int t) const {
    const int base = t * (line_bytes() + gap);
    return base + ((static_cast<int>(from) - base) & (kVecBytes - 1));
  }
};

}  // namespace cuclip
