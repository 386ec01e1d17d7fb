// CUDA entry points of AdamW; arguments are already validated.
#pragma once

#include "kernels/adamw/adamw.h"

namespace cuclip {

void adamw_begin_cuda(const AdamWBegin& p, const ExecContext& ctx);
void adamw_step_cuda(const AdamWStep& p, const ExecContext& ctx);

}  // namespace cuclip
