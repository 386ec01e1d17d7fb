// The contrastive loss (contrastive_loss.h) of a matrix of which nobody has all rows and columns at once:
// it is computed in parts of S, some rows by some columns each, that meet in f32 and f64 statistics.
//
// 1. contrastive_loss_part_forward, for each part: maxima and sums of exponentials of its rows and columns.
// 2. contrastive_loss_merge, for the rows and for the columns: the parts' statistics become log-sum-exps and
//    sums of cross-entropies; contrastive_loss_total adds those up.
// 3. contrastive_loss_part_backward, for each part: adds its part of the gradients.
//
// Arithmetic, dtypes, words and what NaN does are as in contrastive_loss.h. Same bits for any number of
// threads. All functions throw InputError for shapes or dtypes other than those given. Spans are memory of
// the context's device. Outputs must not overlap anything.
#pragma once

#include <span>

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

/// What has been seen of a row or column of S: the maximum m of its logits, and Σ exp(S − m). Where every
/// pair is left out m is −3.4028235e38, f32's lowest, and the sum 0. A NaN or ∞ among the logits shows in
/// the sum.
struct ContrastiveLossPartForward {
  TensorView image;                   ///< [R, D] f32 or bf16, L2-normalised; R, D >= 1
  TensorView text;                    ///< [C, D] same dtype, L2-normalised; C >= 1
  TensorView log_scale;               ///< [1] f32: t
  int64_t label_offset = 0;           ///< row i's positive is column label_offset + i, in the part or not
  TensorView image_words = {};        ///< [R, 4] i32, optional: the images' sets
  TensorView text_words = {};         ///< [C, 4] i32, given if image_words is: the texts' sets
  TensorView row_max, row_sum;        ///< [R] f32, =
  TensorView column_max, column_sum;  ///< [C] f32, =
  TensorView positive;  ///< [R] f32: S_{i,p(i)} of the rows whose positive is in the part, = ; others stay
};

void contrastive_loss_part_forward(const ContrastiveLossPartForward& p, const ExecContext& ctx);

/// With M_j = max_p max_pj and s_j = Σ_p sum_pj exp(max_pj − M_j), which is added in f64 in an order that P
/// alone decides:
///   lse_j = M_j + log s_j,   losses_g = Σ_{j in group g} ((M_j − positive_j) + log s_j),
/// so that the maximum and the positive logit cancel before the logarithm is added. The n elements are cut
/// into as many groups of neighbours as losses has elements, and the bits of a group's sum depend on its
/// size alone.
struct ContrastiveLossMerge {
  TensorView max, sum;            ///< [P, n] f32: of P parts, P >= 1
  TensorView positive = {};       ///< [n] f32, optional: of row, or column, j
  TensorView lse;                 ///< [n] f32, =
  std::span<double> losses = {};  ///< =, given if positive is; their number divides n
};

void contrastive_loss_merge(const ContrastiveLossMerge& p, const ExecContext& ctx);

/// total = factor · Σ terms, added in f64 in an order that their number alone decides.
struct ContrastiveLossTotal {
  std::span<const double> terms;
  double factor = 1.0;
  TensorView total;  ///< [1] f32, =
};

void contrastive_loss_total(const ContrastiveLossTotal& p, const ExecContext& ctx);

/// With G_ij = dloss / (2 pairs) · (exp(S_ij − row_lse_i) + exp(S_ij − column_lse_j) − 2 [j = p(i)]), or 0
/// where (i, j) is left out:
///   dimage += exp(t) G T,   dtext += exp(t) Gᵀ I,   logit_sum += Σ_ij G_ij S_ij.
/// Gradients are summed in f32 for features of any dtype: round them when all parts have been added.
struct ContrastiveLossPartBackward {
  TensorView image;             ///< [R, D] f32 or bf16
  TensorView text;              ///< [C, D] same dtype
  TensorView log_scale;         ///< [1] f32
  int64_t label_offset = 0;     ///< as in forward
  TensorView image_words = {};  ///< [R, 4] i32, as in forward
  TensorView text_words = {};   ///< [C, 4] i32, as in forward
  TensorView row_lse;           ///< [R] f32, of all columns
  TensorView column_lse;        ///< [C] f32, of all rows
  TensorView dloss;             ///< [1] f32
  int64_t pairs = 0;            ///< of the whole matrix, >= 1
  TensorView dimage = {};       ///< [R, D] f32, +=, optional
  TensorView dtext;             ///< [C, D] f32, +=
  std::span<double> logit_sum;  ///< 1 element, +=: the gradient of t
};

void contrastive_loss_part_backward(const ContrastiveLossPartBackward& p, const ExecContext& ctx);

}  // namespace cuclip
