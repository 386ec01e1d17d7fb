// Token embedding plus position embedding: out[b, s, :] = table[tokens[b, s], :] + position[s, :].
//
// tokens i32 [B, S]; table f32 [V, C]; position f32 [P, C] with P >= S (rows beyond S are left alone);
// out and dout [B, S, C] f32 or bf16 (the sum is f32, rounded once). Every tensor is contiguous and none
// overlaps another. A token outside [0, V) is an InputError that names it, its place and V; nothing is
// written then. On CUDA the host does not see the tokens and waits for nothing: there such a token gives a
// row of NaN, and its gradient reaches dposition only. Same bits on every run and for any number of threads:
// every element of a gradient is summed by one task in an order that the tokens alone decide.
#pragma once

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

struct TokenEmbedForward {
  TensorView tokens;    // i32 [B, S]
  TensorView table;     // f32 [V, C]
  TensorView position;  // f32 [P, C], P >= S
  TensorView out;       // out, [B, S, C]
};

/// dtable[tokens[b, s], :] += dout[b, s, :],  dposition[s, :] += sum over b of dout[b, s, :].
struct TokenEmbedBackward {
  TensorView tokens;     // i32 [B, S]
  TensorView dout;       // [B, S, C]
  TensorView dtable;     // f32 [V, C], accumulated into
  TensorView dposition;  // f32 [P, C], P >= S, accumulated into
};

/// Both throw InputError for a token out of range, a missing tensor, a wrong shape or dtype, or strides that
/// are not contiguous.
void token_embed_forward(const TokenEmbedForward& p, const ExecContext& ctx);
void token_embed_backward(const TokenEmbedBackward& p, const ExecContext& ctx);

}  // namespace cuclip
