// WebP through libwebp; of an animation the first frame, on its canvas, through libwebpdemux.
#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>
#include <string_view>
#include <vector>

#include "models/image/image_formats.h"

namespace cuclip::formats {
namespace {

// False when the frame cannot be decoded.
bool read_first_frame(Bytes file, Image& image) {
  const WebPData data{file.data(), file.size()};
  const std::unique_ptr<WebPAnimDecoder, decltype(&WebPAnimDecoderDelete)> decoder(
      WebPAnimDecoderNew(&data, nullptr), &WebPAnimDecoderDelete);
  WebPAnimInfo info;
  if (!decoder || !WebPAnimDecoderGetInfo(decoder.get(), &info)) return false;
  // The size that was checked is this one; nothing else may be written into the picture.
  if (static_cast<int>(info.canvas_width) != image.width ||
      static_cast<int>(info.canvas_height) != image.height)
    return false;
  uint8_t* canvas = nullptr;
  int timestamp = 0;
  if (!WebPAnimDecoderGetNext(decoder.get(), &canvas, &timestamp)) return false;
  composite_on_white(canvas, 4, int64_t{image.width} * image.height, image.rgb.data());
  return true;
}

// False when the picture cannot be decoded.
bool read_still(Bytes file, bool has_alpha, Image& image) {
  if (!has_alpha) {
    return WebPDecodeRGBInto(file.data(), file.size(), image.rgb.data(), image.rgb.size(), 3 * image.width);
  }
  const int64_t pixels = int64_t{image.width} * image.height;
  std::vector<uint8_t> rgba(static_cast<size_t>(4 * pixels));
  if (!WebPDecodeRGBAInto(file.data(), file.size(), rgba.data(), rgba.size(), 4 * image.width)) return false;
  composite_on_white(rgba.data(), 4, pixels, image.rgb.data());
  return true;
}

}  // namespace

Image decode_webp(Bytes file, std::string_view name, const DecodeOptions& options) {
  const size_t expected = 8 + size_t{little_endian_32(&file[4])};
  CUCLIP_CHECK(file.size() >= expected, "{}: truncated WebP: {} bytes, expected {}", name, file.size(),
               expected);
  WebPBitstreamFeatures features;
  CUCLIP_CHECK(WebPGetFeatures(file.data(), file.size(), &features) == VP8_STATUS_OK,
               "{}: a damaged WebP picture: it has no valid header", name);
  check_size(name, "WebP", features.width, features.height, options);
  Image image = make_image(features.width, features.height);
  CUCLIP_CHECK(
      features.has_animation ? read_first_frame(file, image) : read_still(file, features.has_alpha, image),
      "{}: a damaged WebP picture: libwebp cannot decode its pixels", name);
  return image;
}

}  // namespace cuclip::formats
