#include "models/image/image.h"

#include "kernels/common/check.h"

namespace cuclip {

ImageView ImageView::crop(const PixelRect& rect) const {
  CUCLIP_CHECK(rect.x >= 0 && rect.y >= 0 && rect.width > 0 && rect.height > 0 &&
                   rect.width <= width - rect.x && rect.height <= height - rect.y,
               "crop: {} x {} pixels at ({}, {}) do not lie within a picture of {} x {}", rect.width,
               rect.height, rect.x, rect.y, width, height);
  return {row(rect.y) + int64_t{3} * rect.x, rect.width, rect.height, stride};
}

}  // namespace cuclip
