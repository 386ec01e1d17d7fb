#include "kernels/conv2d/conv2d.h"

#include "kernels/common/dispatch.h"
#include "kernels/conv2d/conv2d_cpu.h"
#include "kernels/conv2d/conv2d_cuda.h"
#include "kernels/conv2d/conv2d_shape.h"

namespace cuclip {
namespace {

// Checks what both directions have; y_name is "y" or "dy".
void check_conv2d(std::string_view operation, const TensorView& x, const TensorView& weight,
                  std::string_view y_name, const TensorView& y, int64_t stride, int64_t padding) {
  const auto name = [&](std::string_view tensor) { return fmt::format("{}: {}", operation, tensor); };
  CUCLIP_CHECK(x.rank() == 4 && x.size(1) > 0 && x.size(2) > 0 && x.size(3) > 0,
               "{}: x must be [N, H, W, Cin] with H, W and Cin of at least 1, got {}", operation,
               x.shape.to_string());
  CUCLIP_CHECK(
      weight.rank() == 4 && weight.size(0) > 0 && weight.size(1) > 0 && weight.size(1) == weight.size(2),
      "{}: weight must be [Cout, K, K, Cin], got {}", operation, weight.shape.to_string());
  CUCLIP_CHECK(stride >= 1 && stride <= kMaxConv2dStride, "{}: the stride must be from 1 to {}, got {}",
               operation, kMaxConv2dStride, stride);
  CUCLIP_CHECK(padding >= 0 && padding <= kMaxConv2dPadding, "{}: the padding must be from 0 to {}, got {}",
               operation, kMaxConv2dPadding, padding);
  check_floating(name("x"), x.dtype);
  const Conv2dShape s(x, weight, stride, padding);
  CUCLIP_CHECK(s.out_height > 0 && s.out_width > 0,
               "{}: a kernel of {} x {} does not fit into pictures of {} x {} with padding {}", operation,
               s.kernel, s.kernel, s.height, s.width, padding);
  check_tensor(name("x"), x, x.dtype, x.shape);
  check_tensor(name("weight"), weight, x.dtype, {s.outputs, s.kernel, s.kernel, s.channels});
  check_tensor(name(y_name), y, x.dtype, {s.batch, s.out_height, s.out_width, s.outputs});
}

}  // namespace

void conv2d_forward(const Conv2dForward& p, const ExecContext& ctx) {
  check_conv2d("conv2d_forward", p.x, p.weight, "y", p.y, p.stride, p.padding);
  if (p.scale) check_tensor("conv2d_forward: scale", p.scale, DType::f32, {p.weight.size(0)});
  if (p.bias) check_tensor("conv2d_forward: bias", p.bias, DType::f32, {p.weight.size(0)});
  if (p.residual) check_tensor("conv2d_forward: residual", p.residual, p.x.dtype, p.y.shape);
  if (p.x.size(0) == 0) return;
  CUCLIP_DISPATCH("conv2d_forward", ctx, conv2d_forward_cpu(p, ctx), conv2d_forward_cuda(p, ctx));
}

void conv2d_backward(const Conv2dBackward& p, const ExecContext& ctx) {
  check_conv2d("conv2d_backward", p.x, p.weight, "dy", p.dy, p.stride, p.padding);
  if (p.dx) check_tensor("conv2d_backward: dx", p.dx, p.x.dtype, p.x.shape);
  if (p.dweight) check_tensor("conv2d_backward: dweight", p.dweight, DType::f32, p.weight.shape);
  if (p.x.size(0) == 0) return;
  CUCLIP_DISPATCH("conv2d_backward", ctx, conv2d_backward_cpu(p, ctx), conv2d_backward_cuda(p, ctx));
}

}  // namespace cuclip
