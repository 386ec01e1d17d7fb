#include "kernels/mean_token/mean_token.h"

#include "core/ops.h"

namespace cuclip::ops {

Tensor mean_token(Tape& tape, const Tensor& x, Parameter& positions) {
  Context& context = tape.context();
  Tensor y = Tensor::empty(context, {x.size(0), positions.shape[0], positions.shape[1]}, x.dtype());
  mean_token_forward({.x = x, .positions = positions.value, .y = y}, context.exec());
  if (tape.needs_record({x}, true)) {
    tape.record(y, [x = x.place(), &positions](Grads& g) {
      Tensor dx = Tensor::empty(g.context(), x.shape(), x.dtype());
      mean_token_backward({.dy = g.output(), .dx = dx, .dpositions = positions.gradient}, g.context().exec());
      g.add(x, dx);
    });
  }
  return y;
}

}  // namespace cuclip::ops
