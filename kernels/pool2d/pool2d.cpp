#include "kernels/pool2d/pool2d.h"

#include "kernels/common/dispatch.h"
#include "kernels/pool2d/pool2d_cpu.h"
#include "kernels/pool2d/pool2d_cuda.h"

namespace cuclip {
namespace {

// Checks the pictures [N, H, W, C] against what they are pooled to.
void check_pool2d(std::string_view operation, std::string_view full_name, const TensorView& full,
                  std::string_view pooled_name, const TensorView& pooled, int64_t k) {
  const std::string what = fmt::format("{}: {}", operation, full_name);
  CUCLIP_CHECK(full.rank() == 4, "{} must be [N, H, W, C], got {}", what, full.shape.to_string());
  check_floating(what, full.dtype);
  check_tensor(what, full, full.dtype, full.shape);
  const int64_t height = full.size(1), width = full.size(2);
  CUCLIP_CHECK(k >= 1 && k <= height && k <= width,
               "{}: windows must be of 1 x 1 up to the picture's {} x {}, got {} x {}", operation, height,
               width, k, k);
  check_tensor(fmt::format("{}: {}", operation, pooled_name), pooled, full.dtype,
               {full.size(0), height / k, width / k, full.size(3)});
}

}  // namespace

void avg_pool2d_forward(const AvgPool2dForward& p, const ExecContext& ctx) {
  check_pool2d("avg_pool2d_forward", "x", p.x, "y", p.y, p.k);
  CUCLIP_DISPATCH("avg_pool2d_forward", ctx, avg_pool2d_forward_cpu(p, ctx), avg_pool2d_forward_cuda(p, ctx));
}

void avg_pool2d_backward(const AvgPool2dBackward& p, const ExecContext& ctx) {
  check_pool2d("avg_pool2d_backward", "dx", p.dx, "dy", p.dy, p.k);
  CUCLIP_DISPATCH("avg_pool2d_backward", ctx, avg_pool2d_backward_cpu(p, ctx),
                  avg_pool2d_backward_cuda(p, ctx));
}

}  // namespace cuclip
