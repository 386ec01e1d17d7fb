// Tensors for kernel tests: random or poisoned memory of a dtype, read back as double.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip::test {

/// A generator with a fresh seed each run; CUCLIP_TEST_SEED repeats one. The seed is printed once, to stderr.
std::mt19937_64& rng();

/// A context on the CPU with its own pool and scratch.
class CpuContext {
 public:
  explicit CpuContext(int threads = 2) : pool_(threads) {}
  operator ExecContext() { return {.device = Device::cpu, .pool = &pool_, .scratch = &scratch_}; }

 private:
  ThreadPool pool_;
  Scratch scratch_;
};

/// Owns a contiguous tensor, with guard bytes around it that check_guards() verifies.
class Buffer {
 public:
  /// Filled with NaN (floating) or 0x7f bytes (integers): an element that a kernel forgets to write is seen.
  static Buffer poisoned(const Shape& shape, DType dtype);
  static Buffer zeros(const Shape& shape, DType dtype);
  /// Normal(mean, stddev), rounded to dtype.
  static Buffer normal(const Shape& shape, DType dtype, double stddev = 1.0, double mean = 0.0);
  /// Uniform integers in [0, bound).
  static Buffer indices(const Shape& shape, int32_t bound);
  static Buffer from(const Shape& shape, DType dtype, const std::vector<double>& values);

  TensorView view() const;
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  int64_t elements() const { return shape_.elements(); }
  double at(int64_t i) const;
  void set(int64_t i, double value);
  std::vector<double> to_doubles() const;
  template <typename T>
  T* data() const {
    return view().as<T>();
  }
  /// Same bits, element for element.
  bool same_bits(const Buffer& other) const;
  /// Throws if a kernel wrote outside the tensor.
  void check_guards() const;

 private:
  Buffer(const Shape& shape, DType dtype, uint8_t fill);
  static constexpr size_t kGuard = 64;
  Shape shape_;
  DType dtype_;
  struct alignas(kGuard) Line {
    uint8_t bytes[kGuard];
  };
  mutable std::vector<Line> memory_;  // one line of guard before the tensor, at least one after it
  uint8_t* base() const;
};

/// Tolerances: |actual - expected| <= absolute + relative * |expected|.
struct Tolerance {
  double absolute;
  double relative;
};

/// Throws std::runtime_error naming the worst element when a value is out of tolerance, or when one of the
/// two is NaN and the other is not. Checks guards too.
void expect_close(const char* what, const Buffer& actual, const std::vector<double>& expected,
                  Tolerance tolerance);

/// Unit roundoff of a dtype: half of the spacing above 1, 2^-24 (f32) and 2^-8 (bf16).
double roundoff(DType dtype);

}  // namespace cuclip::test
