#include "core/ops.h"
#include "core/ops/ops_common.h"
#include "kernels/gemm/gemm.h"

namespace cuclip::ops {

namespace {

// A gradient in the dtype that products take it in.
Tensor as_dtype(Context& context, const Tensor& gradient, DType dtype) {
  if (gradient.dtype() == dtype) return gradient;
  Tensor result = Tensor::empty(context, gradient.shape(), dtype);
  cast({.x = gradient, .out = result}, context.exec());
  return result;
}

}  // namespace

Tensor linear(Tape& tape, const Tensor& x, Parameter& weight, Parameter& bias, std::optional<DType> out) {
  Context& context = tape.context();
  const Tensor x2 = as_matrix(x);
  Tensor y = Tensor::empty(context, with_last(x.shape(), weight.shape[0]), out.value_or(x.dtype()));
  gemm({.a = x2, .b = weight.as(x.dtype()), .c = as_matrix(y), .transpose_b = true, .bias = bias.value},
       context.exec());
  if (tape.needs_record({x}, true)) {
    tape.record(y, [x, &weight, &bias](Grads& g) {
      const ExecContext exec = g.context().exec();
      const Tensor dy = as_matrix(as_dtype(g.context(), g.output(), x.dtype()));
      gemm_weight_gradient({.dy = dy, .x = as_matrix(x), .dweight = weight.gradient, .dbias = bias.gradient},
                           exec);
      if (!g.needs(x)) return;
      Tensor dx = Tensor::empty(g.context(), x.shape(), x.dtype());
      gemm({.a = dy, .b = weight.as(x.dtype()), .c = as_matrix(dx)}, exec);
      g.add(x, dx);
    });
  }
  return y;
}

Tensor project(Tape& tape, const Tensor& x, Parameter& weight) {
  Context& context = tape.context();
  Tensor y = Tensor::empty(context, {x.size(0), weight.shape[1]}, DType::f32);
  gemm({.a = x, .b = weight.as(x.dtype()), .c = y}, context.exec());
  if (tape.needs_record({x}, true)) {
    tape.record(y, [x, &weight](Grads& g) {
      const ExecContext exec = g.context().exec();
      const Tensor dy = as_dtype(g.context(), g.output(), x.dtype());
      // weight is [in, out]: its gradient is xᵀ·dy, the roles of a Linear's dy and x exchanged.
      gemm_weight_gradient({.dy = x, .x = dy, .dweight = weight.gradient}, exec);
      if (!g.needs(x)) return;
      Tensor dx = Tensor::empty(g.context(), x.shape(), x.dtype());
      gemm({.a = dy, .b = weight.as(x.dtype()), .c = dx, .transpose_b = true}, exec);
      g.add(x, dx);
    });
  }
  return y;
}

}  // namespace cuclip::ops
