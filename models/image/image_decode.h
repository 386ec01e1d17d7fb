// Untrusted picture files, decoded to 8-bit RGB: JPEG (libjpeg-turbo), PNG (libpng), WebP (libwebp), GIF,
// BMP, TGA, PNM and PSD (stb_image), and TIFF where the build has libtiff
// (docs/decisions/0004-picture-decoders.md).
//
// What becomes of pictures that are not 8-bit RGB (= what Pillow makes of them, except where it is said):
//   grey               the three channels are equal
//   palette            looked up; an index beyond the palette is black in PNG and BMP, transparent in GIF,
//                      the first colour in TGA
//   alpha, tRNS        composited on white, rounded to nearest (= Pillow's alpha_composite on an opaque
//                      white picture; a TIFF's that is multiplied into the colours may differ by 1). Not
//                      what open_clip sees: its convert("RGB") drops alpha and shows the colours below,
//                      whatever they are (decision 4); the alpha of a 32-bit BMP counts only where the file
//                      declares an alpha mask, the attribute bit of a 16-bit TGA never
//   16-bit channels    the upper byte in PNG and PSD (= Pillow for RGB and RGBA; for 16-bit grey Pillow's
//                      convert("RGB") would turn nearly everything white, which is not followed), the nearest
//                      8-bit value in TIFF; PNM of more than 8 bits is refused
//   5 and 6 bits (BMP) stretched to 0..255 by repeating the upper bits; Pillow's differ by 1 for some
//   CMYK, YCCK (JPEG)  taken as inverted, which is how Adobe writes them, then r = (255-c)(255-k)/255
//                      (= Pillow); TIFF's are not inverted, and r is rounded down
//   animation          the first frame of a GIF or WebP, on its canvas; what it leaves open is white (in a
//                      GIF without transparency Pillow shows colour 0 there)
//   pages (TIFF)       the first
//   layers (PSD)       the merged picture, without transparency; RGB only
// EXIF orientation is ignored unless asked for; gamma and colour profiles always are, as Pillow's
// Image.open(...).convert("RGB") does, which is what CLIP's published weights were trained on. A TIFF's own
// orientation is applied (= Pillow).
//
// A truncated file is refused entirely, never returned half grey: JPEG data must continue up to the end
// marker, PNG checksums are verified and the IEND chunk must be there, and no decoder may ask for more bytes
// than the file has (of an animated GIF, what follows the first frame is not looked at). JPEG has no
// checksums; compressed data that is damaged in between gives libjpeg-turbo's best guess (= Pillow), and
// Image::damage says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "core/file_io.h"
#include "models/image/image.h"

namespace cuclip {

struct DecodeOptions {
  /// Pictures that declare more are refused before anything of their size is allocated (decompression bombs).
  int64_t max_pixels = 100'000'000;
  /// Turns a JPEG the way its EXIF orientation says (= Pillow's ImageOps.exif_transpose). open_clip does not,
  /// nor does what encodes pictures; what shows them does. The EXIF data of other formats are not read.
  bool exif_orientation = false;
};

/// The formats that this build reads, as "JPEG".
std::vector<std::string_view> picture_formats();

/// Decodes one picture; the format is found from the bytes, never from the name. `name` (a path, an archive
/// member) only begins the error messages. Throws InputError for anything that is not a whole picture within
/// the limits; the message says what was found instead (an HTML page, an AVIF picture, an empty file, a
/// truncated PNG, ...). Image::damage begins with `name` too.
Image decode_image(std::span<const std::byte> bytes, std::string_view name,
                   const DecodeOptions& options = {});

/// Reads and decodes a file. One may wait for a pipe for ever: it must be allowed, as a command does for
/// `curl ... | cuclip classify /dev/stdin`.
Image load_image(const std::filesystem::path& path, const DecodeOptions& options = {},
                 Pipes pipes = Pipes::refused);

}  // namespace cuclip
