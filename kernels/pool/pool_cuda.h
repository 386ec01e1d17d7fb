// CUDA entry points of pooling; shapes are already validated.
#pragma once

#include "kernels/pool/pool.h"

namespace cuclip {

void pool_forward_cuda(const PoolForward& p, const ExecContext& ctx);
void pool_backward_cuda(const PoolBackward& p, const ExecContext& ctx);

}  // namespace cuclip
