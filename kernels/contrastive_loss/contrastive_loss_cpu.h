// CPU entry points of the contrastive loss; arguments are already validated.
#pragma once

#include "kernels/contrastive_loss/contrastive_loss.h"
#include "kernels/contrastive_loss/contrastive_loss_part.h"

namespace cuclip {

void contrastive_loss_forward_cpu(const ContrastiveLossForward& p, const ExecContext& ctx);
void contrastive_loss_backward_cpu(const ContrastiveLossBackward& p, const ExecContext& ctx);
void contrastive_loss_part_forward_cpu(const ContrastiveLossPartForward& p, const ExecContext& ctx);
void contrastive_loss_merge_cpu(const ContrastiveLossMerge& p, const ExecContext& ctx);
void contrastive_loss_total_cpu(const ContrastiveLossTotal& p);
void contrastive_loss_part_backward_cpu(const ContrastiveLossPartBackward& p, const ExecContext& ctx);

}  // namespace cuclip
