// Tile products one of whose operands are the patches of pictures, straight from the picture.
//
// The patches are a matrix with a row for each token: zeros for the class token, then the patches of the
// picture, with their elements in the order of patch_order.cuh, which the other operand has to follow. Their
// pixels come to shared memory a step before they are needed, in lines as they are (patch_lines.cuh: each
// sector once for the tile); from there the threads take pairs of elements, normalise and round them, and
// write them to the tile. Meanwhile the next copies are under way.
#pragma once

#include <type_traits>

#include "kernels/patch_embed/patch_lines.cuh"
#include "kernels/tiles/ffma_product.cuh"
#include "kernels/tiles/mma_product.cuh"

namespace cuclip {

/// Where a product's lines are in dynamic shared memory: after the tiles and the tokens' places.
inline constexpr int kPatchLinesAt = kPatchStages * kStageBytes + kTile * static_cast<int>(sizeof(int));
static_assert(kPatchLinesAt % 128 == 0);

/// Base: MmaProduct, Tf32Product or FfmaProduct. Patches are operand kOperand: 0 (A), then a tile has 128
/// tokens and a step moves along their elements; or 1 (B), then it has 128 elements and a step moves on to
/// other tokens. kPair: 2 where pairs of elements lie side by side and aligned, else 1.
template <OperandProduct Base, int kOperand, int kPair, typename Pixel>
requires SquareTile<Base>
class PatchProduct : public Base {
 public:
  using T = typename Base::Input;

  /// `first`: the tile's first token, or that of the first step. `element`: the tile's first, or 0. Waits
  /// until the first step's pixels are there.
  template <typename... Arguments>
  __device__ __forceinline__ PatchProduct(const PatchLines<Pixel>& patches, const LineWindow& window,
                                          int first, int element, int steps, char* shared,
                                          Arguments&&... arguments)
      : Base(arguments..., shared),
        patches_(patches),
        window_(window),
        places_(reinterpret_cast<int*>(shared + kPatchStages * kStageBytes)),
        lines_(shared + kPatchLinesAt),
        spans_(reinterpret_cast<LineSpan*>(lines_ + window.line_bytes())),
        first_(first),
        element_(element),
        steps_(steps),
        line_(kAlong ? 0 : element / patches.order.line) {
    if constexpr (kAlong) find_places(first, 0);
    find_spans(first, 0);
    __syncthreads();
    fetch(0);
    async_commit();
    async_wait<0>();
    __syncthreads();
  }

  __device__ __forceinline__ void load(int step, int stage) {
    fetch(step + 1);
    if constexpr (kAlong) {
      Base::load_b(step, stage);
    } else {
      Base::load_a(step, stage);
    }
    convert(step, stage);
  }

 private:
  static constexpr bool kAlong = kOperand == 0;  // steps move along the elements
  static constexpr bool kMma = requires { typename Base::OperandA; };
  static constexpr bool kBytes = sizeof(Pixel) == 1;
  static constexpr int kTokens = kAlong ? kTile : kStep<T>, kElements = kAlong ? kStep<T> : kTile;

  /// One element of every token: how far it is from the token's place, if it exists, and a byte's
  /// normalisation.
  struct Element {
    int at;
    bool inside;
    float scale, shift;
  };

  __device__ __forceinline__ int thread() const { return static_cast<int>(threadIdx.x); }

  /// The places of kTokens tokens starting at `first`, for steps of this parity.
  __device__ __forceinline__ void find_places(int first, int parity) {
    if (thread() >= kTokens) return;
    places_[parity * kTokens + thread()] = patches_.place_of_token(first, thread());
  }

  /// The spans of the tile of kTokens tokens that begins at `first`.
  __device__ __forceinline__ void find_spans(int first, int parity) {
    if (thread() >= window_.spans) return;
    spans_[parity * window_.spans + thread()] = patches_.template find_span<kTokens>(first, thread());
  }

