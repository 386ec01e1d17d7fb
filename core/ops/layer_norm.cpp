#include "kernels/layer_norm/layer_norm.h"

#include "core/ops.h"
#include "core/ops/ops_common.h"

namespace cuclip::ops {
namespace {

// The forward pass of both variants; `delta` may be none.
SumAndNorm normalise(Tape& tape, const Tensor& x, const Tensor& delta, Parameter& weight, Parameter& bias,
                     float eps) {
  Context& context = tape.context();
  const bool record = tape.needs_record({x, delta}, true);
  const int64_t rows = as_matrix(x).size(0);
  Tensor mean = record ? Tensor::empty(context, {rows}, DType::f32) : Tensor();
  Tensor rstd = record ? Tensor::empty(context, {rows}, DType::f32) : Tensor();
  Tensor sum = delta ? Tensor::empty(context, x.shape(), x.dtype()) : Tensor();
  Tensor y = Tensor::empty(context, x.shape(), x.dtype());
  layer_norm_forward({.x = x,
                      .delta = delta,
                      .sum = sum,
                      .weight = weight.value,
                      .bias = bias.value,
                      .y = y,
                      .mean = mean,
                      .rstd = rstd,
                      .eps = eps},
                     context.exec());
  if (!record) return {sum, y};
  // Outputs in this order: normalised, then the sum where there is one.
  std::array<Tensor, 2> outputs{y, sum};
  const Tensor normalised_from = delta ? sum : x;
  const auto backward = [x = x.place(), delta = delta.place(), has_delta = static_cast<bool>(delta),
                         normalised_from, mean, rstd, &weight, &bias](Grads& g) {
    const Tensor dsum = has_delta ? g.output(1) : Tensor();
    const Tensor dy = g.output(0);
    if (!dy) {  // only the sum was used
      g.add(x, dsum);
      g.add(delta, dsum);
      return;
    }
    Tensor dx = Tensor::empty(g.context(), x.shape(), x.dtype());
    layer_norm_backward({.dy = dy,
                         .x = normalised_from,
                         .weight = weight.value,
                         .mean = mean,
                         .rstd = rstd,
                         .dsum = dsum,
                         .dx = dx,
                         .dweight = weight.gradient,
                         .dbias = bias.gradient},
                        g.context().exec());
    g.add(x, dx);
    g.add(delta, dx);  // the sum passes its gradient to both unchanged
  };
  tape.record(std::span(outputs.data(), delta ? 2 : 1), backward);
  return {outputs[1], outputs[0]};
}

}  // namespace

Tensor layer_norm(Tape& tape, const Tensor& x, Parameter& weight, Parameter& bias, float eps) {
  return normalise(tape, x, Tensor(), weight, bias, eps).normalised;
}

SumAndNorm residual_layer_norm(Tape& tape, const Tensor& x, const Tensor& delta, Parameter& weight,
                               Parameter& bias, float eps) {
  return normalise(tape, x, delta, weight, bias, eps);
}

}  // namespace cuclip::ops
