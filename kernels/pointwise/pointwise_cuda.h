// CUDA entry points of the pointwise operations; arguments are already validated.
#pragma once

#include "kernels/pointwise/pointwise.h"

namespace cuclip {

void cast_cuda(const Cast& p, const ExecContext& ctx);
void add_cuda(const Add& p, const ExecContext& ctx);
void activation_forward_cuda(const ActivationForward& p, const ExecContext& ctx);
void activation_backward_cuda(const ActivationBackward& p, const ExecContext& ctx);
void fill_cuda(const Fill& p, const ExecContext& ctx);
void clamp_cuda(const Clamp& p, const ExecContext& ctx);

}  // namespace cuclip
