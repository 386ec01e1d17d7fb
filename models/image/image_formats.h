// Private to the decoders of image_decode.h: one function per file format, and what they share.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/common/check.h"
#include "models/image/image.h"
#include "models/image/image_decode.h"

namespace cuclip::formats {

using Bytes = std::span<const uint8_t>;

Image decode_jpeg(Bytes bytes, std::string_view name, const DecodeLimits& limits);
Image decode_png(Bytes bytes, std::string_view name, const DecodeLimits& limits);
Image decode_bmp(Bytes bytes, std::string_view name, const DecodeLimits& limits);

inline uint32_t big_endian_16(const uint8_t* p) { return static_cast<uint32_t>(p[0] << 8 | p[1]); }
inline uint32_t big_endian_32(const uint8_t* p) { return big_endian_16(p) << 16 | big_endian_16(p + 2); }
inline uint32_t little_endian_16(const uint8_t* p) { return static_cast<uint32_t>(p[1] << 8 | p[0]); }
inline uint32_t little_endian_32(const uint8_t* p) {
  return little_endian_16(p + 2) << 16 | little_endian_16(p);
}

/// a / 255 rounded to nearest, exact for 0 <= a <= 255 * 255.
inline uint8_t divide_by_255(uint32_t a) { return static_cast<uint8_t>((a + 128 + ((a + 128) >> 8)) >> 8); }

inline uint8_t blend_on_white(uint32_t value, uint32_t alpha) {
  return divide_by_255(value * alpha + 255 * (255 - alpha));
}

/// Refuses empty pictures and those beyond the limits; to be called before anything of their size is
/// allocated.
inline void check_size(std::string_view name, std::string_view format, int64_t width, int64_t height,
                       const DecodeLimits& limits) {
  CUCLIP_CHECK(width > 0 && height > 0, "{}: a {} picture of {} x {} pixels has nothing to show", name,
               format, width, height);
  CUCLIP_CHECK(width <= limits.max_pixels / height,
               "{}: a {} picture of {} x {} = {} million pixels, at most {} million are accepted", name,
               format, width, height, width * height / 1'000'000,
               static_cast<double>(limits.max_pixels) / 1e6);
}

inline Image make_image(int64_t width, int64_t height) {
  Image image{.width = static_cast<int>(width), .height = static_cast<int>(height), .rgb = {}, .damage = {}};
  image.rgb.resize(static_cast<size_t>(width * height * 3));
  return image;
}

}  // namespace cuclip::formats
