// CUDA entry points of the mean token; arguments are already validated.
#pragma once

#include "kernels/mean_token/mean_token.h"

namespace cuclip {

void mean_token_forward_cuda(const MeanTokenForward& p, const ExecContext& ctx);
void mean_token_backward_cuda(const MeanTokenBackward& p, const ExecContext& ctx);

}  // namespace cuclip
