#include "tests/support/buffer.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace cuclip::test {

std::mt19937_64& rng() {
  static std::mt19937_64 generator = [] {
    const char* fixed = std::getenv("CUCLIP_TEST_SEED");
    const uint64_t seed = fixed ? std::strtoull(fixed, nullptr, 10) : std::random_device{}();
    std::fprintf(stderr, "CUCLIP_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
    return std::mt19937_64(seed);
  }();
  return generator;
}

Buffer::Buffer(const Shape& shape, DType dtype, uint8_t fill) : shape_(shape), dtype_(dtype) {
  const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(dtype);
  memory_.resize(2 + (bytes + kGuard - 1) / kGuard);
  std::memset(memory_.data(), 0xA5, memory_.size() * kGuard);
  std::memset(base(), fill, bytes);
}

uint8_t* Buffer::base() const { return memory_[1].bytes; }

Buffer Buffer::poisoned(const Shape& shape, DType dtype) {
  const bool floating = dtype == DType::f32 || dtype == DType::bf16;
  return Buffer(shape, dtype, floating ? 0xFF : 0x7F);
}

Buffer Buffer::zeros(const Shape& shape, DType dtype) { return Buffer(shape, dtype, 0); }

Buffer Buffer::normal(const Shape& shape, DType dtype, double stddev, double mean) {
  Buffer buffer(shape, dtype, 0);
  std::normal_distribution<double> distribution(mean, stddev);
  for (int64_t i = 0; i < buffer.elements(); ++i) buffer.set(i, distribution(rng()));
  return buffer;
}

Buffer Buffer::indices(const Shape& shape, int32_t bound) {
  Buffer buffer(shape, DType::i32, 0);
  std::uniform_int_distribution<int32_t> distribution(0, bound - 1);
  for (int64_t i = 0; i < buffer.elements(); ++i) buffer.set(i, distribution(rng()));
  return buffer;
}

Buffer Buffer::from(const Shape& shape, DType dtype, const std::vector<double>& values) {
  Buffer buffer(shape, dtype, 0);
  for (int64_t i = 0; i < buffer.elements(); ++i) buffer.set(i, values.at(static_cast<size_t>(i)));
  return buffer;
}

TensorView Buffer::view() const { return TensorView(base(), dtype_, shape_); }

double Buffer::at(int64_t i) const {
  switch (dtype_) {
    case DType::f32:
      return static_cast<double>(data<float>()[i]);
    case DType::bf16:
      return static_cast<double>(static_cast<float>(data<bfloat16>()[i]));
    case DType::i32:
      return data<int32_t>()[i];
    case DType::u8:
      return data<uint8_t>()[i];
  }
  return std::numeric_limits<double>::quiet_NaN();
}

void Buffer::set(int64_t i, double value) {
  switch (dtype_) {
    case DType::f32:
      data<float>()[i] = static_cast<float>(value);
      break;
    case DType::bf16:
      data<bfloat16>()[i] = bfloat16(static_cast<float>(value));
      break;
    case DType::i32:
      data<int32_t>()[i] = static_cast<int32_t>(value);
      break;
    case DType::u8:
      data<uint8_t>()[i] = static_cast<uint8_t>(value);
      break;
  }
}

std::vector<double> Buffer::to_doubles() const {
  std::vector<double> values(static_cast<size_t>(elements()));
  for (int64_t i = 0; i < elements(); ++i) values[static_cast<size_t>(i)] = at(i);
  return values;
}

bool Buffer::same_bits(const Buffer& other) const {
  return dtype_ == other.dtype_ && shape_ == other.shape_ &&
         std::memcmp(base(), other.base(), static_cast<size_t>(elements()) * size_of(dtype_)) == 0;
}

void Buffer::check_guards() const {
  const auto* begin = reinterpret_cast<const uint8_t*>(memory_.data());
  const uint8_t* end = begin + memory_.size() * kGuard;
  const uint8_t* tensor = base();
  const uint8_t* tensor_end = tensor + static_cast<size_t>(elements()) * size_of(dtype_);
  for (const uint8_t* p = begin; p < end; ++p) {
    if ((p < tensor || p >= tensor_end) && *p != 0xA5) {
      fail("a kernel wrote {} bytes from the start of a tensor of {} {}", p - tensor, name_of(dtype_),
           shape_.to_string());
    }
  }
}

void expect_close(const char* what, const Buffer& actual, const std::vector<double>& expected,
                  Tolerance tolerance) {
  actual.check_guards();
  if (static_cast<int64_t>(expected.size()) != actual.elements()) {
    fail("{}: {} expected values for {} elements", what, expected.size(), actual.elements());
  }
  double worst = 0;
  int64_t worst_at = -1;
  for (int64_t i = 0; i < actual.elements(); ++i) {
    const double a = actual.at(i);
    const double e = expected[static_cast<size_t>(i)];
    if (std::isnan(a) && std::isnan(e)) continue;
    if (a == e) continue;  // infinities too
    const double excess = std::abs(a - e) / (tolerance.absolute + tolerance.relative * std::abs(e));
    if (!(excess <= 1.0) && !(excess <= worst)) {
      worst = std::isnan(excess) ? std::numeric_limits<double>::infinity() : excess;
      worst_at = i;
    }
  }
  if (worst_at >= 0) {
    fail("{}: element {} of {} is {:.9g}, expected {:.9g}: {:.2f} x the tolerance", what, worst_at,
         actual.shape().to_string(), actual.at(worst_at), expected[static_cast<size_t>(worst_at)], worst);
  }
}

double roundoff(DType dtype) { return dtype == DType::bf16 ? std::ldexp(1.0, -8) : std::ldexp(1.0, -24); }

}  // namespace cuclip::test
