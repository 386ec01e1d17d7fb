// CPU entry points of the random tensors; arguments are already validated.
#pragma once

#include "kernels/random/random.h"

namespace cuclip {

void fill_normal_cpu(const FillNormal& p, const ExecContext& ctx);
void fill_uniform_cpu(const FillUniform& p, const ExecContext& ctx);

}  // namespace cuclip
