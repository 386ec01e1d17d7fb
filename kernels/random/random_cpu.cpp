// Random tensors on the CPU, in scalar f64: they are drawn once, when a model is initialised, and f64 makes
// the values agree between processors and compilers but for the last bit.
#include "kernels/random/random_cpu.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "kernels/random/philox.h"

namespace cuclip {
namespace {

constexpr int64_t kRange = 64 * 1024;  // elements a task

// Fills out[i] with value (offset + i) of a stream; values_of(block) makes the four values of a Philox block.
template <typename ValuesOf>
void fill(const TensorView& out, uint64_t seed, uint64_t stream, uint64_t offset, const ExecContext& ctx,
          ValuesOf values_of) {
  float* data = out.as<float>();
  const int64_t n = out.elements();
  parallel_for(ctx, ceil_div(n, kRange), [&](int64_t task, int) {
    const int64_t end = std::min(n, (task + 1) * kRange);
    std::array<float, 4> values{};
    for (int64_t i = task * kRange; i < end; ++i) {
      const uint64_t at = offset + static_cast<uint64_t>(i);
      if (at % 4 == 0 || i == task * kRange) values = values_of(philox_block(seed, stream, at / 4));
      data[i] = values[at % 4];
    }
  });
}

constexpr double kTwoToMinus32 = 0x1p-32;

}  // namespace

void fill_normal_cpu(const FillNormal& p, const ExecContext& ctx) {
  const double mean = static_cast<double>(p.mean), stddev = static_cast<double>(p.stddev);
  fill(p.out, p.seed, p.stream, p.offset, ctx, [&](const PhiloxBlock& words) {
    std::array<float, 4> values;
    for (size_t k = 0; k < 4; k += 2) {
      const double radius = std::sqrt(-2.0 * std::log((words[k] + 0.5) * kTwoToMinus32));
      const double angle = 2.0 * std::numbers::pi * (words[k + 1] * kTwoToMinus32);
      values[k] = static_cast<float>(mean + stddev * (radius * std::cos(angle)));
      values[k + 1] = static_cast<float>(mean + stddev * (radius * std::sin(angle)));
    }
    return values;
  });
}

void fill_uniform_cpu(const FillUniform& p, const ExecContext& ctx) {
  const double low = static_cast<double>(p.low), width = static_cast<double>(p.high) - low;
  const float below_high = std::nextafter(p.high, p.low);
  fill(p.out, p.seed, p.stream, p.offset, ctx, [&](const PhiloxBlock& words) {
    std::array<float, 4> values;
    for (size_t k = 0; k < 4; ++k) {
      values[k] = std::min(static_cast<float>(low + width * (words[k] * kTwoToMinus32)), below_high);
    }
    return values;
  });
}

}  // namespace cuclip
