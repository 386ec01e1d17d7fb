// CPU entry points of pooling; arguments are already validated, except for the indices' values.
#pragma once

#include "kernels/pool/pool.h"

namespace cuclip {

void pool_forward_cpu(const PoolForward& p, const ExecContext& ctx);
void pool_backward_cpu(const PoolBackward& p, const ExecContext& ctx);

}  // namespace cuclip
