// CUDA entry points of attention; arguments are already validated.
#pragma once

#include "kernels/attention/attention.h"

namespace cuclip {

void attention_forward_cuda(const AttentionForward& p, const ExecContext& ctx);
void attention_backward_cuda(const AttentionBackward& p, const ExecContext& ctx);

}  // namespace cuclip
