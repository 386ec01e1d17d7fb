// A product with windows that share their pixels: those of K > 1 and stride 1 whose result has the size of
// the picture, as in the inner layers of residual networks.
//
// There the windows of a tile's P positions lie in one run of pixels, P + (K - 1)(W + 1) of them. A run's
// next few channels, as many as a step has, come to shared memory once; the steps that follow are its K²
// taps, each of which reads the same lines, moved by the tap. Positions whose tap is outside the picture read
// zeros. So a tile reads each pixel once and not K² times. There are two buffers: while one run of
// channels is multiplied, the next comes in, a part of it with each step.
#pragma once

#include "kernels/conv2d/windows.cuh"

namespace cuclip {

/// The product, with B's stages one after the other.
template <TileElement T, Along kAlongB, typename Form>
using HaloBase =
    TensorCoreProduct<T, Along::reduction, kAlongB, true, false, Form,
                      TensorCoreProduct<T, Along::reduction, kAlongB, true, false, Form>::kBytesB>;

/// Of a square of windows.taps_across() taps; A, where the steps are taps inside runs of channels.
template <TileElement T, Along kAlongB, typename Form>
class HaloProduct : public HaloBase<T, kAlongB, Form> {
 public:
  using Base = HaloBase<T, kAlongB, Form>;
  static constexpr int kStages = cuclip::kStages;  // of B, which are small in any form

  /// Whether it takes these windows, of so many taps across. Host code.
  static bool takes(const Windows<T>& w, int kernel) {
    return kernel > 1 && kernel <= kMostAcross && w.stride == 1 && w.positions == w.height * w.width &&
           w.across == w.width && w.channels % kStep<T> == 0 && w.in_chunks() &&
           shared_bytes(w.width, kernel) <= Tuning::kSharedBytesOfBlock;
  }
  static __host__ __device__ int lines(int width, int kernel) {
    return (Base::kRows + (kernel - 1) * (width + 1) + 1) / 2 * 2;  // even: the swizzle is of pairs
  }
  static int shared_bytes(int width, int kernel) {
    return kRunsAt + 2 * lines(width, kernel) * kLineBytes + kStages * Base::kBytesB;
  }

  /// As WindowProduct's.
  __device__ __forceinline__ HaloProduct(const Windows<T>& windows, int first, int end, int /*element*/,
                                         const Operand<T>& no_matrix, const Operand<T>& b,
                                         const TilePlace& at, int64_t reduction, bool sums_rows, void* shared)
      : Base(no_matrix, b, at, reduction, sums_rows,
             static_cast<char*>(shared) + kRunsAt - Base::kBytesA +
                 2 * lines(windows.width, windows.taps_across) * kLineBytes),
        windows_(windows),
        shared_(shared_address(shared)),
        taps_(windows.taps_across * windows.taps_across),
        lines_(lines(windows.width, windows.taps_across)),
        first_(first - (windows.taps_across - 1) / 2 * (windows.width + 1)),
        line_(static_cast<int>(threadIdx.x) / kChunks),
        buffers_(2 * (shared_ + kRunsAt) + lines_ * kLineBytes),
        next_(shared_ + kRunsAt + lines_ * kLineBytes),
        run_(shared_ + kRunsAt) {
    const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, chunk = thread % kChunks;
    row_ = thread / (Form::kWarpsAcross * kWarp) * 64 + lane % 16;
    chunk_ = lane / 16;
#pragma unroll
    for (int i = 0; i < 4; ++i) outside_[i] = outside(windows.position(first + row_ + 16 * i, end));
    from_ =
        reinterpret_cast<const char*>(windows.pixels + int64_t{first_} * windows.channels + chunk * kChunk);
    target_ = (swizzle<kChunks>(line_, chunk) - line_ * kChunks) * kVecBytes;
    pixel_bytes_ = windows.channels * static_cast<int>(sizeof(T));
    stride_ = (taps_ - 2) * kLinesAtOnce;
    // Kept in registers: nvcc would find them again at each use.
    asm("" : "+r"(lines_), "+r"(buffers_), "+r"(pixel_bytes_), "+r"(stride_));
    uint32_t* words = static_cast<uint32_t*>(shared);
    if (thread < kZeroBytes / 4) words[thread] = 0;
    if (thread < taps_) {
      const int tap = windows.direction > 0 ? thread : taps_ - 1 - thread;
      words[kZeroBytes / 4 + thread] = tap / windows.taps_across * windows.width + tap % windows.taps_across;
    }
  }

  __device__ __forceinline__ void load(int step, int stage) {
    // B's steps go along the channels of each tap.
    Base::load_b(load_tap_ * (windows_.channels / kStep<T>)+load_run_, stage);
    if (step == 0) copy_run(from_, buffers_ - next_, line_, kLinesAtOnce);
    // The buffer was the run before's, which is over when the third of this one's steps is loaded.
    if (load_tap_ >= 2 && (load_run_ + 1) * kStep<T> < windows_.channels)
      copy_run(from_ + kStepBytes, next_, line_ - 2 * kLinesAtOnce + load_tap_ * kLinesAtOnce, stride_);
    if (++load_tap_ == taps_) {
      load_tap_ = 0;
      ++load_run_;
      from_ += kStepBytes;
      next_ = buffers_ - next_;
    }
  }

