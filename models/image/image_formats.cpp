#include "models/image/image_formats.h"

#include <algorithm>

namespace cuclip::formats {
namespace {

// What is longer can be resized to nothing that shows anything, and resampling it takes memory by its length.
constexpr int64_t kMostPixelsOfASide = 1'000'000;

uint8_t blend_on_white(uint32_t value, uint32_t alpha) {
  return divide_by_255(value * alpha + 255 * (255 - alpha));
}

}  // namespace

void composite_on_white(const uint8_t* pixels, int channels, int64_t count, uint8_t* rgb) {
  if (channels == 3) {
    std::copy_n(pixels, 3 * count, rgb);
    return;
  }
  const int step = channels <= 2 ? 0 : 1;  // from one colour channel to the next
  for (int64_t i = 0; i < count; ++i, pixels += channels, rgb += 3) {
    const uint32_t alpha = channels % 2 == 0 ? pixels[channels - 1] : 255;
    for (int c = 0; c < 3; ++c) rgb[c] = blend_on_white(pixels[c * step], alpha);
  }
}

void check_size(std::string_view name, std::string_view format, int64_t width, int64_t height,
                const DecodeOptions& options) {
  CUCLIP_CHECK(width > 0 && height > 0, "{}: a {} picture of {} x {} pixels has nothing to show", name,
               format, width, height);
  CUCLIP_CHECK(width <= options.max_pixels / height,
               "{}: a {} picture of {} x {} = {:.4g} million pixels, at most {:.4g} million are accepted; "
               "make a smaller copy of it",
               name, format, width, height, static_cast<double>(width) * static_cast<double>(height) / 1e6,
               static_cast<double>(options.max_pixels) / 1e6);
  CUCLIP_CHECK(width <= kMostPixelsOfASide && height <= kMostPixelsOfASide,
               "{}: a {} picture of {} x {} pixels, at most {} in a row or a column are accepted", name,
               format, width, height, kMostPixelsOfASide);
}

Image make_image(int64_t width, int64_t height) {
  Image image{.width = static_cast<int>(width), .height = static_cast<int>(height), .rgb = {}, .damage = {}};
  image.rgb.resize(static_cast<size_t>(width * height * 3));
  return image;
}

}  // namespace cuclip::formats
