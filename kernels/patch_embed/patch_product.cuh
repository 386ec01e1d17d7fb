// Tile products one of whose operands are the patches of pictures, straight from the picture.
//
// The patches are a matrix with a row for each token: none for the class token, then the patches of the
// picture, with their elements in the order of patch_order.cuh, which the other operand has to follow. Their
// pixels come to shared memory a step before they are needed, in lines as they are (patch_lines.cuh: each
// sector once for the tile); from there the threads take elements, normalise and round them, and write them
// to the tile. Meanwhile the next copies are under way.
#pragma once

#include <type_traits>

#include "kernels/patch_embed/patch_lines.cuh"
#include "kernels/tiles/ffma_product.cuh"
#include "kernels/tiles/mma_product.cuh"

namespace cuclip {

/// How bytes of kChannels successive channels are normalised.
template <int kChannels>
struct Scales {
  float scale[kChannels], shift[kChannels];

  __device__ __forceinline__ explicit Scales(const float2* from) {
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      scale[c] = from[c].x;
      shift[c] = from[c].y;
    }
  }
  /// Byte j of `bytes`, put into the last bits of the float 2^23: this runs at full rate, conversions at a
  /// quarter of it.
  __device__ __forceinline__ float normalised(uint32_t bytes, int j, int channel) const {
    const uint32_t bits = __byte_perm(bytes, 0x4b000000u, 0x7440 + j);
    return fmaf(__uint_as_float(bits) - 8388608.0f, scale[channel], shift[channel]);
  }
};

/// Base: MmaProduct, Tf32Product or FfmaProduct. Patches are operand kOperand: 0 (A), then a tile has 128
/// tokens and a step moves along their elements; or 1 (B), then it has elements and a step moves on to other
/// tokens. kReadable: so many pixels of a line are read at once (PatchLines::readable).
///
/// An element of a token lies in shared memory at the sum of two places, of which tables are kept: the
/// token's in a line, and the element's, which is that of its line and its place in it. A few threads fill
/// them a step ahead. Elements beyond the last and tokens without a patch have another one's values, which do
/// not matter: as A such tokens' rows are not stored, and the other operand has zeros at such elements; as B
/// it is the other way round, and class tokens' lines of A are cleared.
template <OperandProduct Base, int kOperand, int kReadable, typename Pixel>
requires SquareTile<Base>
class PatchProduct : public Base {
 public:
  using T = typename Base::Input;

  /// `first`: the tile's first token, or that of the first step. `element` to `end`: the tile's, or all.
  /// Waits until the first step's pixels are there.
  template <typename... Arguments>
  __device__ __forceinline__ PatchProduct(const PatchLines<Pixel>& patches, const LineWindow& window,
                                          int first, int element, int end, int steps, char* shared,
                                          Arguments&&... arguments)
      : Base(arguments..., shared),
        patches_(patches),
        window_(window),
        tables_(reinterpret_cast<Tables*>(shared + kTablesAt)),
        lines_(shared_address(shared + kLinesAt)),
        spans_(reinterpret_cast<LineSpan*>(shared + kLinesAt + window.line_bytes)),
        first_(first),
        end_(end),
        steps_(steps),
        span_(patches.copied_span(thread() % kLineThreads)),
        lane_(patches.copying_lane(thread())),
        line_(kAlong ? 0 : element / patches.order.line) {
    find_tokens(0);
    if constexpr (!kAlong) {
      fill_elements(element, 0);
      const int before = first % patches.tokens;
      class_token_ = before == 0 ? 0 : patches.tokens - before;
    }
    if (kBytes && thread() < 9) {
      const int i = thread() / 3, c = (i + thread() % 3) % 3;
      tables_->scales[i][thread() % 3] = {patches.scale[c], patches.shift[c]};
    }
    __syncthreads();
    fetch(0);
    async_commit();
    async_wait<0>();
    __syncthreads();
  }

  /// Of a block: the tiles, then tables, then lines and spans.
  static size_t shared_bytes(const LineWindow& window) {
    return static_cast<size_t>(kLinesAt + window.bytes);
  }

  __device__ __forceinline__ void load(int step, int stage) {
    fetch(step + 1);
    if constexpr (kAlong) {
      Base::load_b(step, stage);
    } else {
      Base::load_a(step, stage);
    }
    if constexpr (kBytes && kReadable <= 2) {
      convert_pairs(step, stage);
    } else {
      convert_runs(step, stage);
    }
  }

