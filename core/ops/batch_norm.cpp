#include "kernels/batch_norm/batch_norm.h"

#include "core/ops.h"

namespace cuclip::ops {
Tensor batch_norm(Tape& tape, const Tensor& x, const BatchNormParameters& p, bool relu,
                  const Tensor& residual) {
  Context& context = tape.context();
  const Shape channels = p.weight.shape;
  Tensor mean = Tensor::empty(context, channels, DType::f32);
  Tensor rstd = Tensor::empty(context, channels, DType::f32);
  Tensor y = Tensor::empty(context, x.shape(), x.dtype());
  batch_norm_forward({.x = x,
                      .weight = p.weight.value,
                      .bias = p.bias.value,
                      .residual = residual,
                      .relu = relu,
                      .y = y,
                      .mean = mean,
                      .rstd = rstd,
                      .running_mean = p.update_statistics ? p.running_mean : Tensor(),
                      .running_var = p.update_statistics ? p.running_var : Tensor()},
                     context.exec());
  if (!tape.needs_record({x, residual}, true)) return y;
  const Tensor masked_by = relu ? y : Tensor();
  tape.record(y, [x, residual = residual.place(), masked_by, mean, rstd, &weight = p.weight,
                  &bias = p.bias](Grads& g) {
    const Tensor dy = g.output();
    Tensor dx = Tensor::empty(g.context(), x.shape(), x.dtype());
    // Without a ReLU the residual's gradient is dy as it is.
    const bool keep = masked_by && g.needs(residual);
    Tensor dresidual = keep ? Tensor::empty(g.context(), x.shape(), x.dtype()) : Tensor();
    batch_norm_backward({.dy = dy,
                         .x = x,
                         .weight = weight.value,
                         .mean = mean,
                         .rstd = rstd,
                         .y = masked_by,
                         .dx = dx,
                         .dresidual = dresidual,
                         .dweight = weight.gradient,
                         .dbias = bias.gradient},
                        g.context().exec());
    g.add(x, dx);
    g.add(residual, keep ? dresidual : dy);
  });
  return y;
}

}  // namespace cuclip::ops
