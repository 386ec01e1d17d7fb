#include "kernels/pixels/pixels.h"

#include "core/ops.h"

namespace cuclip::ops {

Tensor pixels(Tape& tape, const Tensor& image, const std::array<float, 3>& mean,
              const std::array<float, 3>& stddev, DType dtype) {
  CUCLIP_CHECK(image.shape().rank() == 4, "pixels: image must be u8 [B, H, W, 3] or f32 [B, 3, H, W], got {}",
               image.shape().to_string());
  const bool bytes = image.dtype() == DType::u8;
  const Shape shape{image.size(0), image.size(bytes ? 1 : 2), image.size(bytes ? 2 : 3), 3};
  const Tensor out = Tensor::empty(tape.context(), shape, dtype);
  normalize_pixels({.image = image, .mean = mean, .stddev = stddev, .out = out}, tape.context().exec());
  return out;
}

}  // namespace cuclip::ops