  /// Starts the copies of what `step` needs and no earlier step did.
  __device__ __forceinline__ void fetch(int step) {
    const PatchOrder& o = patches_.order;
    if constexpr (kAlong) {
      const int end = min(((step + 1) * kElements - 1) / o.line + 1, o.lines);
      copy_lines(line_, end, step);
      line_ = end;
    } else {
      if (step >= steps_) return;
      const int first = first_ + step * kTokens;
      find_places(first, step % 2);
      find_spans(first + kTokens, (step + 1) % 2);
      copy_lines(line_, min((element_ + kElements - 1) / o.line + 1, o.lines), step);
    }
  }

  /// Lines begin ... end - 1 of a step's tokens. A few lanes take a line of a span.
  __device__ __forceinline__ void copy_lines(int begin, int end, int step) const {
    constexpr int kAtOnce = kAlong ? 1 : 4, kLineThreads = Base::kThreads / kAtOnce;
    const PatchOrder& o = patches_.order;
    const LineSpan* spans = spans_ + (kAlong ? 0 : step % 2 * window_.spans);
    const int lane = thread() % kLineThreads;
    for (int l = begin + thread() / kLineThreads; l < end; l += kAtOnce) {
      const int64_t offset = patches_.line_offset(l);
      const int elements = min(int{o.line}, o.segment - l % o.parts * o.line);
      char* to = lines_ + slot(l, step) + patches_.line_shift(l);
      for (int i = lane / patches_.lanes; i < window_.spans; i += kLineThreads / patches_.lanes) {
        const LineSpan span = spans[i];
        if (span.count == 0) break;
        patches_.copy(span, offset, elements * static_cast<int>(sizeof(Pixel)), to, lane % patches_.lanes);
      }
    }
  }
  /// Where line l of a step's tokens is.
  __device__ __forceinline__ int slot(int l, int step) const {
    const int number = kAlong ? l % window_.slots : step % 2 * (window_.slots / 2) + l - line_;
    return number * window_.slot_bytes;
  }

  /// A thread converts one pair of elements of kCount tokens. Neighbouring lanes have neighbouring pairs of
  /// few tokens, so that neither reads nor writes have bank conflicts.
  static constexpr int kPairs = kElements / 2, kCount = kTokens * kPairs / Base::kThreads;
  __device__ __forceinline__ int pair_element() const {
    return 2 * (kAlong && !kMma ? thread() % 4 + thread() / (4 * kTokens / kCount) * 4 : thread() % kPairs);
  }
  __device__ __forceinline__ int pair_token(int i) const {
    if constexpr (!kAlong || (kMma && sizeof(T) == 4))
      return thread() / kPairs + i * (Base::kThreads / kPairs);
    // Eight to a warp, whose elements go to different lines of the tile.
    if constexpr (!kMma) return thread() / 4 % (kTokens / kCount) + i * (kTokens / kCount);
    // Two to a warp, 17 apart: in lines of 42 or 48 bytes they share no bank.
    const int second = thread() / kPairs % 2;
    return thread() / kWarp * 2 + second * 17 + i * 8 - (i * 8 < kTokens - 16 ? 0 : second * kTokens);
  }

