// A product with windows that share their pixels: those of K > 1 and stride 1 whose result has the size of
// the picture, as in the inner layers of residual networks.
//
// There the windows of a tile's 128 positions lie in one run of pixels, 128 + (K - 1)(W + 1) of them. A run's
// next few channels, as many as a step has, come to shared memory once; the steps that follow are its K²
// taps, each of which reads the same lines, moved by the tap. Positions whose tap is outside the picture read
// zeros. So a tile reads each pixel once and not K² times. There are two buffers: while one run of
// channels is multiplied, the next comes in, a part of it with each step.
#pragma once

#include "kernels/conv2d/windows.cuh"

namespace cuclip {

/// The product, with B's stages one after the other.
template <TileElement T, Along kAlongB>
using HaloBase = TensorCoreProduct<T, Along::reduction, kAlongB, true, false, kOperandBytes>;

/// Of a square of windows.taps_across() taps; A, where the steps are taps inside runs of channels.
template <TileElement T, Along kAlongB>
class HaloProduct : public HaloBase<T, kAlongB> {
 public:
  using Base = HaloBase<T, kAlongB>;

  /// Whether it takes these windows, of so many taps across. Host code.
  static bool takes(const Windows<T>& w, int kernel) {
    return kernel > 1 && kernel <= kMostTaps && w.stride == 1 && w.positions == w.height * w.width &&
           w.across == w.width && w.channels % kStep<T> == 0 && w.in_chunks() &&
           shared_bytes(w.width, kernel) <= Tuning::kSharedBytesOfBlock;
  }
  static __host__ __device__ int lines(int width, int kernel) {
    return (kTile + (kernel - 1) * (width + 1) + 1) / 2 * 2;  // even: the swizzle is of pairs
  }
  static int shared_bytes(int width, int kernel) {
    return kZeroBytes + 2 * lines(width, kernel) * kLineBytes + kStages * kOperandBytes;
  }

  /// As WindowProduct's.
  __device__ __forceinline__ HaloProduct(const Windows<T>& windows, int first, int end, int /*element*/,
                                         const Operand<T>& no_matrix, const Operand<T>& b,
                                         const TilePlace& at, int64_t reduction, bool sums_rows, void* shared)
      : Base(no_matrix, b, at, reduction, sums_rows,
             static_cast<char*>(shared) + kZeroBytes - kOperandBytes +
                 2 * lines(windows.width, windows.taps_across) * kLineBytes),
        windows_(windows),
        shared_(static_cast<char*>(shared)),
        kernel_(windows.taps_across),
        lines_(lines(windows.width, windows.taps_across)),
        first_(first - (kernel_ - 1) / 2 * (windows.width + 1)) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp,
              warp_row = static_cast<int>(threadIdx.x) / (2 * kWarp) * 64;
    row_ = warp_row + lane % 16;
    chunk_ = lane / 16;
#pragma unroll
    for (int i = 0; i < 4; ++i) inside_[i] = inside(windows.position(first + row_ + 16 * i, end));
    if (threadIdx.x < kZeroBytes / sizeof(uint32_t)) reinterpret_cast<uint32_t*>(shared)[threadIdx.x] = 0;
  }

  __device__ __forceinline__ void load(int step, int stage) {
    // B's steps go along the channels of each tap.
    Base::load_b((load_tap_ * windows_.channels + load_run_ * kStep<T>) / kStep<T>, stage);
    if (step == 0) copy_run(0, 0, Base::kThreads);
    // The buffer was the run before's, which is over when the third of this one's steps is loaded.
    if (load_tap_ >= 2)
      copy_run(load_run_ + 1, (load_tap_ - 2) * Base::kThreads, (kernel_ * kernel_ - 2) * Base::kThreads);
    if (++load_tap_ == kernel_ * kernel_) {
      load_tap_ = 0;
      ++load_run_;
    }
  }

