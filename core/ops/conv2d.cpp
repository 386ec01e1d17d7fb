#include "kernels/conv2d/conv2d.h"

#include "core/ops.h"

namespace cuclip::ops {

Tensor conv2d(Tape& tape, const Tensor& x, const Parameter& weight, int64_t stride, int64_t padding) {
  Context& context = tape.context();
  CUCLIP_CHECK(x.shape().rank() == 4, "conv2d: x must be [N, H, W, Cin], got {}", x.shape().to_string());
  CUCLIP_CHECK(stride >= 1, "conv2d: the stride must be at least 1, got {}", stride);
  const auto extent = [&](int64_t of_x) { return conv2d_extent(of_x, weight.shape[1], stride, padding); };
  Tensor y =
      Tensor::empty(context, {x.size(0), extent(x.size(1)), extent(x.size(2)), weight.shape[0]}, x.dtype());
  conv2d_forward({.x = x, .weight = weight.as(x.dtype()), .y = y, .stride = stride, .padding = padding},
                 context.exec());
  if (tape.needs_record({x}, true)) {
    tape.record(y, [x, &weight, stride, padding](Grads& g) {
      const Tensor dx = g.needs(x) ? Tensor::empty(g.context(), x.shape(), x.dtype()) : Tensor();
      conv2d_backward({.x = x,
                       .weight = weight.as(x.dtype()),
                       .dy = g.output(),
                       .dx = dx,
                       .dweight = weight.gradient,
                       .stride = stride,
                       .padding = padding},
                      g.context().exec());
      if (dx) g.add(x, dx);
    });
  }
  return y;
}

}  // namespace cuclip::ops
