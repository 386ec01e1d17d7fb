// A token in front of each sequence that is the mean of the others, and positions on all of them: what
// attention pooling starts from (Radford et al. 2021, "Learning Transferable Visual Models From Natural
// Language Supervision", section 2.4).
//
//   y[n, 0, :]     = 1/S sum_s x[n, s, :] + positions[0, :]
//   y[n, 1 + s, :] = x[n, s, :]           + positions[1 + s, :]
//
// x [N, S, C] with S >= 1 and y [N, S + 1, C] share one dtype, f32 or bf16; positions are f32 [S + 1, C]. All
// is computed in f32 and rounded once. Every tensor is contiguous and none overlaps another. NaN in x reaches
// its own element of y and the first token's same channel. Every element is summed by one task in a fixed
// order: same bits for any number of threads.
#pragma once

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

struct MeanTokenForward {
  TensorView x;          // [N, S, C]
  TensorView positions;  // f32 [S + 1, C]
  TensorView y;          // out, [N, S + 1, C]
};

/// dx[n, s, :] = dy[n, 1 + s, :] + 1/S dy[n, 0, :],  dpositions += sum over n of dy[n, :, :].
struct MeanTokenBackward {
  TensorView dy;          // [N, S + 1, C]
  TensorView dx;          // out, [N, S, C], overwritten
  TensorView dpositions;  // f32 [S + 1, C], accumulated into
};

/// Both throw InputError for a missing tensor, a wrong shape or dtype, or strides that are not contiguous.
void mean_token_forward(const MeanTokenForward& p, const ExecContext& ctx);
void mean_token_backward(const MeanTokenBackward& p, const ExecContext& ctx);

}  // namespace cuclip
