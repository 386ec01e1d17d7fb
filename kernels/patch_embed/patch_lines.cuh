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
/// At most, of the tables between a product's tiles and its lines (patch_product.cuh).
inline constexpr int kTableBytes = 1152;

/// The same line of neighbouring patches.
struct alignas(16) LineSpan {
  const char* from;  // where line 0 of the first patch begins
  int place;         // and the line in its slot in shared memory
  int bytes;         // of its line
};

/// What a block has in shared memory besides tiles and tables: slots for lines, and behind them spans.
struct LineWindow {
  int slot_bytes;  // a line of all tokens
  Divisor slots;   // of two steps, which as B have a half each
  int spans;       // of a tile, at most: as A there is one, as B there are two
  int line_bytes;  // of all slots
  int bytes;       // of all slots and spans
};

/// Pixel: uint8_t or float.
template <typename Pixel>
struct PatchLines {
  const Pixel* pixels;
  PatchOrder order;
  int row;                   // bytes of a row of pixels
  int other_rows;            // of a channel, besides a patch's
  int64_t picture, total;    // bytes of a picture, of all
  int rows;                  // tokens of the batch
  Divisor tokens, spans;     // of a picture
  Divisor across, span;      // patches side by side, of a span
  int tile_elements;         // of a tile with elements on its side: whole lines, if that takes no more
  int lanes_log2;            // of the lanes that copy a line of a span, no more than it needs
  int gap;                   // bytes between the places of spans in shared memory, at least
  bool even_rows;            // every row begins at a multiple of 16 bytes
  bool aligned;              // the first does
  float scale[3], shift[3];  // a byte is normalised to byte * scale + shift

  static constexpr bool kBytes = sizeof(Pixel) == 1;
  static constexpr int kSize = static_cast<int>(sizeof(Pixel));
  static constexpr int kSector = 32;
  // Beside the tiles.
  static constexpr int kMostBytes = Tuning::kSharedBytesOfBlock - kPatchStages * kStageBytes - kTableBytes;

  /// Lines are cut where that costs nothing, or where whole ones do not fit.
  explicit PatchLines(const Pictures& p) : PatchLines(p, false) {
    const bool fits = std::max(window<bfloat16, 0>().bytes, window<bfloat16, 1>().bytes) <= kMostBytes;
    if (order.segment % PatchOrder::kSplitLine == 0 || !fits) *this = PatchLines(p, true);
  }

  /// For a block whose operand kOperand is the patches: as A the lines of two steps for a tile's
  /// tokens, as B two steps' tokens for a tile's lines.
  template <typename T, int kOperand>
  LineWindow window() const {
    constexpr int kTokens = kOperand == 0 ? kTile : kStep<T>;
    const int elements = kOperand == 0 ? 2 * kStep<T> : tile_elements;
    // The latest at which a step, or a tile, begins.
    const int first = order.line - std::gcd(int{order.line}, kOperand == 0 ? kStep<T> : tile_elements);
    const int lines = std::min((first + elements - 1) / order.line + 1, order.lines);
    // A warp reads up to so many bytes of a patch at once. Where that is more than a line it must find the
    // next one in other banks.
    const int read_bytes = !kBytes ? 0 : kOperand == 0 ? kStep<T> : 128;
    const int bytes = (kTokens - 1) * (line_bytes() + gap) + line_bytes() + 2 * (kVecBytes - 1);
    const int slot_bytes = static_cast<int>(round_up(bytes, 128)) + (read_bytes > line_bytes() ? 64 : 0);
    const int tiles = kOperand == 0 ? 1 : 2, slots = tiles * lines, spans_of_tile = (kTokens - 2) / span + 2;
    return {.slot_bytes = slot_bytes,
            .slots = Divisor(slots),
            .spans = spans_of_tile,
            .line_bytes = slots * slot_bytes,
            .bytes = slots * slot_bytes + tiles * spans_of_tile * static_cast<int>(sizeof(LineSpan))};
  }

  __host__ __device__ int line_bytes() const { return order.line * kSize; }

  /// Pixels of a line that are read from shared memory at once: 16 bytes of them, or 2, or 1. It is 1 where
  /// pictures are not regular, that is where rows do not begin at multiples of 16 bytes or lines are partly
  /// empty.
  int readable() const {
    const bool regular = aligned && even_rows && order.segment % order.line == 0;
    if (!regular) return 1;
    return line_bytes() % kVecBytes == 0 ? kVecBytes / kSize : std::gcd(int{order.line}, 2);
  }

  /// Of token t of the tile of kTokens tokens that begins at `first`: returns where its line is in its slot,
  /// and stores the span that begins with it, if one does; with the last token, how many there are. A token
  /// without a patch has another one's place.
  template <int kTokens, bool kRegular>
  __device__ __forceinline__ int find_token(int first, int t, LineSpan* found, int* count) const {
    int at = min(t, rows - 1 - first);
    int b = (first + at) / tokens, i = first + at - b * tokens - 1;
    const bool own = at == t && i >= 0;
    if (i < 0) {  // a class token
      const bool last = at + 1 == kTokens;
      at += last ? -1 : 1;
      i = last ? tokens - 2 : 0;
      b -= last;
    }
    const int q = i / span, c = i - q * span;
    int here;
    if constexpr (kRegular) {
      here = place(c * line_bytes(), at);
    } else {
      const int before = min(c, at);
      here = place(static_cast<int>(offset(b, i - before)), at - before) + before * line_bytes();
    }
    const int b0 = first / tokens, number = (b - b0) * spans + q - max(first - b0 * tokens - 1, 0) / span;
    if (own && (c == 0 || t == 0)) {
      found[number] = {reinterpret_cast<const char*>(pixels) + offset(b, i), here,
                       min(span - c, kTokens - t) * line_bytes()};
    }
    if (t == kTokens - 1) *count = number + 1;
    return here;
  }

