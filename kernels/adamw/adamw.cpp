#include "kernels/adamw/adamw.h"

#include "kernels/adamw/adamw_cpu.h"
#include "kernels/adamw/adamw_cuda.h"
#include "kernels/common/dispatch.h"

namespace cuclip {
namespace {

int64_t flat_size(const char* what, const TensorView& view) {
  CUCLIP_CHECK(view.rank() == 1, "{} must be [n], got {}", what, view.shape.to_string());
  return view.size(0);
}

void check_shared(const char* operation, std::span<const AdamWSegment> segments, int64_t n,
                  const AdamWControl* control, double beta1, double beta2, const ExecContext& ctx) {
  if (ctx.device == Device::cpu) check_segments(operation, segments, n);
  CUCLIP_CHECK(control, "{}: control is missing", operation);
  CUCLIP_CHECK(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1,
               "{}: betas must be in [0, 1), got {} and {}", operation, beta1, beta2);
}

}  // namespace

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

void adamw_begin(const AdamWBegin& p, const ExecContext& ctx) {
  const int64_t n = flat_size("adamw_begin: gradients", p.gradients);
  check_tensor("adamw_begin: gradients", p.gradients, DType::f32, {n});
  if (p.loss) check_tensor("adamw_begin: loss", p.loss, DType::f32, {1});
  check_tensor("adamw_begin: lr", p.lr, DType::f32, {1});
  check_shared("adamw_begin", p.segments, n, p.control, p.beta1, p.beta2, ctx);
  CUCLIP_DISPATCH("adamw_begin", ctx, adamw_begin_cpu(p, ctx), adamw_begin_cuda(p, ctx));
}

void adamw_step(const AdamWStep& p, const ExecContext& ctx) {
  const int64_t n = flat_size("adamw_step: weights", p.weights);
  check_tensor("adamw_step: weights", p.weights, DType::f32, {n});
  check_tensor("adamw_step: gradients", p.gradients, DType::f32, {n});
  check_tensor("adamw_step: exp_avg", p.exp_avg, DType::f32, {n});
  check_tensor("adamw_step: exp_avg_sq", p.exp_avg_sq, DType::f32, {n});
  if (p.weights_bf16) check_tensor("adamw_step: weights_bf16", p.weights_bf16, DType::bf16, {n});
  check_shared("adamw_step", p.segments, n, p.control, p.beta1, p.beta2, ctx);
  CUCLIP_DISPATCH("adamw_step", ctx, adamw_step_cpu(p, ctx), adamw_step_cuda(p, ctx));
}

}  // namespace cuclip
