// CUDA entry points of batch norm; arguments are already validated.
#pragma once

#include "kernels/batch_norm/batch_norm.h"

namespace cuclip {

void batch_norm_forward_cuda(const BatchNormForward& p, const ExecContext& ctx);
void batch_norm_affine_cuda(const BatchNormAffine& p, const ExecContext& ctx);
void batch_norm_backward_cuda(const BatchNormBackward& p, const ExecContext& ctx);

}  // namespace cuclip
