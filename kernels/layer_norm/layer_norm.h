// Layer normalisation over the last dimension, with an optional residual addition fused in front of it
// (Ba, Kiros & Hinton 2016, "Layer Normalization").
//
//   s = x + delta            (rounded to the dtype; s = x without delta)
//   mean = 1/C sum_c s_c,  rstd = 1 / sqrt(1/C sum_c (s_c - mean)^2 + eps)
//   y_c = (s_c - mean) * rstd * weight_c + bias_c
//
// x, delta, sum, y and their gradients share one dtype, f32 or bf16, and one shape [..., C] of any rank >= 1;
// rows are all the leading dimensions together. Statistics and accumulators are f32. The statistics are those
// of the rounded sum: forward and backward see the same numbers. Every tensor is contiguous. NaN and
// infinities in a row make that row NaN and no other. Same bits for any number of threads.
#pragma once

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

/// y may be the memory of x or delta; sum may be the memory of x or delta, but not of y.
struct LayerNormForward {
  TensorView x;
  TensorView delta{};  // optional: the residual branch
  TensorView sum{};    // out; required with delta, absent without
  TensorView weight;   // f32 [C]
  TensorView bias;     // f32 [C]
  TensorView y;        // out
  TensorView mean{};   // out, f32 [rows]; mean and rstd may both be absent where no backward follows
  TensorView rstd{};   // out, f32 [rows]
  float eps = 1e-5f;
};

/// With g = dy * weight and xhat = (x - mean) * rstd:
///   dx = dsum + rstd * (g - 1/C sum_c g - xhat * 1/C sum_c (g * xhat))
///   dweight += sum over rows of dy * xhat,  dbias += sum over rows of dy
/// With a residual addition, dx is the gradient of both x and delta. dx may be the memory of dy or dsum.
/// The sums over rows are taken in row blocks that the shape fixes, and the blocks are added in order.
struct LayerNormBackward {
  TensorView dy;
  TensorView x;        // what was normalised: the forward's sum if it had a delta
  TensorView weight;   // f32 [C]
  TensorView mean;     // f32 [rows]
  TensorView rstd;     // f32 [rows]
  TensorView dsum{};   // optional: the gradient that reaches the sum along the residual stream
  TensorView dx;       // out, overwritten
  TensorView dweight;  // f32 [C], accumulated into
  TensorView dbias;    // f32 [C], accumulated into
};

/// Both throw InputError for a missing tensor, a wrong shape or dtype, or strides that are not contiguous.
void layer_norm_forward(const LayerNormForward& p, const ExecContext& ctx);
void layer_norm_backward(const LayerNormBackward& p, const ExecContext& ctx);

}  // namespace cuclip
