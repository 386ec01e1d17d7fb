#include "kernels/adamw/adamw.h"

#include "kernels/adamw/adamw_cpu.h"
#include "kernels/adamw/adamw_cuda.h"
#include "kernels/common/dispatch.h"

namespace cuclip {
namespace {

void check_segments(const char* operation, std::span<const AdamWSegment> segments, int64_t n) {
  int64_t end = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    const AdamWSegment& s = segments[i];
    CUCLIP_CHECK(s.size >= 0 && s.offset >= end && s.size <= n - s.offset,
                 "{}: segment {} is [{}, {} + {}), expected it between {}, where the one before ends, and {}",
                 operation, i, s.offset, s.offset, s.size, end, n);
    end = s.offset + s.size;
  }
}

int64_t flat_size(const char* what, const TensorView& view) {
  CUCLIP_CHECK(view.rank() == 1, "{} must be [n], got {}", what, view.shape.to_string());
  return view.size(0);
}

}  // namespace

void adamw_step(const AdamWStep& p, const ExecContext& ctx) {
  const int64_t n = flat_size("adamw_step: weights", p.weights);
  check_tensor("adamw_step: weights", p.weights, DType::f32, {n});
  check_tensor("adamw_step: gradients", p.gradients, DType::f32, {n});
  check_tensor("adamw_step: exp_avg", p.exp_avg, DType::f32, {n});
  check_tensor("adamw_step: exp_avg_sq", p.exp_avg_sq, DType::f32, {n});
  if (p.weights_bf16) check_tensor("adamw_step: weights_bf16", p.weights_bf16, DType::bf16, {n});
  check_segments("adamw_step", p.segments, n);
  CUCLIP_CHECK(p.step >= 1, "adamw_step: steps count from 1, got {}", p.step);
  CUCLIP_CHECK(p.beta1 >= 0 && p.beta1 < 1 && p.beta2 >= 0 && p.beta2 < 1,
               "adamw_step: betas must be in [0, 1), got {} and {}", p.beta1, p.beta2);
  CUCLIP_DISPATCH("adamw_step", ctx, adamw_step_cpu(p, ctx), adamw_step_cuda(p, ctx));
}

void gradient_norm(const GradientNorm& p, const ExecContext& ctx) {
  const int64_t n = flat_size("gradient_norm: gradients", p.gradients);
  check_tensor("gradient_norm: gradients", p.gradients, DType::f32, {n});
  check_tensor("gradient_norm: norm", p.norm, DType::f32, {1});
  check_segments("gradient_norm", p.segments, n);
  CUCLIP_DISPATCH("gradient_norm", ctx, gradient_norm_cpu(p, ctx), gradient_norm_cuda(p, ctx));
}

}  // namespace cuclip
