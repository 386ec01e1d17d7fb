// CPU entry points of the pointwise operations; arguments are already validated.
#pragma once

#include "kernels/pointwise/pointwise.h"

namespace cuclip {

void cast_cpu(const Cast& p, const ExecContext& ctx);
void add_cpu(const Add& p, const ExecContext& ctx);
void activation_forward_cpu(const ActivationForward& p, const ExecContext& ctx);
void activation_backward_cpu(const ActivationBackward& p, const ExecContext& ctx);
void fill_cpu(const Fill& p, const ExecContext& ctx);
void clamp_cpu(const Clamp& p, const ExecContext& ctx);

}  // namespace cuclip
