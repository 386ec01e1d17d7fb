#include "kernels/conv2d/conv2d.h"

#include "core/ops.h"
#include "kernels/batch_norm/batch_norm.h"

namespace cuclip::ops {

namespace {

Tensor empty_result(Context& context, const Tensor& x, const Parameter& weight, int64_t stride,
                    int64_t padding) {
  CUCLIP_CHECK(x.shape().rank() == 4, "conv2d: x must be [N, H, W, Cin], got {}", x.shape().to_string());
  CUCLIP_CHECK(stride >= 1, "conv2d: the stride must be at least 1, got {}", stride);
  CUCLIP_CHECK(padding <= kMaxConv2dPadding, "conv2d: the padding must be at most {}, got {}",
               kMaxConv2dPadding, padding);
  const auto extent = [&](int64_t of_x) { return conv2d_extent(of_x, weight.shape[1], stride, padding); };
  return Tensor::empty(context, {x.size(0), extent(x.size(1)), extent(x.size(2)), weight.shape[0]},
                       x.dtype());
}

}  // namespace

Tensor conv2d(Tape& tape, const Tensor& x, const Parameter& weight, int64_t stride, int64_t padding) {
  Context& context = tape.context();
  Tensor y = empty_result(context, x, weight, stride, padding);
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

Tensor conv2d_inference(Tape& tape, const Tensor& x, const Parameter& weight, int64_t stride, int64_t padding,
                        const BatchNormParameters& norm, bool relu, const Tensor& residual,
                        PackedWeight* kept) {
  Context& context = tape.context();
  CUCLIP_CHECK(
      !tape.recording(),
      "conv2d_inference: no gradient goes through running statistics; give it a tape of mode inference, "
      "or normalise by the batch's own statistics (training)");
  Tensor scale = Tensor::empty(context, norm.weight.shape, DType::f32);
  Tensor shift = Tensor::empty(context, norm.weight.shape, DType::f32);
  batch_norm_affine({.weight = norm.weight.value,
                     .bias = norm.bias.value,
                     .running_mean = norm.running_mean,
                     .running_var = norm.running_var,
                     .scale = scale,
                     .shift = shift},
                    context.exec());
  Tensor y = empty_result(context, x, weight, stride, padding);
  conv2d_forward({.x = x,
                  .weight = weight.as(x.dtype()),
                  .scale = scale,
                  .bias = shift,
                  .residual = residual,
                  .relu = relu,
                  .y = y,
                  .stride = stride,
                  .padding = padding,
                  .kept = kept},
                 context.exec());
  return y;
}

}  // namespace cuclip::ops