  __device__ __forceinline__ void multiply(int stage) {
    const unsigned row = row_ + load_shared_word(shared_ + kZeroBytes + tap_ * 4);
    const uint32_t line = run_ + row * kLineBytes + (row / 2 % kChunks ^ chunk_) * kVecBytes;
    // The zeros are as many bytes as the banks have: each lane reads those of the banks that its line is in.
    const uint32_t zeros = shared_ + line % kZeroBytes;
    uint32_t from[4];  // of each 16 rows, less what the immediate of their ldmatrix adds
#pragma unroll
    for (int i = 0; i < 4; ++i) from[i] = (outside_[i] >> tap_ & 1) == 0 ? line : zeros - 16 * kLineBytes * i;
    Base::multiply_fragments(stage, [&](uint32_t(&r)[4], int i, int half) {
      ldmatrix_x4(r, (from[i] ^ (32 * half)) + 16 * kLineBytes * i);
      Base::OperandA::round_fragment(r);
    });
    if (++tap_ == taps_) {
      tap_ = 0;
      run_ = buffers_ - run_;
    }
  }

 private:
  static constexpr int kChunk = Vec<T>::kSize, kChunks = kStep<T> / kChunk;
  static constexpr int kLineBytes = kChunks * kVecBytes;
  static constexpr int kStepBytes = kStep<T> * static_cast<int>(sizeof(T));
  static constexpr int kMostAcross = 5;   // taps: those of a window are bits of outside_
  static constexpr int kZeroBytes = 128;  // of all banks
  // Before the runs' lines: the zeros, and for each tap by how many lines it moves.
  static constexpr int kRunsAt = kTileAlignment;
  static_assert(kZeroBytes + kMostAcross * kMostAcross * 4 <= kRunsAt);
  static_assert(2 * 2 * kLineBytes % kTileAlignment == 0);
  static constexpr int kLinesAtOnce = Base::kThreads / kChunks;
  static_assert(kLinesAtOnce % 8 == 0);  // the swizzle repeats

  /// Starts the thread's copies of every `stride`th line of a run, from `begin` on.
  __device__ __forceinline__ void copy_run(const char* from, uint32_t buffer, int begin, int stride) const {
    for (int line = begin; line < lines_; line += stride) {
      const bool there = static_cast<unsigned>(first_ + line) < static_cast<unsigned>(windows_.rows);
      async_copy_16(buffer + target_ + line * kLineBytes, advance(from, line, pixel_bytes_), there);
    }
  }

  /// A bit for each tap that is outside the picture at this position.
  __device__ __forceinline__ int outside(const typename Windows<T>::Place& at) const {
    int bits = 0;
    for (int tap = 0; tap < taps_; ++tap) {
      const int across = windows_.taps_across, down = tap / across;
      const int row = at.row + windows_.direction * down;
      const int column = at.column + windows_.direction * (tap - down * across);
      const bool inside = static_cast<unsigned>(row) < static_cast<unsigned>(windows_.height) &&
                          static_cast<unsigned>(column) < static_cast<unsigned>(windows_.width);
      bits |= inside ? 0 : 1 << tap;
    }
    return bits;
  }

  const Windows<T>& windows_;
  uint32_t shared_;
  int taps_, lines_, first_;  // first_: the run's first pixel
  int line_;                  // of a run's copies the thread's first; its pixel and where it goes, at line 0:
  const char* from_;
  uint32_t target_, pixel_bytes_;
  int stride_;        // between lines that a thread copies together
  uint32_t buffers_;  // the sum of both buffers' addresses
  uint32_t next_;     // where the run after the one being loaded goes
  uint32_t run_;      // the run that is multiplied
  int row_, chunk_;   // of the lane in ldmatrix' matrices
  int outside_[4];    // of its positions
  int load_tap_ = 0, load_run_ = 0, tap_ = 0;
};

/// Calls body(std::type_identity<Product>(), bytes of shared memory) with the product for these windows, as
/// A, and B along kAlongB; `vectors`: 16-byte accesses fit both. `kernel`: taps across of every window, or 0
/// where windows differ. Host code.
template <template <Along, Along, bool, bool> typename Base, Along kAlongB, TileElement T, typename Body>
void with_window_product(const Windows<T>& windows, int kernel, bool vectors, Body&& body) {
  if constexpr (requires { typename Base<Along::reduction, kAlongB, true, false>::Form; }) {
    using Plain = Base<Along::reduction, kAlongB, true, false>;
    using Halo = HaloProduct<T, kAlongB, typename Plain::Form>;
    if (vectors && windows.are_pixels(kernel)) {
      return body(std::type_identity<PixelProduct<Plain, 0>>(), Plain::kPipelineBytes);
    }
    if (vectors && Halo::takes(windows, kernel)) {
      return body(std::type_identity<Halo>(), Halo::shared_bytes(windows.width, kernel));
    }
  }
  with_product<Base, Along::reduction, kAlongB, false>(vectors, [&]<typename P>(std::type_identity<P>) {
    body(std::type_identity<WindowProduct<P, 0>>(), P::kPipelineBytes);
  });
}

}  // namespace cuclip
