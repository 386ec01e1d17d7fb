// Private to the decoders of image_decode.h: one function per file format, and what they share.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string_view>

#include "kernels/common/check.h"
#include "models/image/image.h"
#include "models/image/image_decode.h"

namespace cuclip::formats {

using Bytes = std::span<const uint8_t>;

Image decode_jpeg(Bytes file, std::string_view name, const DecodeOptions& options);
Image decode_png(Bytes file, std::string_view name, const DecodeOptions& options);
Image decode_webp(Bytes file, std::string_view name, const DecodeOptions& options);
Image decode_gif(Bytes file, std::string_view name, const DecodeOptions& options);
Image decode_bmp(Bytes file, std::string_view name, const DecodeOptions& options);
Image decode_pnm(Bytes file, std::string_view name, const DecodeOptions& options);
Image decode_psd(Bytes file, std::string_view name, const DecodeOptions& options);
Image decode_tga(Bytes file, std::string_view name, const DecodeOptions& options);
/// Refuses every file where the build lacks libtiff.
Image decode_tiff(Bytes file, std::string_view name, const DecodeOptions& options);
bool has_tiff();

/// TGA files begin with no signature: whether all of a header's fields agree with each other.
bool is_tga(Bytes file);

/// What stb_image makes of a file: 8-bit grey, grey and alpha, RGB or RGBA.
struct StbPicture {
  int width = 0, height = 0, channels = 0;
  std::unique_ptr<uint8_t, decltype(&std::free)> pixels{nullptr, &std::free};
};

/// A file of BMP, GIF, PNM, PSD or TGA, given as pieces that follow each other, through stb_image. `format`
/// is for the messages.
StbPicture read_stb(std::span<const Bytes> pieces, std::string_view name, std::string_view format,
                    const DecodeOptions& options);
Image on_white(const StbPicture& picture);

inline uint32_t big_endian_16(const uint8_t* p) { return static_cast<uint32_t>(p[0] << 8 | p[1]); }
inline uint32_t big_endian_32(const uint8_t* p) { return big_endian_16(p) << 16 | big_endian_16(p + 2); }
inline uint32_t little_endian_16(const uint8_t* p) { return static_cast<uint32_t>(p[1] << 8 | p[0]); }
inline uint32_t little_endian_32(const uint8_t* p) {
  return little_endian_16(p + 2) << 16 | little_endian_16(p);
}

/// a / 255 rounded to nearest, exact for 0 <= a <= 255 * 255.
inline uint8_t divide_by_255(uint32_t a) { return static_cast<uint8_t>((a + 128 + ((a + 128) >> 8)) >> 8); }

/// `count` pixels of 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA) channels to RGB on white.
void composite_on_white(const uint8_t* pixels, int channels, int64_t count, uint8_t* rgb);

/// Refuses empty pictures and those beyond the limit; to be called before anything of their size is
/// allocated.
void check_size(std::string_view name, std::string_view format, int64_t width, int64_t height,
                const DecodeOptions& options);

Image make_image(int64_t width, int64_t height);

}  // namespace cuclip::formats
