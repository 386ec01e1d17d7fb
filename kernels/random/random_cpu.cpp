// Random tensors on the CPU, in scalar f64: they are drawn once, when a model is initialised, and f64 makes
// the values agree between processors, devices and compilers except for the last bit.
#include "kernels/random/random_cpu.h"

#include <algorithm>

#include "kernels/random/random_values.h"

namespace cuclip {
namespace {

constexpr int64_t kRange = 64 * 1024;  // elements per task

// out[i] = value (offset + i) of the stream.
template <typename Fill>
void fill(const Fill& p, const ExecContext& ctx) {
  float* data = p.out.template as<float>();
  const int64_t n = p.out.elements();
  const auto values_of_block = values_of(p);
  parallel_for(ctx, ceil_div(n, kRange), [&](int64_t task, int) {
    const int64_t end = std::min(n, (task + 1) * kRange);
    FourValues four{};
    for (int64_t i = task * kRange; i < end; ++i) {
      const uint64_t at = p.offset + static_cast<uint64_t>(i);
      if (at % 4 == 0 || i == task * kRange) four = values_of_block(philox_block(p.seed, p.stream, at / 4));
      data[i] = four.values[at % 4];
    }
  });
}

}  // namespace

void fill_normal_cpu(const FillNormal& p, const ExecContext& ctx) { fill(p, ctx); }
void fill_uniform_cpu(const FillUniform& p, const ExecContext& ctx) { fill(p, ctx); }

}  // namespace cuclip
