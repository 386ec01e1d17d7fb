// The vision transformer's input layer: a convolution without bias whose stride is its kernel, the class
// token in front, the position embedding added (Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words",
// section 3.1).
//
//   out[b, 0, :]     = class_token + position[0, :]
//   out[b, 1 + i, :] = weight . patch_i + position[1 + i, :]     i = (row of patches) * (W / p) + column
//
// weight is [width, 3, p, p] and a patch is flattened in the same order: channel, then row, then column.
// image is one of
//   u8  [B, H, W, 3]   as decoded; normalised here: (value / 255 - mean[c]) / stddev[c]
//   f32 [B, 3, H, W]   already normalised; mean and stddev are not used
// H and W are multiples of p; n = (H / p) * (W / p). out and weight share one dtype: with bf16 the normalised
// pixels are rounded to bf16 too, and with f32 and ProductPolicy::tf32 they, the weight and dout are rounded
// to tf32 for the products on CUDA. Products are accumulated in f32, the position is added in f32, and the
// result is rounded once. Every tensor is contiguous and none overlaps another. Same bits for any number of
// threads.
#pragma once

#include <array>

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

struct PatchEmbedForward {
  TensorView image;             // u8 [B, H, W, 3] or f32 [B, 3, H, W]
  std::array<float, 3> mean{};  // of u8 pictures, in [0, 1]
  std::array<float, 3> stddev{1.0f, 1.0f, 1.0f};
  TensorView weight;       // [width, 3, p, p], out's dtype
  TensorView class_token;  // f32 [width]
  TensorView position;     // f32 [1 + n, width]
  TensorView out;          // out, [B, 1 + n, width], f32 or bf16
};

/// dweight += sum over pictures and patches of dout[b, 1 + i, :] patch_i^T,
/// dclass_token += sum over b of dout[b, 0, :],  dposition += sum over b of dout[b, :, :].
/// Pictures get no gradient. The patches are gathered again rather than stored.
struct PatchEmbedBackward {
  TensorView image;
  std::array<float, 3> mean{};
  std::array<float, 3> stddev{1.0f, 1.0f, 1.0f};
  TensorView dout;          // [B, 1 + n, width], f32 or bf16
  TensorView dweight;       // f32 [width, 3, p, p], accumulated into
  TensorView dclass_token;  // f32 [width], accumulated into
  TensorView dposition;     // f32 [1 + n, width], accumulated into
};

/// Both throw InputError for a missing tensor, a wrong shape or dtype, strides that are not contiguous, or a
/// picture whose sides are not multiples of the patch.
void patch_embed_forward(const PatchEmbedForward& p, const ExecContext& ctx);
void patch_embed_backward(const PatchEmbedBackward& p, const ExecContext& ctx);

}  // namespace cuclip
