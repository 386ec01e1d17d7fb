// CUDA entry points of the contrastive loss; arguments are already validated.
#pragma once

#include "kernels/contrastive_loss/contrastive_loss.h"

namespace cuclip {

void contrastive_loss_forward_cuda(const ContrastiveLossForward& p, const ExecContext& ctx);
void contrastive_loss_backward_cuda(const ContrastiveLossBackward& p, const ExecContext& ctx);

}  // namespace cuclip
