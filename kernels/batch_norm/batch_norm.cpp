#include "kernels/batch_norm/batch_norm.h"

#include "kernels/batch_norm/batch_norm_cpu.h"
#include "kernels/batch_norm/batch_norm_cuda.h"
#include "kernels/common/dispatch.h"

namespace cuclip {
namespace {

// Checks the tensor that is normalised and returns its number of channels.
int64_t check_x(std::string_view what, const TensorView& x) {
  CUCLIP_CHECK(x.rank() >= 1 && x.size(x.rank() - 1) >= 1, "{} must be [..., C] with C at least 1, got {}",
               what, x.shape.to_string());
  check_floating(what, x.dtype);
  check_tensor(what, x, x.dtype, x.shape);
  return x.size(x.rank() - 1);
}

// The variance of a single row is 0: what it would be normalised to says nothing about it.
void check_two_rows(std::string_view what, const TensorView& x, int64_t channels) {
  CUCLIP_CHECK(x.elements() / channels >= 2,
               "{} must have at least two rows (all dimensions but the last) to take statistics of, got {}",
               what, x.shape.to_string());
}

}  // namespace

void batch_norm_forward(const BatchNormForward& p, const ExecContext& ctx) {
  const int64_t channels = check_x("batch_norm: x", p.x);
  check_two_rows("batch_norm: x", p.x, channels);
  check_tensor("batch_norm: weight", p.weight, DType::f32, {channels});
  check_tensor("batch_norm: bias", p.bias, DType::f32, {channels});
  if (p.residual) check_tensor("batch_norm: residual", p.residual, p.x.dtype, p.x.shape);
  check_tensor("batch_norm: y", p.y, p.x.dtype, p.x.shape);
  check_tensor("batch_norm: mean", p.mean, DType::f32, {channels});
  check_tensor("batch_norm: rstd", p.rstd, DType::f32, {channels});
  CUCLIP_CHECK(static_cast<bool>(p.running_mean) == static_cast<bool>(p.running_var),
               "batch_norm: running_mean and running_var are given together or not at all");
  if (p.running_mean) {
    check_tensor("batch_norm: running_mean", p.running_mean, DType::f32, {channels});
    check_tensor("batch_norm: running_var", p.running_var, DType::f32, {channels});
  }
  CUCLIP_DISPATCH("batch_norm_forward", ctx, batch_norm_forward_cpu(p, ctx), batch_norm_forward_cuda(p, ctx));
}

void batch_norm_affine(const BatchNormAffine& p, const ExecContext& ctx) {
  CUCLIP_CHECK(p.weight.rank() == 1, "batch_norm_affine: weight must be [C], got {}",
               p.weight.shape.to_string());
  const int64_t channels = p.weight.size(0);
  check_tensor("batch_norm_affine: weight", p.weight, DType::f32, {channels});
  check_tensor("batch_norm_affine: bias", p.bias, DType::f32, {channels});
  check_tensor("batch_norm_affine: running_mean", p.running_mean, DType::f32, {channels});
  check_tensor("batch_norm_affine: running_var", p.running_var, DType::f32, {channels});
  check_tensor("batch_norm_affine: scale", p.scale, DType::f32, {channels});
  check_tensor("batch_norm_affine: shift", p.shift, DType::f32, {channels});
  CUCLIP_DISPATCH("batch_norm_affine", ctx, batch_norm_affine_cpu(p, ctx), batch_norm_affine_cuda(p, ctx));
}

void batch_norm_backward(const BatchNormBackward& p, const ExecContext& ctx) {
  const int64_t channels = check_x("batch_norm_backward: x", p.x);
  check_two_rows("batch_norm_backward: x", p.x, channels);
  check_tensor("batch_norm_backward: dy", p.dy, p.x.dtype, p.x.shape);
  check_tensor("batch_norm_backward: weight", p.weight, DType::f32, {channels});
  check_tensor("batch_norm_backward: mean", p.mean, DType::f32, {channels});
  check_tensor("batch_norm_backward: rstd", p.rstd, DType::f32, {channels});
  if (p.y) check_tensor("batch_norm_backward: y", p.y, p.x.dtype, p.x.shape);
  check_tensor("batch_norm_backward: dx", p.dx, p.x.dtype, p.x.shape);
  if (p.dresidual) check_tensor("batch_norm_backward: dresidual", p.dresidual, p.x.dtype, p.x.shape);
  check_tensor("batch_norm_backward: dweight", p.dweight, DType::f32, {channels});
  check_tensor("batch_norm_backward: dbias", p.dbias, DType::f32, {channels});
  CUCLIP_DISPATCH("batch_norm_backward", ctx, batch_norm_backward_cpu(p, ctx),
                  batch_norm_backward_cuda(p, ctx));
}

}  // namespace cuclip
