#include "core/ops.h"
#include "kernels/pointwise/pointwise.h"

namespace cuclip::ops {

Tensor add(Tape& tape, const Tensor& a, const Tensor& b) {
  Context& context = tape.context();
  Tensor out = Tensor::empty(context, a.shape(), a.dtype());
  cuclip::add({.a = a, .b = b, .out = out}, context.exec());
  if (tape.needs_record({a, b})) {
    tape.record(out, [a = a.place(), b = b.place()](Grads& g) {
      g.add(a, g.output());
      g.add(b, g.output());
    });
  }
  return out;
}

}  // namespace cuclip::ops
