// CUDA entry points of attention pooling; arguments are already validated.
#pragma once

#include "kernels/attention_pool/attention_pool.h"

namespace cuclip {

void attention_pool_forward_cuda(const AttentionPoolForward& p, const ExecContext& ctx);
void attention_pool_backward_cuda(const AttentionPoolBackward& p, const ExecContext& ctx);

}  // namespace cuclip