  __device__ __forceinline__ void multiply(int stage) {
    if constexpr (!kAlong) clear_class_tokens(stage);
    Base::multiply(stage);
  }

 private:
  static constexpr bool kAlong = kOperand == 0;  // steps move along the elements
  static constexpr bool kMma = requires { typename Base::OperandA; };
  static constexpr bool kBytes = sizeof(Pixel) == 1, kRegular = kReadable != 1;
  static constexpr int kTokens = kAlong ? kTile : kStep<T>, kElements = kAlong ? kStep<T> : kTile;
  static constexpr int kAtOnce = kAlong ? 1 : 4, kLineThreads = Base::kThreads / kAtOnce;  // of lines
  static constexpr int kPlaces = kAlong ? 1 : 4;
  template <typename B>
  using Tile = std::conditional_t<kAlong, typename B::OperandA, typename B::OperandB>;

  struct alignas(kVecBytes) Tables {
    int places[kPlaces * kTokens];                           // in the order of place_number
    int elements[(kAlong ? 2 : 1) * kElements / kReadable];  // of kReadable each
    alignas(kVecBytes) float2 scales[3][4];  // scale and shift of a channel and of those after it
    int spans[2];                            // of steps with either parity
  };
  static_assert(sizeof(Tables) <= kTableBytes);
  static constexpr int kTablesAt = kPatchStages * kStageBytes;
  static constexpr int kLinesAt = kTablesAt + static_cast<int>(sizeof(Tables));

  __device__ __forceinline__ int thread() const { return static_cast<int>(threadIdx.x); }

  /// The places and spans of a step's tokens. As B the places are kept for four steps, since they are found
  /// as early as the spans, a step before the copies.
  __device__ __forceinline__ void find_tokens(int step) {
    if (thread() >= kTokens) return;
    const int place = patches_.template find_token<kTokens, kRegular>(
        first_ + step * kTokens, thread(), spans_ + step % 2 * window_.spans, &tables_->spans[step % 2]);
    tables_->places[step % kPlaces * kTokens + place_number(thread())] =
        place + step % 2 * (window_.line_bytes / 2);
  }

  /// The places of the kElements elements that begin at `first`, for steps of this parity, and for bytes the
  /// channel of the first.
  __device__ __forceinline__ void fill_elements(int first, int parity) {
    constexpr int kReads = kElements / kReadable;
    if (thread() >= kReads) return;
    const PatchOrder& o = patches_.order;
    const int k = min(first + thread() * kReadable, end_ - kReadable), l = k / o.line;
    int x = k - l * o.line, channel = k, at = (kAlong ? l % window_.slots : l - line_) * window_.slot_bytes;
    if constexpr (!kRegular) {
      const int before = l % o.parts * o.line;
      channel = min(x + before, o.segment - 1);
      x = channel - before;
      at += patches_.line_shift(l);
    }
    at += x * static_cast<int>(sizeof(Pixel));
    tables_->elements[parity * kReads + thread()] = kBytes ? at * 4 + channel % 3 : at;
  }

  /// Starts the copies of what `step` needs and no earlier step did.
  __device__ __forceinline__ void fetch(int step) {
    const PatchOrder& o = patches_.order;
    if (step >= steps_) return;
    if constexpr (kAlong) {
      fill_elements(step * kElements, step % 2);
      const int end = min(((step + 1) * kElements - 1) / o.line + 1, o.lines);
      copy_lines(line_, end, step);
      line_ = end;
    } else {
      if (step + 1 < steps_) find_tokens(step + 1);
      copy_lines(line_, (end_ - 1) / o.line + 1, step);
    }
  }

  /// Lines begin ... end - 1 of a step's tokens. A few lanes take a line of a span.
  __device__ __forceinline__ void copy_lines(int begin, int end, int step) const {
    const PatchOrder& o = patches_.order;
    const int parity = kAlong ? 0 : step % 2, count = tables_->spans[parity];
    const LineSpan* spans = spans_ + parity * window_.spans;
    for (int l = begin + thread() / kLineThreads; l < end; l += kAtOnce) {
      const int64_t offset = patches_.line_offset(l);
      const int empty = kRegular ? 0 : max(l % o.parts * o.line + o.line - o.segment, 0);
      const int slot = kAlong ? l % window_.slots : l - line_;
      const uint32_t to = lines_ + parity * (window_.line_bytes / 2) + slot * window_.slot_bytes +
                          (kRegular ? 0 : static_cast<int>(offset) & (kVecBytes - 1));
      for (int i = span_; i < count; i += kLineThreads >> patches_.lanes_log2) {
        patches_.template copy<kRegular>(spans[i], offset, empty * static_cast<int>(sizeof(Pixel)), to,
                                         lane_);
      }
    }
  }

