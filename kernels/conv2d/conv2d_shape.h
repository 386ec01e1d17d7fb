// The numbers that describe a convolution, for the kernels.
#pragma once

#include "kernels/conv2d/conv2d.h"

namespace cuclip {

struct Conv2dShape {
  /// Of x [N, H, W, Cin] and weight [Cout, K, K, Cin], which are already checked.
  Conv2dShape(const TensorView& x, const TensorView& weight, int64_t stride, int64_t padding)
      : batch(x.size(0)),
        height(x.size(1)),
        width(x.size(2)),
        channels(x.size(3)),
        outputs(weight.size(0)),
        kernel(weight.size(1)),
        stride(stride),
        padding(padding),
        out_height(conv2d_extent(height, kernel, stride, padding)),
        out_width(conv2d_extent(width, kernel, stride, padding)) {}

  int64_t batch, height, width, channels;
  int64_t outputs, kernel, stride, padding;
  int64_t out_height, out_width;

  int64_t weights() const { return outputs * kernel * kernel * channels; }
  int64_t picture() const { return height * width * channels; }             // elements of one in x
  int64_t positions() const { return out_height * out_width; }              // of one in y
  int64_t out_picture() const { return out_height * out_width * outputs; }  // elements of one in y
};

}  // namespace cuclip
