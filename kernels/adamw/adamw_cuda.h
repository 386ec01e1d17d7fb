// CUDA entry points of AdamW and the gradient norm; arguments are already validated.
#pragma once

#include "kernels/adamw/adamw.h"

namespace cuclip {

void adamw_step_cuda(const AdamWStep& p, const ExecContext& ctx);
void gradient_norm_cuda(const GradientNorm& p, const ExecContext& ctx);

}  // namespace cuclip
