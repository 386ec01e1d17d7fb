// The core of attention pooling: one query for each picture and head (Radford et al. 2021, "Learning
// Transferable Visual Models From Natural Language Supervision", section 2.4).
//
//   kv [N, S, 2C] holds keys | values side by side, each [H, D] with C = H * D; q [N, C]:
//   weights[n, h, :] = softmax(q_nh . k_nsh / sqrt(D))   over s
//   out[n, h*D + d]  = sum_s weights[n, h, s] v[n, s, h*D + d]
//
// q, kv, out and their gradients share one dtype, f32 or bf16; scores, weights and sums are f32. Any D and S
// from 1, any N from 0. Every tensor is contiguous and none overlaps another. One task owns a picture's head:
// same bits for any number of threads. NaN in a head's query or keys makes that head of that picture NaN, in
// a value its own column of it; no other.
#pragma once

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

struct AttentionPoolForward {
  TensorView q;   // [N, C]
  TensorView kv;  // [N, S, 2C]
  int64_t heads = 0;
  TensorView out;      // out, [N, C]
  TensorView weights;  // out, f32 [N, H, S]
};

/// With dw_s = dout . v_s and ds_s = weights_s * (dw_s - sum_t weights_t dw_t) of each head:
///   dq = sum_s ds_s k_s / sqrt(D),  dk_s = ds_s q / sqrt(D),  dv_s = weights_s dout
struct AttentionPoolBackward {
  TensorView dout;     // [N, C]
  TensorView q;        // [N, C], as the forward saw it
  TensorView kv;       // [N, S, 2C], as the forward saw it
  TensorView weights;  // f32 [N, H, S], the forward's result
  int64_t heads = 0;
  TensorView dq;   // out, [N, C], overwritten
  TensorView dkv;  // out, [N, S, 2C], overwritten
};

/// Both throw InputError for a missing tensor, a wrong shape or dtype, strides that are not contiguous, heads
/// that do not divide C, or S = 0.
void attention_pool_forward(const AttentionPoolForward& p, const ExecContext& ctx);
void attention_pool_backward(const AttentionPoolBackward& p, const ExecContext& ctx);

}  // namespace cuclip
