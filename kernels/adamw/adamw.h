// AdamW over all parameters at once: the global gradient norm and what follows from it, then the update.
//
// Parameters live in one flat buffer of n elements (an arena); segments say where the tensors are. What lies
// between segments (padding) is neither read nor written. Segments and AdamWControl lie in the memory of the
// device, so that a step can be recorded (stream.h) and run again without the host: it need not know how one
// step went before it asks for the next.
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
};

/// Throws InputError unless the segments (in the host's memory) are sorted, disjoint and within n elements.
/// The CPU's operations do this themselves; on CUDA it is up to whoever copies the segments there.
void check_segments(const char* operation, std::span<const AdamWSegment> segments, int64_t n);

/// What is known about the steps so far. Starts as zeros.
struct AdamWControl {
  int64_t steps = 0;             ///< that changed the weights: t of the bias corrections
  int64_t skipped = 0;           ///< that did not, because their loss or a gradient was not finite
  int64_t skipped_in_a_row = 0;  ///< the latest run of these; 0 if the latest step changed them
  float loss = 0.0f;             ///< of the latest step
  float gradient_norm = 0.0f;    ///< of the latest step, before clipping
  float gradient_scale = 1.0f;   ///< the latest step's clipping factor
  float sqrt_bias2 = 1.0f;       ///< √(1 − beta2^steps)
  double bias1 = 1.0;            ///< 1 − beta1^steps
  double lr = 0.0;               ///< of the latest step
};

/// Begins a step: norm = √Σ g² over the segments, then in `control` either
///   steps += 1, the bias corrections that follow, gradient_scale = min(1, clip_norm / (norm + 1e-6))
///   (torch.nn.utils.clip_grad_norm_), or, where the loss or the norm is not finite,
///   skipped += 1, skipped_in_a_row += 1.
/// The norm is summed in f64 over blocks that depend only on n, combined in order: same bits for any number
/// of threads, no overflow for finite gradients whose norm is an f32. NaN and infinity propagate into it.
struct AdamWBegin {
  TensorView gradients;                    ///< [n] f32
  std::span<const AdamWSegment> segments;  ///< in the device's memory
  TensorView loss = {};                    ///< [1] f32, optional
  TensorView lr;                           ///< [1] f32
  AdamWControl* control = nullptr;         ///< in the device's memory, in and out
  double beta1 = 0.9;  // f64: the nearest f32 of 0.999 would make 1 - beta2 wrong by 1e-5 of itself
  double beta2 = 0.999;
  float clip_norm = 0.0f;  ///< 0: no clipping
};
void adamw_begin(const AdamWBegin& p, const ExecContext& ctx);

/// The update that was begun: decoupled weight decay (Loshchilov and Hutter, 2019), in the arithmetic of
/// torch.optim.AdamW. With g = gradients · gradient_scale, for every element:
///   w *= 1 − lr · weight_decay
///   m += (1 − beta1)(g − m)
///   v  = beta2 v + (1 − beta2) g²
///   w -= lr / (1 − beta1^steps) · m / (√v / √(1 − beta2^steps) + eps)
/// f32; the scalars are computed in f64. In a step that is skipped only zero_gradients is done. Traffic per
/// parameter: 28 B, +2 for weights_bf16, +4 for zero_gradients.
struct AdamWStep {
  TensorView weights;                      ///< [n] f32, in and out
  TensorView gradients;                    ///< [n] f32, in; set to zero when zero_gradients
  TensorView exp_avg;                      ///< [n] f32, in and out: m
  TensorView exp_avg_sq;                   ///< [n] f32, in and out: v
  TensorView weights_bf16 = {};            ///< [n] bf16, =, optional: the new weights, rounded
  std::span<const AdamWSegment> segments;  ///< in the device's memory
  const AdamWControl* control = nullptr;   ///< in the device's memory, after adamw_begin
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  bool zero_gradients = false;
};

/// Both throw InputError for wrong shapes, betas or (on the CPU) segments.
void adamw_step(const AdamWStep& p, const ExecContext& ctx);

}  // namespace cuclip
