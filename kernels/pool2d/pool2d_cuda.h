// CUDA entry points of average pooling; arguments are already validated.
#pragma once

#include "kernels/pool2d/pool2d.h"

namespace cuclip {

void avg_pool2d_forward_cuda(const AvgPool2dForward& p, const ExecContext& ctx);
void avg_pool2d_backward_cuda(const AvgPool2dBackward& p, const ExecContext& ctx);

}  // namespace cuclip
