#include "kernels/layer_norm/layer_norm.h"

#include "kernels/common/dispatch.h"
#include "kernels/layer_norm/layer_norm_cpu.h"
#include "kernels/layer_norm/layer_norm_cuda.h"

namespace cuclip {
namespace {

// Checks the tensor that is normalised and returns its number of rows.
int64_t check_rows(std::string_view what, const TensorView& x) {
  CUCLIP_CHECK(x.rank() >= 1 && x.size(x.rank() - 1) >= 1, "{} must be [..., C] with C at least 1, got {}",
               what, x.shape.to_string());
  check_floating(what, x.dtype);
  check_tensor(what, x, x.dtype, x.shape);
  return x.elements() / x.size(x.rank() - 1);
}

}  // namespace

void layer_norm_forward(const LayerNormForward& p, const ExecContext& ctx) {
  const int64_t rows = check_rows("layer_norm: x", p.x);
  const int64_t width = p.x.size(p.x.rank() - 1);
  CUCLIP_CHECK(static_cast<bool>(p.delta) == static_cast<bool>(p.sum),
               "layer_norm: delta and sum are given together or not at all");
  if (p.delta) {
    check_tensor("layer_norm: delta", p.delta, p.x.dtype, p.x.shape);
    check_tensor("layer_norm: sum", p.sum, p.x.dtype, p.x.shape);
  }
  check_tensor("layer_norm: weight", p.weight, DType::f32, {width});
  check_tensor("layer_norm: bias", p.bias, DType::f32, {width});
  check_tensor("layer_norm: y", p.y, p.x.dtype, p.x.shape);
  CUCLIP_CHECK(static_cast<bool>(p.mean) == static_cast<bool>(p.rstd),
               "layer_norm: mean and rstd are given together or not at all");
  if (p.mean) {
    check_tensor("layer_norm: mean", p.mean, DType::f32, {rows});
    check_tensor("layer_norm: rstd", p.rstd, DType::f32, {rows});
  }
  CUCLIP_DISPATCH("layer_norm_forward", ctx, layer_norm_forward_cpu(p, ctx), layer_norm_forward_cuda(p, ctx));
}

void layer_norm_backward(const LayerNormBackward& p, const ExecContext& ctx) {
  const int64_t rows = check_rows("layer_norm_backward: x", p.x);
  const int64_t width = p.x.size(p.x.rank() - 1);
  check_tensor("layer_norm_backward: dy", p.dy, p.x.dtype, p.x.shape);
  check_tensor("layer_norm_backward: weight", p.weight, DType::f32, {width});
  check_tensor("layer_norm_backward: mean", p.mean, DType::f32, {rows});
  check_tensor("layer_norm_backward: rstd", p.rstd, DType::f32, {rows});
  if (p.dsum) check_tensor("layer_norm_backward: dsum", p.dsum, p.x.dtype, p.x.shape);
  check_tensor("layer_norm_backward: dx", p.dx, p.x.dtype, p.x.shape);
  check_tensor("layer_norm_backward: dweight", p.dweight, DType::f32, {width});
  check_tensor("layer_norm_backward: dbias", p.dbias, DType::f32, {width});
  CUCLIP_DISPATCH("layer_norm_backward", ctx, layer_norm_backward_cpu(p, ctx),
                  layer_norm_backward_cuda(p, ctx));
}

}  // namespace cuclip
