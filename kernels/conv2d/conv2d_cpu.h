// The CPU implementations behind conv2d.cpp; arguments are already checked, and there is a picture.
#pragma once

#include "kernels/conv2d/conv2d.h"

namespace cuclip {
void conv2d_forward_cpu(const Conv2dForward& p, const ExecContext& ctx);
void conv2d_backward_cpu(const Conv2dBackward& p, const ExecContext& ctx);
}  // namespace cuclip
