// Random tensors on CUDA: a thread computes a Philox block and stores those of its four values that lie in
// the tensor. They are drawn once, when a model is initialised: in f64 as on the CPU, and without regard to
// speed.
#include "kernels/common/launch.cuh"
#include "kernels/random/random_cuda.h"
#include "kernels/random/random_values.h"

namespace cuclip {
namespace {

constexpr int kThreads = 256;

template <typename Values>
__global__ void __launch_bounds__(kThreads)
    fill_kernel(float* out, int64_t n, uint64_t seed, uint64_t stream, uint64_t offset, const Values values) {
  const uint64_t block = offset / 4 + static_cast<uint64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const FourValues four = values(philox_block(seed, stream, block));
#pragma unroll
  for (uint64_t k = 0; k < 4; ++k) {
    const uint64_t i = block * 4 + k - offset;  // of what comes before the first, a very large number
    if (i < static_cast<uint64_t>(n)) out[i] = four.values[k];
  }
}

template <typename Fill>
void fill(const Fill& p, const ExecContext& ctx) {
  const int64_t n = p.out.elements();
  if (n == 0) return;
  const int64_t blocks = ceil_div(n + static_cast<int64_t>(p.offset % 4), 4);
  const auto values = values_of(p);
  launch({.kernel = "fill_kernel", .grid = {ceil_div(blocks, kThreads)}, .threads = kThreads},
         fill_kernel<std::remove_const_t<decltype(values)>>, ctx, p.out.template as<float>(), n, p.seed,
         p.stream, p.offset, values);
}

}  // namespace

void fill_normal_cuda(const FillNormal& p, const ExecContext& ctx) { fill(p, ctx); }
void fill_uniform_cuda(const FillUniform& p, const ExecContext& ctx) { fill(p, ctx); }

}  // namespace cuclip
