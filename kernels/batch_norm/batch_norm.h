// Batch normalisation over all dimensions but the last, with an optional residual addition and ReLU fused
// behind it (Ioffe & Szegedy 2015, "Batch Normalization").
//
//   mean_c = 1/N sum_n x_nc,  var_c = 1/N sum_n (x_nc - mean_c)^2,  rstd_c = 1 / sqrt(var_c + eps)
//   y_nc = relu((x_nc - mean_c) * rstd_c * weight_c + bias_c + residual_nc)
//
// x, residual, y and their gradients share one dtype, f32 or bf16, and one shape [..., C] of any rank >= 1; N
// rows are all the leading dimensions together. Everything per channel is f32 [C]. y is computed in f32 and
// rounded once. Every tensor is contiguous and no output overlaps another tensor.
//
// The variance is summed around a value near the mean, in blocks of rows: it keeps its precision under any
// mean. Blocks are cut by the shape alone and added in order: same bits for any number of threads. NaN and
// infinities in a channel make that channel and its rstd NaN, its mean not finite, and no other channel's;
// numbers whose squares overflow f32 make it and its rstd NaN too. NaN or an infinity in the residual stays
// where it is, and relu(NaN) is NaN.
#pragma once

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

/// Normalises by the batch's own statistics, in training. The running statistics become
/// (1 - momentum) * running + momentum * batch's, as in PyTorch: with N / (N - 1) times the variance that
/// normalised. Where a channel's is not finite they stay as they are, unlike PyTorch's: a step that training
/// skips must not spoil them for good.
struct BatchNormForward {
  TensorView x;           // [..., C], at least two rows
  TensorView weight;      // f32 [C]
  TensorView bias;        // f32 [C]
  TensorView residual{};  // optional
  bool relu = false;
  TensorView y;               // out
  TensorView mean;            // out, f32 [C]
  TensorView rstd;            // out, f32 [C]
  TensorView running_mean{};  // f32 [C], updated in place; this and running_var both or neither
  TensorView running_var{};   // f32 [C], updated in place
  float momentum = 0.1f;
  float eps = 1e-5f;
};

/// What normalising by running statistics does to a channel, for the operation in front of it to do instead:
///   (x - running_mean) / sqrt(running_var + eps) * weight + bias = scale * x + shift
struct BatchNormAffine {
  TensorView weight;        // f32 [C]
  TensorView bias;          // f32 [C]
  TensorView running_mean;  // f32 [C]
  TensorView running_var;   // f32 [C]
  TensorView scale;         // out, f32 [C]
  TensorView shift;         // out, f32 [C]
  float eps = 1e-5f;
};

/// Of BatchNormForward. With g = dy where y > 0 (dy itself where no y is given) and xhat = (x - mean) * rstd:
///   dx = weight * rstd * (g - 1/N sum_n g - xhat * 1/N sum_n (g * xhat))
///   dresidual = g,  dweight += sum_n g * xhat,  dbias += sum_n g
struct BatchNormBackward {
  TensorView dy;
  TensorView x;
  TensorView weight;       // f32 [C]
  TensorView mean;         // f32 [C], the forward's
  TensorView rstd;         // f32 [C], the forward's
  TensorView y{};          // the forward's result; given where relu was set
  TensorView dx;           // out, overwritten
  TensorView dresidual{};  // out, overwritten; optional
  TensorView dweight;      // f32 [C], accumulated into
  TensorView dbias;        // f32 [C], accumulated into
};

/// All throw InputError for a missing tensor, a wrong shape or dtype, or strides that are not contiguous;
/// forward and backward also for fewer than two rows.
void batch_norm_forward(const BatchNormForward& p, const ExecContext& ctx);
void batch_norm_affine(const BatchNormAffine& p, const ExecContext& ctx);
void batch_norm_backward(const BatchNormBackward& p, const ExecContext& ctx);

}  // namespace cuclip
