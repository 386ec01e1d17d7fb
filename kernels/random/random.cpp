#include "kernels/random/random.h"

#include "kernels/common/dispatch.h"
#include "kernels/random/random_cpu.h"
#include "kernels/random/random_cuda.h"

namespace cuclip {

void fill_normal(const FillNormal& p, const ExecContext& ctx) {
  check_tensor("fill_normal: out", p.out, DType::f32, p.out.shape);
  CUCLIP_CHECK(p.stddev >= 0, "fill_normal: stddev must not be negative, got {}", p.stddev);
  CUCLIP_DISPATCH("fill_normal", ctx, fill_normal_cpu(p, ctx), fill_normal_cuda(p, ctx));
}

void fill_uniform(const FillUniform& p, const ExecContext& ctx) {
  check_tensor("fill_uniform: out", p.out, DType::f32, p.out.shape);
  CUCLIP_CHECK(p.low < p.high, "fill_uniform: low must be below high, got {} and {}", p.low, p.high);
  CUCLIP_DISPATCH("fill_uniform", ctx, fill_uniform_cpu(p, ctx), fill_uniform_cuda(p, ctx));
}

}  // namespace cuclip
