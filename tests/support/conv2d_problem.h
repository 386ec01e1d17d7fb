// Inputs and outputs of the convolution for its tests.
#pragma once

#include <cmath>
#include <string>

#include "kernels/conv2d/conv2d.h"
#include "tests/support/buffer.h"
#include "tests/support/ref_conv2d.h"

namespace cuclip::test {

struct Conv2dProblem {
  Conv2dProblem(const cases::Conv2dCase& shape, DType dtype)
      : c(shape),
        x(Buffer::normal({c.batch, c.height, c.width, c.channels}, dtype)),
        weight(Buffer::normal({c.outputs, c.kernel, c.kernel, c.channels}, dtype,
                              1 / std::sqrt(static_cast<double>(c.kernel * c.kernel * c.channels)))),
        scale(Buffer::normal({c.outputs}, DType::f32)),
        bias(Buffer::normal({c.outputs}, DType::f32)),
        residual(Buffer::normal({c.batch, out_height(c), out_width(c), c.outputs}, dtype)),
        dy(Buffer::normal(residual.shape(), dtype)),
        y(Buffer::poisoned(residual.shape(), dtype)),
        dx(Buffer::poisoned(x.shape(), dtype)),
        dweight(Buffer::normal(weight.shape(), DType::f32)) {}

  Conv2dForward forward() const {
    return {.x = x.view(), .weight = weight.view(), .y = y.view(), .stride = c.stride, .padding = c.padding};
  }
  Conv2dForward whole_forward() const {
    Conv2dForward f = forward();
    f.scale = scale.view();
    f.bias = bias.view();
    f.residual = residual.view();
    f.relu = true;
    return f;
  }
  Conv2dBackward backward() const {
    return {.x = x.view(),
            .weight = weight.view(),
            .dy = dy.view(),
            .dx = dx.view(),
            .dweight = dweight.view(),
            .stride = c.stride,
            .padding = c.padding};
  }
  std::string name() const {
    return x.shape().to_string() + " " + weight.shape().to_string() + " stride " + std::to_string(c.stride) +
           " padding " + std::to_string(c.padding);
  }

  cases::Conv2dCase c;
  Buffer x, weight, scale, bias, residual, dy, y, dx, dweight;
};

}  // namespace cuclip::test