  /// Of bytes that are read by twos or ones a thread converts one pair of elements of kCount tokens.
  /// Neighbouring lanes have neighbouring pairs of few tokens, so that neither reads nor writes have bank
  /// conflicts.
  static constexpr int kPairs = kElements / 2, kCount = kTokens * kPairs / Base::kThreads;
  __device__ __forceinline__ int pair_element() const {
    return 2 * (kAlong && !kMma ? thread() % 4 + thread() / (4 * kTokens / kCount) * 4 : thread() % kPairs);
  }
  static constexpr bool kTwoTokens = kAlong && kMma && sizeof(T) == 2;
  static constexpr int kGroups = kTokens / kCount;  // of tokens, one for a thread
  __device__ __forceinline__ int pair_group() const {
    return kAlong && !kMma ? thread() / 4 % kGroups : thread() / kPairs;
  }
  /// A group's tokens are kGroups apart. Where two groups are in a warp, the second begins 17 tokens after
  /// the first: in lines of 42 or 48 bytes they share no bank.
  __device__ __forceinline__ int pair_token(int i) const {
    const int group = pair_group(), second = kTwoTokens ? group % 2 : 0;
    return group + i * kGroups + second * 2 * kGroups - (i < kCount - 2 ? 0 : second * kTokens);
  }
  /// Where the place of a token is kept: those of a thread follow one another.
  static __device__ __forceinline__ int place_number(int t) {
    if constexpr (!kBytes || kReadable > 2) return t;
    const int group = t % kGroups, i = t / kGroups;
    return group * kCount + (kTwoTokens ? (i - group % 2 * 2) & (kCount - 1) : i);
  }

