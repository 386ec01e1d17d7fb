// L2 normalisation, the cosine-similarity matrix, and the k most similar rows.
//
// Norms are clamped from below at kMinNorm, as torch.nn.functional.normalize does: a zero vector stays zero
// and its similarities are 0. Squares that overflow f32 are redone in f64; the products of rows must fit f32.
// Accumulation in f32. Same bits for any number of threads. With ProductPolicy::tf32, f32 vectors are rounded
// to tf32 for their products on CUDA, but not for their norms.
#pragma once

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

inline constexpr float kMinNorm = 1e-12f;
inline constexpr float kMaxInverseNorm = 1.0f / kMinNorm;  ///< rnorm of a row whose norm was clamped

/// y = x · rnorm, rnorm = 1 / max(‖x‖₂, kMinNorm), for each row.
struct L2NormalizeForward {
  TensorView x;       ///< [N, D] f32 or bf16
  TensorView y = {};  ///< [N, D] dtype of x, =; may be x, or none: the inverse norms alone
  TensorView rnorm;   ///< [N] f32, =
};
void l2_normalize_forward(const L2NormalizeForward& p, const ExecContext& ctx);

/// dx = rnorm · (dy − y ⟨y, dy⟩); rows whose norm was clamped: dx = rnorm · dy.
struct L2NormalizeBackward {
  TensorView dy;     ///< [N, D] f32 or bf16
  TensorView y;      ///< [N, D] dtype of dy, from forward
  TensorView rnorm;  ///< [N] f32, from forward
  TensorView dx;     ///< [N, D] dtype of dy, =; may be dy
};
void l2_normalize_backward(const L2NormalizeBackward& p, const ExecContext& ctx);

/// out_ij = scale · ⟨a_i, b_j⟩ / (max(‖a_i‖, kMinNorm) · max(‖b_j‖, kMinNorm)). No normalised copy is made;
/// scratch holds the M + N inverse norms. 2MND FLOP, out is written once.
struct CosineSimilarity {
  TensorView a;  ///< [M, D] f32 or bf16
  TensorView b;  ///< [N, D] dtype of a
  float scale = 1.0f;
  TensorView out;  ///< [M, N] f32, =
};
void cosine_similarity(const CosineSimilarity& p, const ExecContext& ctx);

/// For each row of a, the k rows of b with the largest scale · cosine similarity, the largest first. Equal
/// values are ordered by the lower index, NaN comes after every number. The M×N matrix is never held: scratch
/// has the norms, and O(k) for each row and each part that N is cut into. 2MND FLOP; on CUDA that many for
/// each 32 of k. Whoever searches the same rows again and again keeps their norms: b is read once then.
struct TopK {
  TensorView a;             ///< [M, D] f32 or bf16
  TensorView b;             ///< [N, D] dtype of a
  TensorView b_rnorm = {};  ///< [N] f32, l2_normalize_forward's of b; none: computed, to the same bits
  int64_t k = 1;            ///< 1 <= k <= N, or InputError
  float scale = 1.0f;
  TensorView values;   ///< [M, k] f32, =
  TensorView indices;  ///< [M, k] i32, =: row of b
};
void top_k(const TopK& p, const ExecContext& ctx);

}  // namespace cuclip
