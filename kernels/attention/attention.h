// Multi-head self-attention over packed projections, fused: scores never leave a worker's scratch memory
// (Dao et al. 2022, "FlashAttention"; Milakov & Gimelshein 2018 for the online softmax).
//
//   qkv [B, S, 3C] holds q | k | v side by side, each [H, D] with C = H * D:
//   P = softmax(q k^T / sqrt(D))   over the keys; with `causal`, row s sees keys 0..s
//   out[b, s, h*D + d] = sum_t P[s, t] v[t, d],     lse[b, h, s] = log sum_t exp(q_s . k_t / sqrt(D))
//
// Activations are f32 or bf16 (one dtype for all of them); scores, softmax and accumulators are f32.
// D is 1 to 256; multiples of 16 are fastest. B and S may be 0. Every tensor is contiguous and none overlaps
// another. There is one task per (batch, head), which owns its gradients: same bits for any number of
// threads. NaN reaches every row that sees it; with `causal`, a NaN in v may reach a few rows before it (0 *
// NaN).
#pragma once

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

struct AttentionForward {
  TensorView qkv;    // [B, S, 3C]
  TensorView out;    // out, [B, S, C]
  TensorView lse{};  // out, f32 [B, H, S]; may be absent where no backward follows
  int64_t heads = 0;
  bool causal = false;
};

/// With P from q, k and lse, dP = dout v^T and delta_s = dout_s . out_s:
///   dS = P * (dP - delta),  dq = dS k / sqrt(D),  dk = dS^T q / sqrt(D),  dv = P^T dout.
struct AttentionBackward {
  TensorView qkv;   // [B, S, 3C], as the forward saw it
  TensorView out;   // [B, S, C], the forward's result
  TensorView lse;   // f32 [B, H, S], the forward's result
  TensorView dout;  // [B, S, C]
  TensorView dqkv;  // out, [B, S, 3C], overwritten
  int64_t heads = 0;
  bool causal = false;
};

/// Both throw InputError for a missing tensor, a wrong shape or dtype, strides that are not contiguous, heads
/// that do not divide C, or D > 256.
void attention_forward(const AttentionForward& p, const ExecContext& ctx);
void attention_backward(const AttentionBackward& p, const ExecContext& ctx);

}  // namespace cuclip
