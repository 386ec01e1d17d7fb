// CPU entry points of the similarity operations; arguments are already validated.
#pragma once

#include "kernels/similarity/similarity.h"

namespace cuclip {

void l2_normalize_forward_cpu(const L2NormalizeForward& p, const ExecContext& ctx);
void l2_normalize_backward_cpu(const L2NormalizeBackward& p, const ExecContext& ctx);
void cosine_similarity_cpu(const CosineSimilarity& p, const ExecContext& ctx);
void top_k_cpu(const TopK& p, const ExecContext& ctx);

}  // namespace cuclip