  __device__ __forceinline__ void multiply(int stage) {
    const int tap = tap_row_ * windows_.width + tap_column_;
    const int moved = windows_.direction > 0 ? tap : (kernel_ - 1) * (windows_.width + 1) - tap;
    const Vec<T>* from = run(run_);
    const int place = swizzle<kChunks>(row_ + moved, chunk_);
    // The zeros are as many bytes as the banks have: each lane reads those of the banks that its line is in.
    const Vec<T>* zeros = reinterpret_cast<const Vec<T>*>(shared_);
    Base::multiply_fragments(stage, [&](uint32_t(&r)[4], int i, int half) {
      const bool there = (inside_[i] >> tap_row_ & inside_[i] >> (kMostTaps + tap_column_) & 1) != 0;
      const int chunk = place ^ (2 * half);
      ldmatrix_x4(r, there ? from + chunk + 16 * kChunks * i : zeros + chunk % (kZeroBytes / kVecBytes));
      Base::OperandA::round_fragment(r);
    });
    if (++tap_column_ < kernel_) return;
    tap_column_ = 0;
    if (++tap_row_ < kernel_) return;
    tap_row_ = 0;
    ++run_;
  }

 private:
  static constexpr int kChunk = Vec<T>::kSize, kChunks = kStep<T> / kChunk;
  static constexpr int kLineBytes = kChunks * kVecBytes;
  static constexpr int kZeroBytes = 128;  // of all banks; buffers are multiples of it
  static constexpr int kMostTaps = 15;    // across: bits of inside_

  /// Where a buffer of lines begins.
  __device__ __forceinline__ Vec<T>* run(int number) const {
    return reinterpret_cast<Vec<T>*>(shared_ + kZeroBytes + number % 2 * lines_ * kLineBytes);
  }

  /// Starts some of the copies of a run of channels: each `stride`th from `begin` on.
  __device__ __forceinline__ void copy_run(int number, int begin, int stride) const {
    const int channel = number * kStep<T>, pixels = windows_.rows;
    if (channel >= windows_.channels) return;
    for (int i = begin + static_cast<int>(threadIdx.x); i < lines_ * kChunks; i += stride) {
      const int line = i / kChunks, chunk = i % kChunks, pixel = first_ + line;
      const bool there = pixel >= 0 && pixel < pixels;
      const T* from =
          there ? windows_.pixels + static_cast<int64_t>(pixel) * windows_.channels + channel + chunk * kChunk
                : windows_.pixels;
      async_copy_16_zero_fill(run(number) + swizzle<kChunks>(line, chunk), from, there ? kVecBytes : 0);
    }
  }

  /// A bit for each of the kernel's rows that is inside the picture at this position, then for its columns.
  __device__ __forceinline__ int inside(const typename Windows<T>::Place& at) const {
    int bits = 0;
    for (int i = 0; i < kernel_; ++i) {
      const auto is_inside = [&](int first, int extent) {
        return static_cast<unsigned>(first + windows_.direction * i) < static_cast<unsigned>(extent) ? 1 : 0;
      };
      bits |= is_inside(at.row, windows_.height) << i | is_inside(at.column, windows_.width)
                                                            << (kMostTaps + i);
    }
    return bits;
  }

  const Windows<T>& windows_;
  char* shared_;
  int kernel_, lines_, first_;  // first_: the run's first pixel
  int row_, chunk_;             // of the lane in ldmatrix' matrices
  int inside_[4];               // of its positions
  int load_tap_ = 0, load_run_ = 0;
  int tap_row_ = 0, tap_column_ = 0, run_ = 0;
};

/// Calls body(std::type_identity<Product>(), bytes of shared memory) with the product for these windows, as
/// A, and B along kAlongB; `vectors`: 16-byte accesses fit both. `kernel`: taps across of every window, or 0
/// where windows differ. Host code.
template <template <Along, Along, bool, bool> typename Base, Along kAlongB, TileElement T, typename Body>
void with_window_product(const Windows<T>& windows, int kernel, bool vectors, Body&& body) {
  if constexpr (requires { typename Base<Along::reduction, kAlongB, true, false>::OperandA; }) {
    using Halo = HaloProduct<T, kAlongB>;
    if (vectors && Halo::takes(windows, kernel)) {
      return body(std::type_identity<Halo>(), Halo::shared_bytes(windows.width, kernel));
    }
  }
  with_product<Base, Along::reduction, kAlongB, false>(vectors, [&]<typename P>(std::type_identity<P>) {
    body(std::type_identity<WindowProduct<P, 0>>(), kPipelineBytes);
  });
}

}  // namespace cuclip
