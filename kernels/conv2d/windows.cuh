// The windows of a convolution as a matrix, and tile products one of whose operands it is, gathered from the
// pictures as it is read. No window is ever written to memory.
//
// A row of the matrix is a position, a place of the kernel on a picture; its elements are the channels of one
// tap after the other, in the order of the weight. A pixel outside the picture is zeros. What a thread copies
// of a step's tile is one chunk (16 bytes, of one tap where the channels are whole chunks; otherwise the
// elements one by one) of a few positions; the copies are asynchronous as those of an operand in memory.
#pragma once

#include "kernels/common/divisor.cuh"
#include "kernels/conv2d/conv2d_shape.h"
#include "kernels/tiles/ffma_product.cuh"
#include "kernels/tiles/mma_product.cuh"

namespace cuclip {

template <TileElement T>
struct Windows {
  const T* pixels;  // [N, height, width, channels]
  int height, width;
  Divisor channels;
  Divisor taps_across;  // of the kernel's row
  int direction;        // 1, or -1 where later taps are pixels further to the front
  int elements;         // of a row: taps times channels
  int rows;             // positions of all pictures
  Divisor positions;    // of a picture
  Divisor across;       // positions side by side
  int stride;           // pixels between neighbouring positions
  int row, column;      // of the first tap of a picture's first position

  /// A position: its first tap's pixel, counted from the first picture's first, and where that is in the
  /// picture. A tap: the same from the position's first tap on, and the channel.
  struct Place {
    int pixel, row, column;
  };
  struct Tap {
    Place place;
    int channel;
  };
  static constexpr int kNowhere = -(1 << 30);  // a row outside of every picture, even twice

  /// Whether 16-byte accesses fit the taps of all positions. Host code.
  bool in_chunks() const { return channels % Vec<T>::kSize == 0 && aligned_to(kVecBytes, pixels); }

  __device__ __forceinline__ Place position(int number, int end) const {
    const int picture = number / positions, inside = number - picture * positions;
    const int down = inside / across;
    const int r = down * stride + row, c = (inside - down * across) * stride + column;
    return {picture * height * width + r * width + c, number < end ? r : kNowhere, c};
  }
  __device__ __forceinline__ Tap tap(int element) const {
    const int number = element / channels, down = number / taps_across;
    const int r = direction * down, c = direction * (number - down * taps_across);
    return {{r * width + c, element < elements ? r : kNowhere, c}, element - number * channels};
  }
  __device__ __forceinline__ bool inside(const Place& at, const Tap& tap) const {
    return static_cast<unsigned>(at.row + tap.place.row) < static_cast<unsigned>(height) &&
           static_cast<unsigned>(at.column + tap.place.column) < static_cast<unsigned>(width);
  }
  __device__ __forceinline__ const T* address(const Place& at, const Tap& tap) const {
    return pixels + static_cast<int64_t>(at.pixel + tap.place.pixel) * channels + tap.channel;
  }
};

/// The windows of x as the forward reads them. Host code.
template <TileElement T>
Windows<T> windows_of(const TensorView& x, const Conv2dShape& s) {
  return {.pixels = x.as<T>(),
          .height = static_cast<int>(s.height),
          .width = static_cast<int>(s.width),
          .channels = Divisor(s.channels),
          .taps_across = Divisor(s.kernel),
          .direction = 1,
          .elements = static_cast<int>(s.kernel * s.kernel * s.channels),
          .rows = static_cast<int>(s.batch * s.positions()),
          .positions = Divisor(s.positions()),
          .across = Divisor(s.out_width),
          .stride = static_cast<int>(s.stride),
          .row = static_cast<int>(-s.padding),
          .column = static_cast<int>(-s.padding)};
}

/// Base: MmaProduct, Tf32Product or FfmaProduct. The windows are operand kOperand: 0 (A), then a tile has 128
/// positions and a step moves along their elements; or 1 (B), then it has 128 elements and a step moves on to
/// other positions. With Base::kVectors the channels are whole chunks, and aligned.
template <OperandProduct Base, int kOperand>
class WindowProduct : public Base {
 public:
  using T = typename Base::Input;

  /// `first`: the tile's first position, or that of the first step; `end`: where positions are zeros from.
  /// `element`: the tile's first, or 0.
  template <typename... Arguments>
  __device__ __forceinline__ WindowProduct(const Windows<T>& windows, int first, int end, int element,
                                           Arguments&&... arguments)
      : Base(arguments...), windows_(windows), first_(first), end_(end), element_(element) {
    if constexpr (kAlong) {
#pragma unroll
      for (int i = 0; i < kPlaces; ++i) places_[i] = windows_.position(first_ + line(i), end_);
    } else {
      tap_ = windows_.tap(element_ + within(0));
    }
  }

  __device__ __forceinline__ void load(int step, int stage) const {
    if constexpr (kAlong) {
      Base::load_b(step, stage);
    } else {
      Base::load_a(step, stage);
    }
    gather(step, stage);
  }

