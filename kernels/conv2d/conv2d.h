// Two-dimensional convolution with square kernels (as it is called: cross-correlation), the layer of residual
// networks (He et al. 2016, "Deep Residual Learning for Image Recognition").
//
//   conv[n, oh, ow, o] = sum over i, j, c of x[n, oh s - p + i, ow s - p + j, c] weight[o, i, j, c]
//   y = relu(scale * conv + bias + residual)
//
// with stride s, padding p of zeros on every side and 0 <= i, j < K. The channels come last: x is [N, H, W,
// Cin], weight [Cout, K, K, Cin], y [N, OH, OW, Cout] with OH = (H + 2 p - K) / s + 1, rounded down, and OW
// likewise. Any H, W, K, Cin, Cout >= 1; p from 0 to kMaxConv2dPadding, s from 1 to kMaxConv2dStride; the
// padded picture is no smaller than the kernel. N may be 0. Computed as a matrix product whose operand is
// gathered from the picture on the way (implicit GEMM), without storing it (im2col).
//
// x, weight, residual, y and the gradients of activations share one dtype, f32 or bf16; scale, bias and
// dweight are f32. Sums are f32, and so is what becomes of them; a result is rounded once. With
// ProductPolicy::tf32 f32 operands are rounded to tf32 on CUDA. NaN stays NaN, through relu too, and
// reaches no output that does not read it. Every tensor is contiguous and no output overlaps another
// tensor. Same bits for any number of threads.
#pragma once

#include <memory>

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

inline constexpr int64_t kMaxConv2dStride = 64;
inline constexpr int64_t kMaxConv2dPadding = int64_t{1} << 30;

/// Rows of the result for `extent` rows of the picture; columns likewise. 0 where the kernel does not
/// fit.
constexpr int64_t conv2d_extent(int64_t extent, int64_t kernel, int64_t stride, int64_t padding) {
  return extent + 2 * padding < kernel ? 0 : (extent + 2 * padding - kernel) / stride + 1;
}

/// A weight as the CPU's convolutions read it, in each order that they have asked for; only they look inside.
/// Any number of threads may use it at once.
struct PackedWeight;
std::shared_ptr<PackedWeight> make_packed_weight();

struct Conv2dForward {
  TensorView x;           // [N, H, W, Cin], f32 or bf16
  TensorView weight;      // [Cout, K, K, Cin], x's dtype
  TensorView scale{};     // optional, f32 [Cout]
  TensorView bias{};      // optional, f32 [Cout]
  TensorView residual{};  // optional, [N, OH, OW, Cout], x's dtype
  bool relu = false;
  TensorView y;  // out, [N, OH, OW, Cout], x's dtype
  int64_t stride = 1;
  int64_t padding = 0;
  // Optional: keeps the packed weight from call to call, whatever the batch, for a caller who knows that the
  // weight stays the same. CUDA leaves it alone.
  PackedWeight* kept = nullptr;
};

/// Gradients of the convolution alone, without scale, bias, residual and relu:
///   dx[n, h, w, c]        = sum over o, i, j with h = oh s - p + i, w = ow s - p + j
///                           of dy[n, oh, ow, o] weight[o, i, j, c]
///   dweight[o, i, j, c]  += sum over n, oh, ow of dy[n, oh, ow, o] x[n, oh s - p + i, ow s - p + j, c]
struct Conv2dBackward {
  TensorView x;          // [N, H, W, Cin], f32 or bf16
  TensorView weight;     // [Cout, K, K, Cin], x's dtype
  TensorView dy;         // [N, OH, OW, Cout], x's dtype
  TensorView dx{};       // optional out, [N, H, W, Cin], x's dtype, overwritten
  TensorView dweight{};  // optional, f32 [Cout, K, K, Cin], accumulated into
  int64_t stride = 1;
  int64_t padding = 0;
};

/// Both throw InputError for a missing tensor, a wrong shape or dtype, strides that are not contiguous, a
/// stride or a padding out of range, a kernel larger than the padded picture, or, on CUDA, 2^31 pixels or
/// positions and more, or filters (K K Cin, or in the backward K K Cout, elements) of more than 2^30.
void conv2d_forward(const Conv2dForward& p, const ExecContext& ctx);
void conv2d_backward(const Conv2dBackward& p, const ExecContext& ctx);

}  // namespace cuclip
