#include "core/ops.h"
#include "kernels/pool2d/pool2d.h"

namespace cuclip::ops {

Tensor avg_pool2d(Tape& tape, const Tensor& x, int64_t k) {
  Context& context = tape.context();
  CUCLIP_CHECK(x.shape().rank() == 4 && k >= 1,
               "avg_pool2d: pictures must be [N, H, W, C] and windows of 1 x 1 or more, got {} and {} x {}",
               x.shape().to_string(), k, k);
  Tensor y = Tensor::empty(context, {x.size(0), x.size(1) / k, x.size(2) / k, x.size(3)}, x.dtype());
  avg_pool2d_forward({.x = x, .y = y, .k = k}, context.exec());
  if (tape.needs_record({x})) {
    tape.record(y, [x = x.place(), k](Grads& g) {
      Tensor dx = Tensor::empty(g.context(), x.shape(), x.dtype());
      avg_pool2d_backward({.dy = g.output(), .dx = dx, .k = k}, g.context().exec());
      g.add(x, dx);
    });
  }
  return y;
}

}  // namespace cuclip::ops
