// CUDA entry points of the similarity operations; arguments are already validated.
#pragma once

#include "kernels/similarity/similarity.h"

namespace cuclip {

void l2_normalize_forward_cuda(const L2NormalizeForward& p, const ExecContext& ctx);
void l2_normalize_backward_cuda(const L2NormalizeBackward& p, const ExecContext& ctx);
void cosine_similarity_cuda(const CosineSimilarity& p, const ExecContext& ctx);
void top_k_cuda(const TopK& p, const ExecContext& ctx);

/// rnorm[i] = 1 / max(‖x_i‖, kMinNorm) of the rows of x [N, D]; rnorm [N] is device memory.
void inverse_norms_cuda(const TensorView& x, float* rnorm, const ExecContext& ctx);

}  // namespace cuclip
