#include "train/draw/png.h"

#include <png.h>

#include <cstdint>
#include <string_view>

#include "core/file_io.h"
#include "kernels/common/check.h"

namespace cuclip {
namespace {

std::string base64(std::string_view bytes) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    }
    for (size_t k = 0; k < 4; ++k) {
      text += i + k <= bytes.size() ? kAlphabet[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return text;
}

}  // namespace

std::string encode_png(const ImageView& image) {
  CUCLIP_CHECK(image.width > 0 && image.height > 0, "encode_png: a picture of {} x {} pixels", image.width,
               image.height);
  png_image description{};
  description.version = PNG_IMAGE_VERSION;
  description.width = static_cast<png_uint_32>(image.width);
  description.height = static_cast<png_uint_32>(image.height);
  description.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(description);
  std::string file(size, '\0');
  if (!png_image_write_to_memory(&description, file.data(), &size, 0, image.rgb,
                                 static_cast<png_int_32>(image.stride), nullptr)) {
    fail("encode_png: libpng failed: {}", description.message);
  }
  file.resize(size);
  return file;
}

std::string png_data_uri(const ImageView& image) {
  return "data:image/png;base64," + base64(encode_png(image));
}

void write_png(const std::filesystem::path& path, const ImageView& image) {
  write_file_atomic(path, encode_png(image));
}

}  // namespace cuclip
