#include "core/ops.h"
#include "kernels/similarity/similarity.h"

namespace cuclip::ops {

Tensor l2_normalize(Tape& tape, const Tensor& x) {
  Context& context = tape.context();
  Tensor y = Tensor::empty(context, x.shape(), x.dtype());
  Tensor rnorm = Tensor::empty(context, {x.size(0)}, DType::f32);
  l2_normalize_forward({.x = x, .y = y, .rnorm = rnorm}, context.exec());
  if (tape.needs_record({x})) {
    const Tensor saved = y;
    tape.record(y, [x = x.place(), saved, rnorm](Grads& g) {
      Tensor dx = Tensor::empty(g.context(), x.shape(), x.dtype());
      l2_normalize_backward({.dy = g.output(), .y = saved, .rnorm = rnorm, .dx = dx}, g.context().exec());
      g.add(x, dx);
    });
  }
  return y;
}

}  // namespace cuclip::ops
