#include "tests/support/buffer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string_view>

#include "kernels/common/stream.h"

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

Device test_device() {
  static const Device device = [] {
    const char* name = std::getenv("CUCLIP_TEST_DEVICE");
    const std::string_view wanted = name ? name : "cpu";
    CUCLIP_CHECK(wanted == "cpu" || wanted == "cuda", "CUCLIP_TEST_DEVICE must be cpu or cuda, got {}",
                 wanted);
    return wanted == "cuda" ? Device::cuda : Device::cpu;
  }();
  return device;
}

bool emulated() { return on_cuda() && cuda_description().find("(emulated)") != std::string::npos; }

void* test_stream() {
  static const DeviceStream stream(test_device());
  return stream.handle();
}

Profiler& operations_run() {
  static Profiler profiler;
  return profiler;
}

Buffer::Buffer(const Shape& shape, DType dtype, uint8_t fill, size_t offset)
    : shape_(shape), dtype_(dtype), offset_(offset) {
  memory_.resize(2 + (offset + bytes() + kGuard - 1) / kGuard);
  std::memset(memory_.data(), 0xA5, memory_.size() * kGuard);
  std::memset(base(), fill, bytes());
}

Buffer::Buffer(const Buffer& other) : Buffer(other.shape_, other.dtype_, 0, other.offset_) {
  other.fetch();
  memory_ = other.memory_;
}

Buffer& Buffer::operator=(const Buffer& other) { return *this = Buffer(other); }

Buffer Buffer::shifted(int64_t elements) const {
  Buffer copy(shape_, dtype_, 0, static_cast<size_t>(elements) * size_of(dtype_));
  fetch();
  std::memcpy(copy.base(), base(), bytes());
  return copy;
}

TensorView Buffer::view() const {
  if (!on_cuda()) return host_view();
  if (!device_memory_) {
    device_memory_.reset(
        static_cast<uint8_t*>(device_allocate(Device::cuda, offset_ + std::max<size_t>(bytes(), 1))));
  }
  uint8_t* tensor = device_memory_.get() + offset_;
  if (newest_ == Newest::host) device_copy(Device::cuda, tensor, base(), bytes(), test_stream());
  // Whoever has the view may write to it at any time from now on.
  newest_ = Newest::device;
  fetched_ = -1;
  return TensorView(tensor, dtype_, shape_);
}

TensorView Buffer::view_as(const Shape& shape, int64_t first) const {
  CUCLIP_CHECK(first >= 0 && first + shape.elements() <= elements(), "{} from element {} is outside {}",
               shape.to_string(), first, shape_.to_string());
  return TensorView(static_cast<uint8_t*>(view().data) + static_cast<size_t>(first) * size_of(dtype_), dtype_,
                    shape);
}

void Buffer::fetch() const {
  if (newest_ == Newest::host || fetched_ == operations_run().calls()) return;
  device_copy(Device::cuda, base(), device_memory_.get() + offset_, bytes(), test_stream());
  device_synchronize(Device::cuda, test_stream());
  fetched_ = operations_run().calls();
}

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
      edit<float>()[i] = static_cast<float>(value);
      break;
    case DType::bf16:
      edit<bfloat16>()[i] = bfloat16(static_cast<float>(value));
      break;
    case DType::i32:
      edit<int32_t>()[i] = static_cast<int32_t>(value);
      break;
    case DType::u8:
      edit<uint8_t>()[i] = static_cast<uint8_t>(value);
      break;
  }
}

std::vector<double> Buffer::to_doubles() const {
  std::vector<double> values(static_cast<size_t>(elements()));
  for (int64_t i = 0; i < elements(); ++i) values[static_cast<size_t>(i)] = at(i);
  return values;
}

bool Buffer::same_bits(const Buffer& other) const {
  fetch();
  other.fetch();
  return dtype_ == other.dtype_ && shape_ == other.shape_ && std::memcmp(base(), other.base(), bytes()) == 0;
}

void Buffer::check_guards() const {
  const auto* begin = reinterpret_cast<const uint8_t*>(memory_.data());
  const uint8_t* end = begin + memory_.size() * kGuard;
  const uint8_t* tensor = base();
  const uint8_t* tensor_end = tensor + bytes();
  for (const uint8_t* p = begin; p < end; ++p) {
    if ((p < tensor || p >= tensor_end) && *p != 0xA5) {
      fail("a kernel wrote {} bytes from the start of a tensor of {} {}", p - tensor, name_of(dtype_),
           shape_.to_string());
    }
  }
}

void expect_close(const char* what, const Buffer& actual, const std::vector<double>& expected,
                  Tolerance tolerance, const std::vector<double>& further) {
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
    const double absolute = tolerance.absolute + (further.empty() ? 0.0 : further[static_cast<size_t>(i)]);
    const double excess = std::abs(a - e) / (absolute + tolerance.relative * std::abs(e));
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

double to_tf32(double x) {
  const auto bits = std::bit_cast<uint32_t>(static_cast<float>(x));
  return std::bit_cast<float>((bits + 0x1000u) & ~0x1fffu);
}

double roundoff(DType dtype) { return dtype == DType::bf16 ? std::ldexp(1.0, -8) : std::ldexp(1.0, -24); }

}  // namespace cuclip::test
