// CUDA entry points of layer norm; arguments are already validated.
#pragma once

#include "kernels/layer_norm/layer_norm.h"

namespace cuclip {

void layer_norm_forward_cuda(const LayerNormForward& p, const ExecContext& ctx);
void layer_norm_backward_cuda(const LayerNormBackward& p, const ExecContext& ctx);

}  // namespace cuclip
