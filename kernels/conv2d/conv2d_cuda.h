// CUDA entry points of the convolution; arguments are already validated, and there is a picture.
#pragma once

#include "kernels/conv2d/conv2d_shape.h"

namespace cuclip {

void conv2d_forward_cuda(const Conv2dForward& p, const ExecContext& ctx);
void conv2d_backward_cuda(const Conv2dBackward& p, const ExecContext& ctx);

// Its parts.
void conv2d_data_gradient_cuda(const Conv2dBackward& p, const ExecContext& ctx);
void conv2d_weight_gradient_cuda(const Conv2dBackward& p, const ExecContext& ctx);

}  // namespace cuclip
