// CLIP's contrastive loss: softmax cross-entropy over the rows and over the columns of the similarity matrix
//   S = exp(t) I Tᵀ,   loss = ½ mean_i (row_lse_i − S_{i,p(i)}) + ½ mean_i (column_lse_{p(i)} − S_{i,p(i)}),
// where row i's positive is column p(i) = label_offset + i, row_lse_i = log Σ_j exp S_ij and
// column_lse_j = log Σ_i exp S_ij. Radford et al., "Learning Transferable Visual Models From Natural Language
// Supervision" (2021), figure 3; the maxima are tracked online (Milakov and Gimelshein, 2018), so scale 100
// is safe.
//
// S is computed in tiles, once per direction, and never held: extra memory grows with Nr + Nc. Forward
// 2·Nr·Nc·D FLOP, backward 6·Nr·Nc·D. Same bits for any number of threads. Products, statistics and gradients
// accumulate in f32, the loss and dlog_scale in f64. With bf16 features, the backward rounds each probability
// to bf16 for its products. With ProductPolicy::tf32, f32 features and the gradient of each logit are rounded
// to tf32 for the products on CUDA.
//
// Pairs left out: where several pairs of a batch say the same, each would be told apart from the others. With
// image_words and text_words, a set of 128 bits for each row (say a Bloom filter of the words of the pair's
// caption), the pair (i, j), j != p(i), is left out of both sums, neither positive nor negative, where one of
// the two sets contains the other; an empty set leaves nothing out. So G_ij = 0 there, whatever S_ij is, NaN
// too. A column of which every row given is left out has column_lse −∞, which is log 0. Without sets the bits
// are those of a loss that knows none.
//
// Data parallel: each rank calls forward with its own Nr images and all Nc texts, label_offset = the global
// index of its first row. row_lse is then complete, while column_lse covers the local rows: combine it over
// the ranks with log Σ exp, recompute the loss from row_lse, column_lse and positive by the formula above,
// and hand the combined column_lse to backward. Every logit of the cluster is computed once in each
// direction. The mean of the ranks' losses is the loss of the whole matrix; dimage, the sum of dtext and the
// sum of dlog_scale over the ranks, each divided by the number of ranks, are its gradients.
#pragma once

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

struct ContrastiveLossForward {
  TensorView image;             ///< [Nr, D] f32 or bf16, L2-normalised, Nr >= 1
  TensorView text;              ///< [Nc, D] same dtype, L2-normalised, Nc >= label_offset + Nr
  TensorView log_scale;         ///< [1] f32: t
  int64_t label_offset = 0;     ///< row i's positive is column label_offset + i
  TensorView image_words = {};  ///< [Nr, 4] i32, optional: the images' sets
  TensorView text_words = {};   ///< [Nc, 4] i32, given if image_words is: the texts' sets
  TensorView loss;        ///< [1] f32, out. With Nr < Nc the columns are normalised over the local rows only.
  TensorView row_lse;     ///< [Nr] f32, out
  TensorView column_lse;  ///< [Nc] f32, out: over the rows given
  TensorView positive = {};  ///< [Nr] f32, out, optional: S_{i,p(i)}
};

/// Outputs overwrite and must not overlap anything. Throws InputError for shapes or dtypes other than the
/// above.
void contrastive_loss_forward(const ContrastiveLossForward& p, const ExecContext& ctx);

/// With G_ij = dloss / (2 Nr) · (exp(S_ij − row_lse_i) + exp(S_ij − column_lse_j) − 2 [j = p(i)]), or 0 where
/// (i, j) is left out:
///   dimage = exp(t) G T,   dtext = exp(t) Gᵀ I,   dlog_scale += Σ_ij G_ij S_ij.
/// For Nr = Nc this is the gradient of the forward's loss; for Nr < Nc see the note on data parallelism.
struct ContrastiveLossBackward {
  TensorView image;      ///< [Nr, D] f32 or bf16
  TensorView text;       ///< [Nc, D] same dtype
  TensorView log_scale;  ///< [1] f32
  int64_t label_offset = 0;
  TensorView image_words = {};  ///< [Nr, 4] i32, as in forward
  TensorView text_words = {};   ///< [Nc, 4] i32, as in forward
  TensorView row_lse;           ///< [Nr] f32, from forward
  TensorView column_lse;        ///< [Nc] f32, from forward (combined over the ranks in data parallel)
  TensorView dloss;             ///< [1] f32
  TensorView dimage;            ///< [Nr, D] dtype of image, =
  TensorView dtext;             ///< [Nc, D] dtype of image, =
  TensorView dlog_scale;        ///< [1] f32, +=
};

/// Throws InputError for shapes or dtypes other than the above.
void contrastive_loss_backward(const ContrastiveLossBackward& p, const ExecContext& ctx);

}  // namespace cuclip
