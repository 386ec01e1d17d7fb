// CUDA entry points of the contrastive loss; arguments are already validated.
#pragma once

#include "kernels/contrastive_loss/contrastive_loss.h"
#include "kernels/contrastive_loss/contrastive_loss_part.h"

namespace cuclip {

void contrastive_loss_forward_cuda(const ContrastiveLossForward& p, const ExecContext& ctx);
void contrastive_loss_backward_cuda(const ContrastiveLossBackward& p, const ExecContext& ctx);
void contrastive_loss_part_forward_cuda(const ContrastiveLossPartForward& p, const ExecContext& ctx);
void contrastive_loss_merge_cuda(const ContrastiveLossMerge& p, const ExecContext& ctx);
void contrastive_loss_total_cuda(const ContrastiveLossTotal& p, const ExecContext& ctx);
void contrastive_loss_part_backward_cuda(const ContrastiveLossPartBackward& p, const ExecContext& ctx);

}  // namespace cuclip
