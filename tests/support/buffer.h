// Tensors for kernel tests: random or poisoned memory of a dtype, read back as double.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip::test {

/// A generator with a fresh seed each run; CUCLIP_TEST_SEED repeats one. The seed is printed once, to stderr.
std::mt19937_64& rng();

/// Where the kernels under test run: CUCLIP_TEST_DEVICE is "cuda", or "cpu" or absent.
Device test_device();
inline bool on_cuda() { return test_device() == Device::cuda; }
/// On CUDA without a GPU: tests may ask for what only the emulator does.
bool emulated();

/// The stream of all contexts and copies of a test program.
void* test_stream();

/// How many operations have run on test contexts on CUDA: what a Buffer fetched before the last one is stale.
Profiler& operations_run();

/// A context on the test device with its own pool and scratch.
class TestContext {
 public:
  explicit TestContext(int threads = 2) : pool_(threads), scratch_(test_device()) {}
  operator ExecContext() {
    return {.device = test_device(),
            .pool = &pool_,
            .scratch = &scratch_,
            .stream = test_stream(),
            .profiler = on_cuda() ? &operations_run() : nullptr};
  }

 private:
  ThreadPool pool_;
  Scratch scratch_;
};

/// Owns a contiguous tensor, with guard bytes around it that check_guards() verifies. view() is memory of the
/// test device, at() and the like are the host's: on CUDA the tensor is copied over when the other side asks
/// for it. Its memory there ends where the tensor ends, so that the emulator and compute-sanitizer report
/// what lies outside.
class Buffer {
 public:
  Buffer(const Buffer& other);
  Buffer& operator=(const Buffer& other);
  Buffer(Buffer&&) = default;
  Buffer& operator=(Buffer&&) = default;

  /// Filled with NaN (floating) or 0x7f bytes (integers): an element that a kernel forgets to write is seen.
  static Buffer poisoned(const Shape& shape, DType dtype);
  static Buffer zeros(const Shape& shape, DType dtype);
  /// Normal(mean, stddev), rounded to dtype.
  static Buffer normal(const Shape& shape, DType dtype, double stddev = 1.0, double mean = 0.0);
  /// Uniform integers in [0, bound).
  static Buffer indices(const Shape& shape, int32_t bound);
  static Buffer from(const Shape& shape, DType dtype, const std::vector<double>& values);
  /// A copy whose memory starts `elements` elements after a multiple of 64 bytes.
  Buffer shifted(int64_t elements) const;

  TensorView view() const;
  /// The memory from element `first` on, under another shape.
  TensorView view_as(const Shape& shape, int64_t first = 0) const;
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  int64_t elements() const { return shape_.elements(); }
  double at(int64_t i) const;
  void set(int64_t i, double value);
  std::vector<double> to_doubles() const;
  /// The host's copy, to read.
  template <typename T>
  const T* data() const {
    fetch();
    return host_view().as<T>();
  }
  /// The host's copy, to write before the next view() is taken: earlier views do not see it.
  template <typename T>
  T* edit() {
    fetch();
    newest_ = Newest::host;
    return host_view().as<T>();
  }
  /// Same bits, element for element.
  bool same_bits(const Buffer& other) const;
  /// Throws if a kernel wrote outside the tensor.
  void check_guards() const;

 private:
  enum class Newest : uint8_t { host, device };
  struct DeviceFree {
    void operator()(uint8_t* memory) const { device_free(Device::cuda, memory); }
  };
  static constexpr size_t kGuard = 64;
  struct alignas(kGuard) Line {
    uint8_t bytes[kGuard];
  };

  Buffer(const Shape& shape, DType dtype, uint8_t fill, size_t offset = 0);
  size_t bytes() const { return static_cast<size_t>(elements()) * size_of(dtype_); }
  uint8_t* base() const { return memory_[1].bytes + offset_; }
  TensorView host_view() const { return TensorView(base(), dtype_, shape_); }
  void fetch() const;

  Shape shape_;
  DType dtype_;
  size_t offset_;                     // in bytes, of the tensor from an aligned address
  mutable std::vector<Line> memory_;  // one line of guard before the tensor, at least one after it
  mutable std::unique_ptr<uint8_t, DeviceFree> device_memory_;
  mutable Newest newest_ = Newest::host;
  mutable int64_t fetched_ = -1;  // operations_run() when the host's copy was fetched
};

/// Tolerances: |actual - expected| <= absolute + relative * |expected|.
struct Tolerance {
  double absolute;
  double relative;
};

/// Throws std::runtime_error naming the worst element when a value is out of tolerance, or when one of the
/// two is NaN and the other is not. Checks guards too. `further`, if not empty, is added to the absolute
/// tolerance element by element.
void expect_close(const char* what, const Buffer& actual, const std::vector<double>& expected,
                  Tolerance tolerance, const std::vector<double>& further = {});

/// x, an f32, rounded to tf32: 11 significant bits, to nearest, ties away from zero.
double to_tf32(double x);

/// Unit roundoff of a dtype: half of the spacing above 1, 2^-24 (f32) and 2^-8 (bf16).
double roundoff(DType dtype);

}  // namespace cuclip::test
