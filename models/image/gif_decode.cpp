// GIF through stb_image: the first frame, on its canvas. What the frame leaves open is transparent.
#include <array>
#include <string_view>

#include "models/image/image_formats.h"

namespace cuclip::formats {
namespace {

constexpr size_t kHeader = 13;
constexpr size_t kBackgroundAt = 11;  // in the header: the number of the background colour

// stb_image fills what the frame leaves open with the background colour, which neither browsers nor Pillow
// do. Where the colour's number is 0, it leaves that transparent.
StbPicture read_with_background(Bytes file, uint8_t color, std::string_view name,
                                const DecodeOptions& options) {
  const std::array<uint8_t, 1> background = {color};
  const std::array<Bytes, 3> pieces = {file.first(kBackgroundAt), background,
                                       file.subspan(kBackgroundAt + 1)};
  return read_stb(pieces, name, "GIF", options);
}

int64_t count_transparent(const StbPicture& picture) {
  const int64_t pixels = int64_t{picture.width} * picture.height;
  int64_t count = 0;
  for (int64_t i = 0; i < pixels; ++i) count += picture.pixels.get()[4 * i + 3] == 0 ? 1 : 0;
  return count;
}

// How many pixels the first frame has; 0 where its descriptor is not found.
int64_t first_frame_pixels(Bytes file) {
  constexpr uint8_t kExtension = 0x21, kFrame = 0x2C;
  constexpr size_t kDescriptor = 9;
  const bool has_palette = (file[10] & 0x80) != 0;
  size_t at = kHeader + (has_palette ? size_t{6} << (file[10] & 7) : 0);
  while (at + 2 < file.size() && file[at] == kExtension) {
    at += 2;
    while (at < file.size() && file[at] != 0) at += 1 + size_t{file[at]};  // blocks, each after its size
    ++at;
  }
  if (at + kDescriptor > file.size() || file[at] != kFrame) return 0;
  return int64_t{little_endian_16(&file[at + 5])} * little_endian_16(&file[at + 7]);
}

}  // namespace

Image decode_gif(Bytes file, std::string_view name, const DecodeOptions& options) {
  CUCLIP_CHECK(file.size() > kHeader, "{}: truncated GIF: {} bytes", name, file.size());
  Image image;
  int64_t transparent = 0;
  {
    const StbPicture picture = read_with_background(file, 0, name, options);
    image = on_white(picture);
    transparent = count_transparent(picture);
  }
  // stb_image does not say when a frame ends before its last pixel. Then more pixels are transparent than lie
  // outside the frame, and that not by their colour: with another background they are filled.
  const int64_t outside = int64_t{image.width} * image.height - first_frame_pixels(file);
  if (transparent > outside) transparent -= count_transparent(read_with_background(file, 1, name, options));
  CUCLIP_CHECK(transparent <= outside, "{}: damaged GIF: its pixel data end too early", name);
  return image;
}

}  // namespace cuclip::formats
