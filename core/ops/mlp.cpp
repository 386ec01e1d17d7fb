#include "core/ops.h"
#include "core/ops/ops_common.h"
#include "kernels/gemm/gemm.h"

namespace cuclip::ops {

Tensor mlp(Tape& tape, const Tensor& x, const MlpParameters& p, Activation activation) {
  Context& context = tape.context();
  const DType dtype = x.dtype();
  const int64_t hidden_width = p.fc_weight.shape[0];
  const bool record = tape.needs_record({x}, true);
  const Tensor x2 = as_matrix(x);
  Tensor pre = record ? Tensor::empty(context, {x2.size(0), hidden_width}, dtype) : Tensor();
  Tensor hidden = Tensor::empty(context, {x2.size(0), hidden_width}, dtype);
  gemm({.a = x2,
        .b = p.fc_weight.as(dtype),
        .c = hidden,
        .transpose_b = true,
        .bias = p.fc_bias.value,
        .activation = activation,
        .pre_activation = pre},
       context.exec());
  Tensor y = Tensor::empty(context, with_last(x.shape(), p.proj_weight.shape[0]), dtype);
  gemm({.a = hidden,
        .b = p.proj_weight.as(dtype),
        .c = as_matrix(y),
        .transpose_b = true,
        .bias = p.proj_bias.value},
       context.exec());
  if (record) {
    tape.record(y, [x, pre, hidden, p, activation, dtype](Grads& g) {
      const ExecContext exec = g.context().exec();
      const Tensor dy = as_matrix(g.output()), x2 = as_matrix(x);
      gemm_weight_gradient(
          {.dy = dy, .x = hidden, .dweight = p.proj_weight.gradient, .dbias = p.proj_bias.gradient}, exec);
      Tensor dpre = Tensor::empty(g.context(), pre.shape(), dtype);
      gemm({.a = dy, .b = p.proj_weight.as(dtype), .c = dpre, .activation = activation, .gate = pre}, exec);
      gemm_weight_gradient(
          {.dy = dpre, .x = x2, .dweight = p.fc_weight.gradient, .dbias = p.fc_bias.gradient}, exec);
      if (!g.needs(x)) return;
      Tensor dx = Tensor::empty(g.context(), x.shape(), dtype);
      gemm({.a = dpre, .b = p.fc_weight.as(dtype), .c = as_matrix(dx)}, exec);
      g.add(x, dx);
    });
  }
  return y;
}

}  // namespace cuclip::ops
