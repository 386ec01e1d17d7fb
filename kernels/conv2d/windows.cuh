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
#include "kernels/tiles/product_policy.h"

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
  /// picture. A tap: the same from the position's first tap on.
  struct Place {
    int pixel, row, column;
  };
  struct Tap {
    const T* first;  // its element of the first picture's first pixel
    int row, column;
  };
  static constexpr int kNowhere = -(1 << 30);  // a row outside of every picture, even twice

  /// Whether 16-byte accesses fit the taps of all positions. Host code.
  bool in_chunks() const { return channels % Vec<T>::kSize == 0 && aligned_to(kVecBytes, pixels); }
  /// Whether they are the pictures' pixels, one after the other. `kernel`: taps across of every window, or 0
  /// where windows differ. Host code.
  bool are_pixels(int kernel) const { return kernel == 1 && stride == 1 && positions == height * width; }

  __device__ __forceinline__ Place position(int number, int end) const {
    const int picture = number / positions, inside = number - picture * positions;
    const int down = inside / across;
    const int r = down * stride + row, c = (inside - down * across) * stride + column;
    return {picture * height * width + r * width + c, number < end ? r : kNowhere, c};
  }
  __device__ __forceinline__ Tap tap(int element) const {
    const int number = element / channels, down = number / taps_across;
    const int r = direction * down, c = direction * (number - down * taps_across);
    const T* first = pixels + static_cast<int64_t>(r * width + c) * channels + (element - number * channels);
    return {first, element < elements ? r : kNowhere, c};
  }
  __device__ __forceinline__ bool inside(const Place& at, const Tap& tap) const {
    return static_cast<unsigned>(at.row + tap.row) < static_cast<unsigned>(height) &&
           static_cast<unsigned>(at.column + tap.column) < static_cast<unsigned>(width);
  }
  __device__ __forceinline__ const T* address(const Place& at, const Tap& tap) const {
    return tap.first + int64_t{at.pixel} * channels;
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

/// Base: a TensorCoreProduct or FfmaProduct. The windows are operand kOperand: 0 (A), then a tile's rows are
/// positions and a step moves along their elements; or 1 (B), then its columns are elements and a step moves
/// on to other positions. With Base::kVectors the channels are whole chunks, and aligned.
template <OperandProduct Base, int kOperand>
class WindowProduct : public Base {
 public:
  using T = typename Base::Input;

  /// `first`: the tile's first position, or that of the first step; `end`: where positions are zeros from.
  /// `element`: the tile's first, or 0.
  template <typename... Arguments>
  __device__ __forceinline__ WindowProduct(const Windows<T>& windows, int first, int end, int element,
                                           Arguments&&... arguments)
      : Base(arguments...),
        windows_(windows),
        first_(first),
        end_(end),
        element_(element),
        first_target_(first_target()) {
    if constexpr (kAlong) {
#pragma unroll
      for (int i = 0; i < kPlaces; ++i) places_[i] = windows_.position(first_ + line(i), end_);
    } else {
#pragma unroll
      for (int i = 0; i < kGroups; ++i) taps_[i] = windows_.tap(element_ + within(i * kPlaces));
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
  static constexpr int kChunk = kMma ? Vec<T>::kSize : 1;         // elements that a thread copies together
  static constexpr int kLines = kAlong ? Base::kRows : kStep<T>;  // positions of a step's tile
  static constexpr int kChunks = (kAlong ? kStep<T> : Base::kColumns) / kChunk;  // of a position
  // Threads that copy neighbours of one position: 128 bytes, or in f32 as FfmaProduct does.
  static constexpr int kAcross = kMma || kAlong ? (kChunks < 8 ? kChunks : 8) : kChunks;
  static constexpr int kAtOnce = Base::kThreads / kAcross;  // positions
  // Of a thread: positions, and of each of them so many chunks.
  static constexpr int kPlaces = kLines / kAtOnce, kGroups = kChunks / kAcross;
  static constexpr int kCopies = kPlaces * kGroups;

  /// Copy i of this thread: the position, counted in the tile, and the first of the elements.
  __device__ __forceinline__ int line(int i) const {
    return static_cast<int>(threadIdx.x) / kAcross + i % kPlaces * kAtOnce;
  }
  __device__ __forceinline__ int within(int i) const {
    return (static_cast<int>(threadIdx.x) % kAcross + i / kPlaces * kAcross) * kChunk;
  }

  __device__ __forceinline__ void gather(int step, int stage) const {
    if constexpr (kMma && !Base::kVectors) {
      gather_elements(step, stage);
    } else if constexpr (kAlong) {
      typename Windows<T>::Tap tap;
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        if (i % kPlaces == 0) tap = windows_.tap(step * kStep<T> + within(i));
        copy(stage, i, places_[i % kPlaces], tap);
      }
    } else {
      // A lane finds one position for all lanes of its warp: those of a step are no more than lanes.
      static_assert(kLines <= kWarp);
      const int lane = static_cast<int>(threadIdx.x) % kLines;
      const auto own = windows_.position(first_ + step * kStep<T> + lane, end_);
#pragma unroll
      for (int place = 0; place < kPlaces; ++place) {
        const auto of_line = [&](int value) { return __shfl_sync(kAllLanes, value, line(place)); };
        const typename Windows<T>::Place at{of_line(own.pixel), of_line(own.row), of_line(own.column)};
#pragma unroll
        for (int i = 0; i < kGroups; ++i) copy(stage, i * kPlaces + place, at, taps_[i]);
      }
    }
  }

  __device__ __forceinline__ void copy(int stage, int i, const typename Windows<T>::Place& at,
                                       const typename Windows<T>::Tap& tap) const {
    const T* from = windows_.address(at, tap);
    if constexpr (kMma) {
      async_copy_16(target(stage, i), from, windows_.inside(at, tap));
    } else {
      async_copy_4(target(stage, i), from, windows_.inside(at, tap));
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
      store_shared_vec(target(stage, i), pack<T>(v));
    }
  }

  /// Where copy i goes. The swizzle of 16-byte chunks repeats from each of a thread's lines to the next.
  __device__ __forceinline__ uint32_t target(int stage, int i) const {
    if constexpr (kMma) {
      static_assert(kAtOnce % 8 == 0 && kAcross % 4 == 0);
      return Base::address(stage, kOperand) + first_target_ +
             (i % kPlaces * kAtOnce * kChunks + i / kPlaces * kAcross) * kVecBytes;
    } else {
      auto* tile = Base::tile(stage, kOperand);
      return shared_address(tile +
                            (kAlong ? Base::element(within(i), line(i)) : Base::element(line(i), within(i))));
    }
  }
  __device__ __forceinline__ uint32_t first_target() const {
    if constexpr (kMma) {
      using Side = std::conditional_t<kAlong, typename Base::OperandA, typename Base::OperandB>;
      return Side::place(line(0), within(0) / kChunk) * kVecBytes;
    }
    return 0;
  }

  const Windows<T>& windows_;
  int first_, end_, element_;
  uint32_t first_target_;
  typename Windows<T>::Place places_[kAlong ? kPlaces : 1];  // of the tile's positions
  typename Windows<T>::Tap taps_[kAlong ? 1 : kGroups];      // of the tile's elements
};

/// The same of windows that are pixels: a matrix in memory, which 16-byte accesses fit.
template <OperandProduct Base, int kOperand>
class PixelProduct : public Base {
 public:
  using T = typename Base::Input;

  /// As WindowProduct's.
  __device__ __forceinline__ PixelProduct(const Windows<T>& windows, int first, int /*end*/, int /*element*/,
                                          const Operand<T>& a, const Operand<T>& b, const TilePlace& at,
                                          int64_t reduction, bool sums_rows, void* shared)
      : Base(kOperand == 0 ? Operand<T>{windows.pixels, windows.channels, windows.rows} : a,
             kOperand == 0 ? b
                           : Operand<T>{windows.pixels + int64_t{first} * windows.channels, windows.channels,
                                        windows.channels},
             at, reduction, sums_rows, shared) {}
};

/// Calls body(products) with those of operands of `dtype`: on tensor cores of a form, but for f32 only if the
/// context allows tf32. Host code.
template <typename Form, typename Body>
void with_products(DType dtype, const ExecContext& ctx, Body&& body) {
  if (dtype == DType::bf16) return body(TensorCoreProducts<bfloat16, Form>());
  product_policy(ctx).tf32 ? body(TensorCoreProducts<float, Form>()) : body(FfmaProducts());
}

/// The same where windows are A and there are as many rows as positions, in the form for so many columns.
template <typename Body>
void with_products_of_columns(int64_t columns, DType dtype, const ExecContext& ctx, Body&& body) {
  using Tall = Tuning::TallProduct;
  columns <= kFormColumns<Tall> ? with_products<Tall>(dtype, ctx, body)
                                : with_products<Tuning::TensorCoreProduct>(dtype, ctx, body);
}

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