  __device__ __forceinline__ void convert_pairs(int step, int stage) const {
    constexpr int kBatch = kCount < 8 ? kCount : 8;  // reads that are under way together
    const int k = pair_element();
    const int* elements =
        tables_->elements + (kAlong ? step % 2 * (kElements / kReadable) : 0) + k / kReadable;
    const uint32_t first = lines_ + (elements[0] >> 2), second = lines_ + (elements[2 / kReadable - 1] >> 2);
    const Scales<2> scales(tables_->scales[elements[0] & 3]);
    const uint32_t places =
        shared_address(tables_->places + step % kPlaces * kTokens + pair_group() * kCount);
#pragma unroll
    for (int from = 0; from < kCount; from += kBatch) {
      uint32_t place[kBatch], bytes[kBatch];  // bytes: the lowest ones
      load_shared_words(places + from * 4, place);
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        if constexpr (kReadable == 2) {
          bytes[i] = load_shared_u16(first + place[i]);
        } else {
          bytes[i] = load_shared_u8(first + place[i]) | load_shared_u8(second + place[i]) << 8;
        }
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        write_pair(stage, from + i, k, scales.normalised(bytes[i], 0, 0), scales.normalised(bytes[i], 1, 1));
      }
    }
  }
  __device__ __forceinline__ void write_pair(int stage, int i, int k, float first, float second) const {
    const int t = pair_token(i);
    if constexpr (kMma) {
      // Places repeat every eight lines.
      constexpr int kRepeat = kAlong ? 1 : 8 * kPairs / Base::kThreads, kChunk = Vec<T>::kSize;
      const int like = pair_token(i % kRepeat);
      const uint32_t to = Base::address(stage, kOperand) + Tile<Base>::place(like, k / kChunk) * kVecBytes +
                          k % kChunk * static_cast<int>(sizeof(T)) +
                          (t - like) * (Tile<Base>::kChunks * kVecBytes);
      if constexpr (sizeof(T) == 2) {
        store_shared_word(to, pack_bf16(first, second));
      } else {
        store_shared_pair(to, first, second);
      }
    } else if constexpr (kAlong) {
      Base::tile(stage, 0)[Base::element(k, t)] = first;
      Base::tile(stage, 0)[Base::element(k + 1, t)] = second;
    } else {
      store_shared_pair(Base::tile(stage, 1) + Base::element(t, k), first, second);
    }
  }

  /// Of anything else a thread converts neighbouring elements of one token, and lanes have neighbouring
  /// tokens. Their lines lie at odd multiples of what is read at once, 16 bytes or 8, so that reads have no
  /// conflicts either.
  static constexpr int kRun = kTokens * kElements / Base::kThreads;
  __device__ __forceinline__ void convert_runs(int step, int stage) const {
    constexpr int kChunk = Vec<T>::kSize, kRead = std::max(kChunk, kReadable);
    const int t = thread() % kTokens, k = thread() / kTokens * kRun;
    const uint32_t line = lines_ + tables_->places[step % kPlaces * kTokens + place_number(t)];
    const uint32_t elements =
        shared_address(tables_->elements + ((kAlong ? step % 2 * kElements : 0) + k) / kReadable);
#pragma unroll
    for (int first = 0; first < kRun; first += kRead) {
      uint32_t at[kRead / kReadable];
      load_shared_words(elements + first / kReadable * 4, at);
      float v[kRead];
#pragma unroll
      for (int i = 0; i < kRead; i += kReadable) {
        uint32_t words[kReadable * sizeof(Pixel) / 4];
        if constexpr (kBytes) {
          const Scales<3> scales(tables_->scales[at[i / kReadable] & 3]);
          load_shared_words(line + (at[i / kReadable] >> 2), words);
#pragma unroll
          for (int j = 0; j < kReadable; ++j) v[i + j] = scales.normalised(words[j / 4], j % 4, j % 3);
        } else {
          load_shared_words(line + at[i / kReadable], words);
#pragma unroll
          for (int j = 0; j < kReadable; ++j) v[i + j] = __uint_as_float(words[j]);
        }
      }
#pragma unroll
      for (int i = 0; i < kRead; i += kChunk) {
        float chunk[kChunk];
#pragma unroll
        for (int j = 0; j < kChunk; ++j) chunk[j] = v[i + j];
        write_chunk(stage, t, k, (first + i) / kChunk, chunk);
      }
    }
  }
  template <int kChunk>
  __device__ __forceinline__ void write_chunk(int stage, int t, int k, int chunk,
                                              const float (&v)[kChunk]) const {
    if constexpr (kMma) {
      // A run's chunks differ in the swizzle's last bits alone.
      const uint32_t run = Base::address(stage, kOperand) + Tile<Base>::place(t, k / kChunk) * kVecBytes;
      store_shared_vec(run ^ (chunk * kVecBytes), pack<T>(v));
    } else if constexpr (kAlong) {
#pragma unroll
      for (int i = 0; i < kChunk; ++i) Base::tile(stage, 0)[Base::element(k + i, t)] = v[i];
    } else {
      store_shared_vec(shared_address(Base::tile(stage, 1) + Base::element(t, k)), pack<T>(v));
    }
  }

  /// Those of A, in the stage that the block is about to multiply.
  __device__ __forceinline__ void clear_class_tokens(int stage) {
    constexpr int kLineBytes = kTile * static_cast<int>(sizeof(T));
    if (class_token_ < kTokens) {
      const uint32_t tile = shared_address(Base::tile(stage, 0));
      for (; class_token_ < kTokens; class_token_ += patches_.tokens) {
        if (thread() < kLineBytes / kVecBytes)
          store_shared_vec(tile + class_token_ * kLineBytes + thread() * kVecBytes, Vec<T>{});
      }
      __syncthreads();
    }
    class_token_ -= kTokens;
  }

  const PatchLines<Pixel>& patches_;
  const LineWindow& window_;
  Tables* tables_;
  uint32_t lines_;
  LineSpan* spans_;  // of steps with either parity; as A those of the tile
  int first_, end_, steps_;
  int span_, lane_;  // of the thread's copies
  int line_;         // the next to be copied, or the tile's first
  int class_token_;  // the next, from the first token of the step that is multiplied
};

/// Calls body(std::integral_constant<int, kReadable>) for the pictures and products of a Base. Host code.
template <typename Base, typename Pixel, typename Body>
void with_readable(const PatchLines<Pixel>& p, Body&& body) {
  constexpr int kMost = kVecBytes / static_cast<int>(sizeof(Pixel));
  const int pixels = p.readable();
  if constexpr (kMost <= kTile * kStep<typename Base::Input> / Base::kThreads) {
    if (pixels == kMost) return body(std::integral_constant<int, kMost>{});
  }
  pixels == 1 ? body(std::integral_constant<int, 1>{}) : body(std::integral_constant<int, 2>{});
}

}  // namespace cuclip
