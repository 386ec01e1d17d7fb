// Average pooling of pictures over windows of k x k that do not overlap:
//   y[n, i, j, c] = 1/k^2 sum over a, b < k of x[n, i k + a, j k + b, c]
//
// x [N, H, W, C], y [N, H / k, W / k, C], rounded downwards: rows and columns of x at the lower and right
// border that fill no window are left out. f32 or bf16; sums are f32, rounded once. Every tensor is
// contiguous and none overlaps another. NaN reaches its own window's channel and nothing else. Same bits for
// any number of threads.
#pragma once

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

struct AvgPool2dForward {
  TensorView x;   // [N, H, W, C]
  TensorView y;   // out, [N, H / k, W / k, C]
  int64_t k = 2;  // of 1 to min(H, W)
};

/// dx[n, h, w, c] = dy[n, h / k, w / k, c] / k^2, and zero where x was left out.
struct AvgPool2dBackward {
  TensorView dy;  // [N, H / k, W / k, C]
  TensorView dx;  // out, [N, H, W, C], overwritten
  int64_t k = 2;
};

/// Both throw InputError for a missing tensor, a wrong shape or dtype, strides that are not contiguous, or a
/// k that is below 1 or larger than the picture; on CUDA, for rows that are too long for one launch.
void avg_pool2d_forward(const AvgPool2dForward& p, const ExecContext& ctx);
void avg_pool2d_backward(const AvgPool2dBackward& p, const ExecContext& ctx);

}  // namespace cuclip