  /// The span that a thread copies first, and its lane among those that do. Eight lanes that follow one
  /// another write to different banks: spans of whole sectors lie at odd multiples of 16 bytes, so those that
  /// are as far apart as a span has lanes do not meet.
  __device__ __forceinline__ int copied_span(int thread) const {
    const int group = thread >> lanes_log2, low = group & 7;
    return lanes_log2 > 3 ? group : group - low + ((low << lanes_log2 | low >> (3 - lanes_log2)) & 7);
  }
  __device__ __forceinline__ int copying_lane(int thread) const { return thread & ((1 << lanes_log2) - 1); }

  /// From line 0 of a patch to line l.
  __device__ __forceinline__ int64_t line_offset(int l) const {
    int r = l / order.parts;
    const int part = l - r * order.parts;
    if constexpr (!kBytes) r += r / order.patch * other_rows;
    return int64_t{r} * row + part * line_bytes();
  }
  /// How far line l is shifted in its slot, so that it keeps its alignment.
  __device__ __forceinline__ int line_shift(int l) const {
    return static_cast<int>(line_offset(l)) & (kVecBytes - 1);
  }

  /// Starts one lane's copies of a span's line to its slot. The line is `line` bytes from line 0, and its
  /// last `empty` bytes are no elements; none, where pictures are regular.
  template <bool kRegular>
  __device__ __forceinline__ void copy(const LineSpan& s, int64_t line, int empty, uint32_t slot,
                                       int lane) const {
    const char* source = s.from + line;
    const int bytes = kRegular ? s.bytes : s.bytes - empty, stride = kVecBytes << lanes_log2;
    const uint32_t to = slot + s.place;
    if (!kRegular && !aligned) {
      for (int i = lane * kSize; i < bytes; i += kSize << lanes_log2) {
        *static_cast<Pixel*>(__cvta_shared_to_generic(to + i)) = *reinterpret_cast<const Pixel*>(source + i);
      }
      return;
    }
    // From a sector's start, so that both of its halves are in one request.
    int d = lane * kVecBytes - static_cast<int>(reinterpret_cast<uintptr_t>(source) & (kSector - 1));
    // The last 16 bytes of all may be a part.
    const int64_t room = reinterpret_cast<const char*>(pixels) + total - source;
    const int whole = kRegular ? bytes : static_cast<int>(min(room - kVecBytes + 1, int64_t{bytes}));
    source += d;
    for (; d < whole; d += stride, source += stride) {
      if (d > -kVecBytes) async_copy_16(to + d, source, true);
    }
    if (!kRegular && d < bytes) async_copy_16_zero_fill(to + d, source, static_cast<int>(room) - d);
  }

 private:
  PatchLines(const Pictures& p, bool split)
      : order(p, split),
        row(static_cast<int>(p.columns * (kBytes ? 3 : kSize))),
        other_rows(static_cast<int>(p.height - p.patch)),
        picture(p.height * p.columns * 3 * kSize),
        total(p.batch * picture),
        tokens(1 + p.per_picture),
        spans(alone() ? p.per_picture : p.height / p.patch),
        across(p.columns / p.patch),
        span(alone() ? 1 : p.columns / p.patch),
        tile_elements(whole_lines(order)),
        lanes_log2(std::bit_width(
            std::clamp<uint32_t>(static_cast<uint32_t>(span * line_bytes() / kVecBytes), 2, 16) - 1)),
        even_rows(row % kVecBytes == 0) {
    CUCLIP_CHECK(p.batch * tokens <= INT32_MAX - kTile, "patch embedding: {} tokens are too many",
                 p.batch * tokens);
    rows = static_cast<int>(p.batch * tokens);
    // Spans that end at a multiple of 16 bytes do not run into the next.
    const bool even_spans = even_rows && span * order.segment * kSize % kVecBytes == 0;
    gap = !even_spans ? kSector : line_bytes() % kSector == 0 ? kVecBytes : 0;
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

  static int whole_lines(const PatchOrder& o) {
    const int whole = kTile / o.line * o.line;
    return whole > 0 && ceil_div(o.length, whole) == ceil_div(o.length, kTile) ? whole : kTile;
  }

  /// Whether a span is one patch: where lines are cut, and where they are whole sectors. Those lie at odd
  /// multiples of 16 bytes from each other: so lanes that have a token each read from different banks.
  bool alone() const { return order.parts > 1 || line_bytes() % kSector == 0; }

  /// Where patch i of picture b begins.
  __device__ __forceinline__ int64_t offset(int b, int i) const {
    const int y = i / across * order.patch, x = i % across * order.segment;
    return b * picture + int64_t{y} * row + x * kSize;
  }
  /// Where the span of the tile's token t lies in its line's slot: at its alignment, after other spans. In
  /// regular pictures the same is true of every patch.
  __device__ __forceinline__ int place(int from, int t) const {
    const int base = t * (line_bytes() + gap);
    return base + ((from - base) & (kVecBytes - 1));
  }
};

}  // namespace cuclip
