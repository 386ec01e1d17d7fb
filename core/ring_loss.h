// CLIP's contrastive loss (kernels/contrastive_loss/) over the pairs of all ranks, and its gradients, on a
// ring.
//
// N pairs are cut into L leaves of N/L by index, S into parts of a leaf's rows by a chunk of as many columns.
// Each of W ranks has m = L/W leaves, n = N/W pairs, whose rows it computes; the ranks' texts, a block of m
// chunks each, travel from rank to rank: rank r has block (r + s) mod W at step s, and the next one comes
// while the parts of this one are computed. Each logit is computed once in each direction; neither S nor
// all texts are ever held.
//
// Forward: the maximum and sum of each row and chunk, and of each column and leaf (contrastive_loss_part.h).
// Rows' are merged in chunk order where they were made, columns' in leaf order by the rank that owns the
// column, which gives the log-sum-exps to all. The loss is the sum in f64 of the leaves' and the chunks'
// cross-entropies in index order.
//
// Backward: images stay where they are; f32 sums of the texts' gradients travel with their block, and home
// from the last rank. dimage of leaf l takes chunks l, l + 1, ... mod L, dtext of chunk c takes leaves c,
// c − 1, ... mod L: within a step chunks ascend and leaves descend, and parts of the own block whose chunk
// comes before the leaf are done last, when the block's sums are home again.
//
// So the results depend on L and not on W: the same bits for every W that divides L.
//
// A rank sends (W − 1) (2n (D e + 16 w) + 8mn + 4n + 24m) + 4WnD bytes, 4WnD only if W > 1: features of e
// bytes, with words (w = 1) or without (w = 0), in both directions; statistics to the owners; log-sum-exps
// and f64 sums to all; sums of gradients. Of L = W and f32 that is nearly (3 − 2/W) 4ND.
//
// Memory besides the arguments and what one part's kernels need as scratch, at most, in bytes:
//   forward   2n (D e + 16 w) + 24Ln + 4N + 8n + 16L,
//   backward  2n (D e + 16 w) + 8nD + 4N + 4n + 8L, 4nD for image gradients, in bf16 2nD for each gradient.
#pragma once

#include <cstdint>

#include "core/communicator.h"
#include "core/context.h"
#include "core/tensor.h"

namespace cuclip {

struct RingLossInput {
  Tensor image;        ///< [n, D] f32 or bf16, L2-normalised: this rank's, leaf after leaf
  Tensor text;         ///< [n, D] same dtype, L2-normalised
  Tensor words = {};   ///< [n, 4] i32, optional: sets by which pairs are left out (contrastive_loss.h)
  Tensor log_scale;    ///< [1] f32: t
  int64_t leaves = 0;  ///< L of all ranks: a multiple of W, and n of L/W
  bool image_gradient = true;  ///< whether it is wanted
};

struct RingLossResult {
  Tensor loss;                ///< [1] f32: of all N pairs, the same on every rank
  Tensor image_gradient;      ///< [n, D] of the features' dtype, rounded once; none if it is not wanted
  Tensor text_gradient;       ///< [n, D] of the features' dtype, rounded once
  Tensor log_scale_gradient;  ///< [1] f32: that of t, the same on every rank
};

/// Every rank calls it with as many pairs, and alike but for its own features and words. Tensors are of the
/// context's device, which may be CUDA where there is one rank.
/// Throws InputError for arguments other than the above, Error where a rank is lost.
RingLossResult ring_loss(Communicator& ranks, Context& context, const RingLossInput& input);

}  // namespace cuclip
