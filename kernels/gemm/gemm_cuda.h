// CUDA entry points of the linear layers' products; arguments are already validated, M and N at least 1.
#pragma once

#include "kernels/gemm/gemm.h"

namespace cuclip {

void gemm_cuda(const Gemm& p, const ExecContext& ctx);
void gemm_weight_gradient_cuda(const GemmWeightGradient& p, const ExecContext& ctx);

}  // namespace cuclip
