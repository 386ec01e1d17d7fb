// Untrusted picture files, decoded to 8-bit RGB: JPEG (libjpeg-turbo), PNG and BMP.
//
// What becomes of pictures that are not 8-bit RGB:
//   grey               the three channels are equal
//   palette            looked up; an index beyond the palette is black, as in libpng
//   alpha, tRNS        composited on white, rounded to nearest (= Pillow's alpha_composite on an opaque
//                      white picture); the alpha of a 32-bit BMP counts only where the file declares an
//                      alpha mask
//   16-bit channels    the upper byte (= Pillow for RGB and RGBA; for 16-bit grey Pillow's convert("RGB")
//                      would turn nearly everything white, which is not followed)
//   CMYK, YCCK         taken as inverted, which is how Adobe writes them, then r = (255-c)(255-k)/255
//                      (= Pillow)
// EXIF orientation, gamma and colour profiles are ignored, as Pillow's Image.open(...).convert("RGB") does,
// which is what CLIP's published weights were trained on.
//
// A truncated file is refused entirely, never returned half grey: JPEG data must continue up to the end
// marker, PNG checksums are verified and the IEND chunk must be there. JPEG has no checksums; compressed data
// that is damaged in between gives libjpeg-turbo's best guess (= Pillow), and Image::damage says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "models/image/image.h"

namespace cuclip {

struct DecodeLimits {
  /// Pictures that declare more are refused before anything of their size is allocated (decompression bombs).
  int64_t max_pixels = 100'000'000;
};

/// Decodes one picture; the format is found from the bytes, never from the name. `name` (a path, an archive
/// member) only begins the error messages. Throws InputError for anything that is not a whole picture within
/// the limits; the message says what was found instead (an HTML page, a WebP picture, an empty file, a
/// truncated PNG, ...). Image::damage begins with `name` too.
Image decode_image(std::span<const std::byte> bytes, std::string_view name, const DecodeLimits& limits = {});

/// Reads and decodes a file.
Image load_image(const std::filesystem::path& path, const DecodeLimits& limits = {});

}  // namespace cuclip
