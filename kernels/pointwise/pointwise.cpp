#include "kernels/pointwise/pointwise.h"

#include "kernels/common/dispatch.h"
#include "kernels/pointwise/pointwise_cpu.h"
#include "kernels/pointwise/pointwise_cuda.h"

namespace cuclip {

void cast(const Cast& p, const ExecContext& ctx) {
  check_floating("cast: x", p.x.dtype);
  check_tensor("cast: x", p.x, p.x.dtype, p.x.shape);
  check_floating("cast: out", p.out.dtype);
  check_tensor("cast: out", p.out, p.out.dtype, p.x.shape);
  CUCLIP_DISPATCH("cast", ctx, cast_cpu(p, ctx), cast_cuda(p, ctx));
}

void add(const Add& p, const ExecContext& ctx) {
  check_floating("add: a", p.a.dtype);
  check_tensor("add: a", p.a, p.a.dtype, p.a.shape);
  check_tensor("add: b", p.b, p.a.dtype, p.a.shape);
  check_tensor("add: out", p.out, p.a.dtype, p.a.shape);
  CUCLIP_DISPATCH("add", ctx, add_cpu(p, ctx), add_cuda(p, ctx));
}

void activation_forward(const ActivationForward& p, const ExecContext& ctx) {
  check_floating("activation_forward: x", p.x.dtype);
  check_tensor("activation_forward: x", p.x, p.x.dtype, p.x.shape);
  check_tensor("activation_forward: y", p.y, p.x.dtype, p.x.shape);
  CUCLIP_DISPATCH("activation_forward", ctx, activation_forward_cpu(p, ctx), activation_forward_cuda(p, ctx));
}

void activation_backward(const ActivationBackward& p, const ExecContext& ctx) {
  check_floating("activation_backward: x", p.x.dtype);
  check_tensor("activation_backward: x", p.x, p.x.dtype, p.x.shape);
  check_tensor("activation_backward: dy", p.dy, p.x.dtype, p.x.shape);
  check_tensor("activation_backward: dx", p.dx, p.x.dtype, p.x.shape);
  CUCLIP_DISPATCH("activation_backward", ctx, activation_backward_cpu(p, ctx),
                  activation_backward_cuda(p, ctx));
}

void fill(const Fill& p, const ExecContext& ctx) {
  check_floating("fill: out", p.out.dtype);
  check_tensor("fill: out", p.out, p.out.dtype, p.out.shape);
  CUCLIP_DISPATCH("fill", ctx, fill_cpu(p, ctx), fill_cuda(p, ctx));
}

void clamp(const Clamp& p, const ExecContext& ctx) {
  check_tensor("clamp: x", p.x, DType::f32, p.x.shape);
  CUCLIP_CHECK(p.low <= p.high, "clamp: nothing lies between {} and {}", p.low, p.high);
  CUCLIP_DISPATCH("clamp", ctx, clamp_cpu(p, ctx), clamp_cuda(p, ctx));
}

}  // namespace cuclip
