// Pictures as activations: what a convolution reads.
//
//   out[b, y, x, c] = (value / 255 - mean[c]) / stddev[c]
//
// image is one of
//   u8  [B, H, W, 3]   as decoded; computed as value * 1/(255 stddev[c]) - mean[c]/stddev[c] in f32
//   f32 [B, 3, H, W]   already normalised: only put in out's order; mean and stddev are not used
// out is [B, H, W, 3], f32 or bf16, rounded once. Every tensor is contiguous; they do not overlap.
#pragma once

#include <array>

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

struct NormalizePixels {
  TensorView image;             // u8 [B, H, W, 3] or f32 [B, 3, H, W]
  std::array<float, 3> mean{};  // of u8 pictures, in [0, 1]
  std::array<float, 3> stddev{1.0f, 1.0f, 1.0f};
  TensorView out;  // out, [B, H, W, 3]
};

/// Throws InputError for a wrong shape or dtype, or strides that are not contiguous.
void normalize_pixels(const NormalizePixels& p, const ExecContext& ctx);

}  // namespace cuclip
