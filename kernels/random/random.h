// Tensors of random numbers from Philox4x32-10 (philox.h).
//
// Element i depends on (seed, stream, offset + i) alone: the same values for any number of threads, and
// filling a tensor in pieces with growing offsets gives the same as filling it at once. Give each tensor its
// own stream.
#pragma once

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

/// Normal(mean, stddev²) by Box and Muller's transform. Words (2k, 2k+1) of the stream give elements 2k and
/// 2k+1:
///   r = √(−2 ln u),  u = (word + ½) 2⁻³² of the even word,  θ = 2π · (odd word) 2⁻³²,  r cos θ and r sin θ,
/// in f64, rounded to f32 once. |element − mean| <= 6.77 stddev.
struct FillNormal {
  TensorView out;  ///< f32, any shape, =
  float mean = 0.0f;
  float stddev = 1.0f;
  uint64_t seed = 0;
  uint64_t stream = 0;
  uint64_t offset = 0;  ///< index of the first element in the stream
};
void fill_normal(const FillNormal& p, const ExecContext& ctx);

/// Uniform in [low, high): low + (high − low) · word · 2⁻³², in f64, rounded to f32 once (down where it would
/// give `high`).
struct FillUniform {
  TensorView out;  ///< f32, any shape, =
  float low = 0.0f;
  float high = 1.0f;
  uint64_t seed = 0;
  uint64_t stream = 0;
  uint64_t offset = 0;
};
void fill_uniform(const FillUniform& p, const ExecContext& ctx);

}  // namespace cuclip
