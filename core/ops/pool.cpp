#include "kernels/pool/pool.h"

#include "core/ops.h"

namespace cuclip::ops {

Tensor pool(Tape& tape, const Tensor& x, const Tensor& index) {
  Context& context = tape.context();
  const bool many = index && index.shape().rank() == 2;
  const Shape pooled = many ? Shape{x.size(0), index.size(1), x.size(2)} : Shape{x.size(0), x.size(2)};
  Tensor out = Tensor::empty(context, pooled, x.dtype());
  pool_forward({.x = x, .index = index, .out = out}, context.exec());
  if (tape.needs_record({x})) {
    tape.record(out, [x = x.place(), index](Grads& g) {
      Tensor dx = Tensor::empty(g.context(), x.shape(), x.dtype());
      pool_backward({.dout = g.output(), .index = index, .dx = dx}, g.context().exec());
      g.add(x, dx);
    });
  }
  return out;
}

}  // namespace cuclip::ops
