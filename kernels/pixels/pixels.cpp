#include "kernels/pixels/pixels.h"

#include "kernels/common/dispatch.h"
#include "kernels/pixels/pixels_cpu.h"
#include "kernels/pixels/pixels_cuda.h"

namespace cuclip {

void normalize_pixels(const NormalizePixels& p, const ExecContext& ctx) {
  const bool bytes = p.image.dtype == DType::u8;
  CUCLIP_CHECK(p.image.rank() == 4 && p.image.size(bytes ? 3 : 1) == 3,
               "normalize_pixels: image must be u8 [B, H, W, 3] or f32 [B, 3, H, W], got {} {}",
               name_of(p.image.dtype), p.image.shape.to_string());
  check_tensor("normalize_pixels: image", p.image, bytes ? DType::u8 : DType::f32, p.image.shape);
  check_floating("normalize_pixels: out", p.out.dtype);
  check_tensor("normalize_pixels: out", p.out, p.out.dtype,
               {p.image.size(0), p.image.size(bytes ? 1 : 2), p.image.size(bytes ? 2 : 3), 3});
  if (p.out.elements() == 0) return;
  CUCLIP_DISPATCH("normalize_pixels", ctx, normalize_pixels_cpu(p, ctx), normalize_pixels_cuda(p, ctx));
}

}  // namespace cuclip
