// The CUDA kernels for f32, and for bf16 with any head dimension and alignment.
#pragma once

#include "kernels/attention/attention.h"

namespace cuclip {

void attention_forward_any(const AttentionForward& p, const ExecContext& ctx);
void attention_backward_any(const AttentionBackward& p, const ExecContext& ctx);

}  // namespace cuclip
