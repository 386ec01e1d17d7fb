// AdamW over all parameters at once, and the global gradient norm.
//
// Parameters live in one flat buffer of n elements (an arena); segments say where the tensors are. What lies
// between segments (padding) is neither read nor written. On CUDA the segments are copied to the device: they
// must stay as they are until the stream has come past the call.
#pragma once

#include <span>

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

/// One tensor in the arena. Segments are sorted by offset and don't overlap.
struct AdamWSegment {
  int64_t offset = 0;         ///< in elements
  int64_t size = 0;           ///< in elements
  float weight_decay = 0.0f;  ///< 0 for biases, norms and the temperature
  float lr_scale = 1.0f;      ///< multiplies lr; 0 freezes the tensor's weights (its moments still move)
};

/// Decoupled weight decay (Loshchilov and Hutter, 2019), in the arithmetic of torch.optim.AdamW. With g =
/// gradients · gradient_scale and η = lr · lr_scale, for every element:
///   w *= 1 − η · weight_decay
///   m += (1 − beta1)(g − m)
///   v  = beta2 v + (1 − beta2) g²
///   w -= η / (1 − beta1^step) · m / (√v / √(1 − beta2^step) + eps)
/// f32; the scalars are computed in f64. 28 B of traffic a parameter, +2 for weights_bf16, +4 for
/// zero_gradients.
struct AdamWStep {
  TensorView weights;            ///< [n] f32, in and out
  TensorView gradients;          ///< [n] f32, in; set to zero when zero_gradients
  TensorView exp_avg;            ///< [n] f32, in and out: m
  TensorView exp_avg_sq;         ///< [n] f32, in and out: v
  TensorView weights_bf16 = {};  ///< [n] bf16, =, optional: the new weights, rounded
  std::span<const AdamWSegment> segments;
  double lr = 1e-3;
  double beta1 = 0.9;  // f64: the nearest f32 of 0.999 would make 1 - beta2 wrong by 1e-5 of itself
  double beta2 = 0.999;
  double eps = 1e-8;
  int64_t step = 1;             ///< from 1, for the bias correction
  float gradient_scale = 1.0f;  ///< the clipping factor
  bool zero_gradients = false;
};

/// Throws InputError for wrong shapes, unsorted segments, or step < 1.
void adamw_step(const AdamWStep& p, const ExecContext& ctx);

/// norm = √Σ g² over the segments. Summed in f64 over blocks that depend on n alone, combined in order: same
/// bits for any number of threads, no overflow for finite gradients whose norm is an f32. NaN and infinity
/// propagate.
struct GradientNorm {
  TensorView gradients;  ///< [n] f32
  std::span<const AdamWSegment> segments;
  TensorView norm;  ///< [1] f32, =
};
void gradient_norm(const GradientNorm& p, const ExecContext& ctx);

}  // namespace cuclip
