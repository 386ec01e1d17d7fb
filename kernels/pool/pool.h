// Picking rows of each sequence: the class token (row 0) of a picture, the end-of-text token of a caption, or
// the patches that patch dropout keeps.
//   out[b, :] = x[b, index[b], :]     or, with K rows of each,     out[b, k, :] = x[b, index[b, k], :]
//
// x [B, S, C] with S >= 1; index i32 [B] and out [B, C], or index i32 [B, K] and out [B, K, C]; f32 or bf16,
// copied exactly. Every tensor is contiguous and none overlaps another. An index outside [0, S), or one of
// [B, K] that is not above the one before it in its sequence, is an InputError that names it; nothing is
// written then. On CUDA the host does not see the indices and waits for nothing: there one outside [0, S)
// gives a row of NaN, and its gradient goes nowhere.
#pragma once

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

struct PoolForward {
  TensorView x;        // [B, S, C]
  TensorView index{};  // optional, i32 [B] or [B, K]; absent: row 0
  TensorView out;      // out, [B, C] or [B, K, C]
};

/// dx[b, index[b, k], :] = dout[b, k, :], zero elsewhere.
struct PoolBackward {
  TensorView dout;     // [B, C] or [B, K, C]
  TensorView index{};  // optional, i32 [B] or [B, K]; absent: row 0
  TensorView dx;       // out, [B, S, C], overwritten
};

/// Both throw InputError for an index out of range or order, a missing tensor, a wrong shape or dtype, or
/// strides that are not contiguous.
void pool_forward(const PoolForward& p, const ExecContext& ctx);
void pool_backward(const PoolBackward& p, const ExecContext& ctx);

}  // namespace cuclip