 private:
  static constexpr bool kAlong = kOperand == 0;  // steps move along the elements
  static constexpr bool kMma = requires { typename Base::OperandA; };
  static constexpr int kChunk = kMma ? Vec<T>::kSize : 1;   // elements that a thread copies together
  static constexpr int kLines = kAlong ? kTile : kStep<T>;  // positions of a step's tile
  static constexpr int kChunks = (kAlong ? kStep<T> : kTile) / kChunk;  // of a position
  static constexpr int kCopies = kLines * kChunks / Base::kThreads;     // of a thread
  // Along the elements f32 goes in runs of eight, as FfmaProduct does.
  static constexpr bool kRuns = !kMma && kAlong;
  static constexpr int kRun = 8, kRunLines = Base::kThreads / kRun;
  static constexpr int kPlaces = !kAlong ? 1 : kRuns ? kLines / kRunLines : kCopies;

  /// Copy i of this thread: the position, counted in the tile, and the first of the elements.
  __device__ __forceinline__ int line(int i) const {
    const int thread = static_cast<int>(threadIdx.x);
    if constexpr (kRuns) return thread / kRun + i % kPlaces * kRunLines;
    return thread / kChunks + i * (Base::kThreads / kChunks);
  }
  __device__ __forceinline__ int within(int i) const {
    const int thread = static_cast<int>(threadIdx.x);
    if constexpr (kRuns) return thread % kRun + i / kPlaces * kRun;
    return thread % kChunks * kChunk;
  }

  __device__ __forceinline__ void gather(int step, int stage) const {
    if constexpr (kMma && !Base::kVectors) return gather_elements(step, stage);
    typename Windows<T>::Tap tap = tap_;
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      typename Windows<T>::Place at;
      if constexpr (kAlong) {
        at = places_[i % kPlaces];
        if (i == 0 || within(i) != within(i - 1)) tap = windows_.tap(step * kStep<T> + within(i));
      } else {
        at = windows_.position(first_ + step * kStep<T> + line(i), end_);
      }
      const bool inside = windows_.inside(at, tap);
      const T* from = inside ? windows_.address(at, tap) : windows_.pixels;
      if constexpr (kMma) {
        async_copy_16_zero_fill(target(stage, i), from, inside ? kVecBytes : 0);
      } else {
        async_copy_4_zero_fill(target(stage, i), from, inside ? 4 : 0);
      }
    }
  }

  /// Chunks each of whose elements is of a tap of its own. One after the other: all at once would spill.
  __device__ __forceinline__ void gather_elements(int step, int stage) const {
    const int first = kAlong ? step * kStep<T> : element_, number = first_ + (kAlong ? 0 : step * kStep<T>);
#pragma unroll 1
    for (int i = 0; i < kCopies; ++i) {
      const auto at = windows_.position(number + line(i), end_);
      float v[kChunk];
#pragma unroll
      for (int j = 0; j < kChunk; ++j) {
        const auto tap = windows_.tap(first + within(i) + j);
        v[j] = windows_.inside(at, tap) ? to_float(*windows_.address(at, tap)) : 0.0f;
      }
      *target(stage, i) = pack<T>(v);
    }
  }

  __device__ __forceinline__ auto* target(int stage, int i) const {
    auto* tile = Base::tile(stage, kOperand);
    if constexpr (!kMma) {
      return tile + (kAlong ? Base::element(within(i), line(i)) : Base::element(line(i), within(i)));
    } else if constexpr (kAlong) {
      return tile + Base::OperandA::place(line(i), within(i) / kChunk);
    } else {
      return tile + Base::OperandB::place(line(i), within(i) / kChunk);
    }
  }

  const Windows<T>& windows_;
  int first_, end_, element_;
  typename Windows<T>::Place places_[kPlaces];  // of the tile's positions
  typename Windows<T>::Tap tap_;                // of the tile's elements
};

/// Calls body(row, column, n, v) for the vectors of a tile's sums, n of whose elements are inside `columns`.
template <typename T, StagedSums<Vec<T>::kSize> Product, typename Body>
__device__ __forceinline__ void for_each_vector(Product& product, const TilePlace& at, int64_t columns,
                                                Body&& body) {
  constexpr int kSize = Vec<T>::kSize;
#pragma unroll 1
  for (int part = 0; part < Product::kParts; ++part) {
    const int64_t column = at.column + product.template column<kSize>(part);
    const int n = static_cast<int>(min(columns - column, int64_t{kSize}));
    product.stage(part);
#pragma unroll
    for (int pass = 0; pass < Product::template kPasses<kSize>; ++pass) {
      float v[kSize];
      product.read(pass, v);
      if (n > 0) body(at.row + product.template row<kSize>(part, pass), column, n, v);
    }
  }
}

}  // namespace cuclip
