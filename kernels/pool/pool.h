// Pooling by picking one row of each sequence: the class token (row 0) of a picture, the end-of-text token of
// a caption.  out[b, :] = x[b, index[b], :]
//
// x [B, S, C] with S >= 1, out [B, C], index i32 [B]; f32 or bf16, copied exactly. Every tensor is contiguous
// and none overlaps another. An index outside [0, S) is an InputError that names it and S; nothing is written
// then.
#pragma once

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

struct PoolForward {
  TensorView x;        // [B, S, C]
  TensorView index{};  // optional, i32 [B]; absent: row 0
  TensorView out;      // out, [B, C]
};

/// dx[b, index[b], :] = dout[b, :], zero elsewhere.
struct PoolBackward {
  TensorView dout;     // [B, C]
  TensorView index{};  // optional, i32 [B]; absent: row 0
  TensorView dx;       // out, [B, S, C], overwritten
};

/// Both throw InputError for an index out of range, a missing tensor, a wrong shape or dtype, or strides that
/// are not contiguous.
void pool_forward(const PoolForward& p, const ExecContext& ctx);
void pool_backward(const PoolBackward& p, const ExecContext& ctx);

}  // namespace cuclip
