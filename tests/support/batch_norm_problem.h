// Inputs and outputs of batch norm for its tests.
#pragma once

#include "kernels/batch_norm/batch_norm.h"
#include "tests/support/buffer.h"

namespace cuclip::test {

struct BatchNormInputs {
  BatchNormInputs(const Shape& shape, DType dtype, double mean = 0.5)
      : x(Buffer::normal(shape, dtype, 1.0, mean)),
        residual(Buffer::normal(shape, dtype)),
        dy(Buffer::normal(shape, dtype)),
        weight(Buffer::normal({shape[shape.rank() - 1]}, DType::f32, 0.5, 1.0)),
        bias(Buffer::normal({shape[shape.rank() - 1]}, DType::f32)) {}
  Buffer x, residual, dy, weight, bias;
};

struct BatchNormOutputs {
  BatchNormOutputs(const Shape& shape, DType dtype)
      : y(Buffer::poisoned(shape, dtype)),
        mean(Buffer::poisoned({shape[shape.rank() - 1]}, DType::f32)),
        rstd(Buffer::poisoned({shape[shape.rank() - 1]}, DType::f32)) {}
  BatchNormForward forward(const BatchNormInputs& in, bool residual, bool relu) const {
    return {.x = in.x.view(),
            .weight = in.weight.view(),
            .bias = in.bias.view(),
            .residual = residual ? in.residual.view() : TensorView(),
            .relu = relu,
            .y = y.view(),
            .mean = mean.view(),
            .rstd = rstd.view()};
  }
  Buffer y, mean, rstd;
};

/// dweight and dbias start at 0.
struct BatchNormResults {
  BatchNormResults(const Shape& shape, DType dtype)
      : dx(Buffer::poisoned(shape, dtype)),
        dresidual(Buffer::poisoned(shape, dtype)),
        dweight(Buffer::zeros({shape[shape.rank() - 1]}, DType::f32)),
        dbias(Buffer::zeros({shape[shape.rank() - 1]}, DType::f32)) {}
  BatchNormBackward backward(const BatchNormInputs& in, const BatchNormOutputs& out, bool relu,
                             bool residual) const {
    return {.dy = in.dy.view(),
            .x = in.x.view(),
            .weight = in.weight.view(),
            .mean = out.mean.view(),
            .rstd = out.rstd.view(),
            .y = relu ? out.y.view() : TensorView(),
            .dx = dx.view(),
            .dresidual = residual ? dresidual.view() : TensorView(),
            .dweight = dweight.view(),
            .dbias = dbias.view()};
  }
  Buffer dx, dresidual, dweight, dbias;
};

}  // namespace cuclip::test
