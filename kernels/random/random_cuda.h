// CUDA entry points of the random tensors; arguments are already validated.
#pragma once

#include "kernels/random/random.h"

namespace cuclip {

void fill_normal_cuda(const FillNormal& p, const ExecContext& ctx);
void fill_uniform_cuda(const FillUniform& p, const ExecContext& ctx);

}  // namespace cuclip