  /// From the lines to the tile of a stage.
  __device__ __forceinline__ void convert(int step, int stage) const {
    constexpr int kBatch = kCount < 8 ? kCount : 8;  // reads that are under way together
    int k = pair_element();
    // In f32 every register is in use: what depends on k is computed at each step rather than kept.
    if constexpr (!kMma) asm volatile("" : "+r"(k));
    const Element e[2] = {element(k, step), element(k + 1, step)};
    const int* places = places_ + (kAlong ? 0 : step % 2 * kTokens);
#pragma unroll
    for (int first = 0; first < kCount; first += kBatch) {
      int place[kBatch];
      Pixels pixels[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) place[i] = places[pair_token(first + i)];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) pixels[i] = read_pair(place[i], e);
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        float v[2];
#pragma unroll
        for (int j = 0; j < 2; ++j) v[j] = value(pixels[i], j, e[j]);
        if (kBytes && place[i] < 0) v[0] = v[1] = 0.0f;
        write_pair(stage, first + i, k, v);
      }
    }
  }

  __device__ __forceinline__ Element element(int k, int step) const {
    const PatchOrder& o = patches_.order;
    k += element_ + (kAlong ? step * kElements : 0);
    const int l = k / o.line, x = l % o.parts * o.line + k % o.line, c = x % 3;
    if (k >= o.length || x >= o.segment) return {0, false, 0.0f, 0.0f};
    const int at = slot(l, step) + patches_.line_shift(l) + k % o.line * static_cast<int>(sizeof(Pixel));
    const auto of_channel = [&](const float(&v)[3]) { return c == 0 ? v[0] : c == 1 ? v[1] : v[2]; };
    return {at, true, of_channel(patches_.scale), of_channel(patches_.shift)};
  }

  /// Two pixels; bytes are the lowest ones of a word each. Zeros where there are none.
  using Pixels = std::conditional_t<kBytes, uint32_t, float2>;
  __device__ __forceinline__ Pixels read_pair(int place, const Element (&e)[2]) const {
    const char* from = lines_ + place;
    const auto read = [&]<typename Some>(Some, const Element& at) {
      return place >= 0 && at.inside ? *reinterpret_cast<const Some*>(from + at.at) : Some{};
    };
    if constexpr (kPair == 2) {
      return read(std::conditional_t<kBytes, uint16_t, float2>{}, e[0]);
    } else if constexpr (kBytes) {
      return read(Pixel{}, e[0]) | read(Pixel{}, e[1]) << 8;
    } else {
      return {read(Pixel{}, e[0]), read(Pixel{}, e[1])};
    }
  }
  static __device__ __forceinline__ float value(const Pixels& pixels, int j, const Element& e) {
    if constexpr (kBytes) {
      // A byte put into the last bits of the float 2^23: this runs at full rate, conversions at a quarter of
      // it.
      const uint32_t bits = __byte_perm(pixels, 0x4b000000u, 0x7440 + j);
      return fmaf(__uint_as_float(bits) - 8388608.0f, e.scale, e.shift);
    } else {
      return j == 0 ? pixels.x : pixels.y;
    }
  }
  __device__ __forceinline__ void write_pair(int stage, int i, int k, const float (&v)[2]) const {
    const int t = pair_token(i);
    if constexpr (kMma) {
      using Tile = std::conditional_t<kAlong, typename Base::OperandA, typename Base::OperandB>;
      // Places repeat every eight lines.
      constexpr int kRepeat = kAlong ? 1 : 8 * kPairs / Base::kThreads;
      const int like = pair_token(i % kRepeat), chunk = Tile::place(like, k / Tile::kChunk);
      Vec<T>& to = Base::tile(stage, kOperand)[chunk + (t - like) * Tile::kChunks];
      if constexpr (sizeof(T) == 2) {
        to.words[k % Tile::kChunk / 2] = pack_bf16(v[0], v[1]);
      } else {
        store_shared_pair(reinterpret_cast<float*>(to.words) + k % Tile::kChunk, v[0], v[1]);
      }
    } else if constexpr (kAlong) {
      Base::tile(stage, 0)[Base::element(k, t)] = v[0];
      Base::tile(stage, 0)[Base::element(k + 1, t)] = v[1];
    } else {
      store_shared_pair(Base::tile(stage, 1) + Base::element(t, k), v[0], v[1]);
    }
  }

  const PatchLines<Pixel>& patches_;
  const LineWindow& window_;
  int* places_;
  char* lines_;
  LineSpan* spans_;  // of steps with either parity; as A those of the tile
  int first_, element_, steps_;
  int line_;  // the next to be copied, or the tile's first
};

/// Calls body(std::integral_constant<int, kPair>) for the pictures. Host code.
template <typename Pixel, typename Body>
void with_pair(const PatchLines<Pixel>& p, Body&& body) {
  const bool pairs = p.order.segment % 2 == 0 && p.row % (2 * sizeof(Pixel)) == 0;
  pairs ? body(std::integral_constant<int, 2>{}) : body(std::integral_constant<int, 1>{});
}

}  // namespace cuclip
