// Windows and OS/2 bitmaps without compression: 1, 4 and 8 bits with a palette; 16, 24 and 32 bits with or
// without channel masks.
#include <algorithm>
#include <array>
#include <bit>
#include <string_view>

#include "models/image/image_formats.h"

namespace cuclip::formats {
namespace {

constexpr size_t kFileHeader = 14;

struct Channel {
  uint32_t mask = 0;

  // The channel of a pixel, stretched to 0..255 (truncating, as Pillow).
  uint32_t of(uint32_t pixel) const {
    if (mask == 0) return 0;
    const uint64_t largest = mask >> std::countr_zero(mask);
    return static_cast<uint32_t>(static_cast<uint64_t>((pixel & mask) >> std::countr_zero(mask)) * 255 /
                                 largest);
  }
};

struct Header {
  int64_t width = 0, height = 0;
  bool bottom_up = true;
  int bits = 0;
  size_t pixels_at = 0;
  std::array<Channel, 4> rgba;  // masks; an alpha mask of 0 means opaque
  size_t palette_at = 0, palette_entry = 4, palette_size = 0;
};

void parse_masks(Bytes file, std::string_view name, size_t info_size, uint32_t compression, Header& h) {
  if (compression == 0) {
    h.rgba = h.bits == 16 ? std::array<Channel, 4>{{{0x7c00}, {0x03e0}, {0x001f}, {0}}}
                          : std::array<Channel, 4>{{{0xff0000}, {0x00ff00}, {0x0000ff}, {0}}};
    return;
  }
  constexpr size_t kMasksAt = kFileHeader + 40;  // after the 40-byte header, or inside a longer one
  const size_t masks = info_size >= 56 || compression == 6 ? 4 : 3;
  CUCLIP_CHECK(file.size() >= kMasksAt + 4 * masks, "{}: truncated BMP: {} bytes", name, file.size());
  for (size_t c = 0; c < masks; ++c) h.rgba[c].mask = little_endian_32(&file[kMasksAt + 4 * c]);
}

Header parse_header(Bytes file, std::string_view name) {
  CUCLIP_CHECK(file.size() >= 26, "{}: truncated BMP: {} bytes", name, file.size());
  Header h;
  h.pixels_at = little_endian_32(&file[10]);
  const size_t info_size = little_endian_32(&file[14]);
  uint32_t compression = 0;
  if (info_size == 12) {
    h.width = little_endian_16(&file[18]);
    h.height = little_endian_16(&file[20]);
    h.bits = static_cast<int>(little_endian_16(&file[24]));
    h.palette_entry = 3;
  } else {
    CUCLIP_CHECK(info_size >= 40 && info_size <= 124,
                 "{}: damaged BMP: its header has {} bytes, expected 12 or 40 to 124", name, info_size);
    CUCLIP_CHECK(file.size() >= kFileHeader + info_size, "{}: truncated BMP: {} bytes", name, file.size());
    h.width = static_cast<int32_t>(little_endian_32(&file[18]));
    const int64_t height = static_cast<int32_t>(little_endian_32(&file[22]));
    h.bottom_up = height > 0;
    h.height = height > 0 ? height : -height;
    h.bits = static_cast<int>(little_endian_16(&file[28]));
    compression = little_endian_32(&file[30]);
    h.palette_size = little_endian_32(&file[46]);
  }
  const bool masks = (compression == 3 || compression == 6) && (h.bits == 16 || h.bits == 32);
  CUCLIP_CHECK(compression == 0 || masks,
               "{}: a BMP picture with compression {} and {} bits, expected an uncompressed one", name,
               compression, h.bits);
  constexpr std::array<int, 6> kBits = {1, 4, 8, 16, 24, 32};
  CUCLIP_CHECK(std::ranges::count(kBits, h.bits) == 1, "{}: damaged BMP: {} bits per pixel", name, h.bits);
  parse_masks(file, name, info_size, compression, h);
  h.palette_at = kFileHeader + info_size;
  return h;
}

// Black where the palette has no entry.
std::array<std::array<uint8_t, 3>, 256> read_palette(Bytes file, const Header& h) {
  std::array<std::array<uint8_t, 3>, 256> palette{};
  size_t entries = size_t{1} << h.bits;
  if (h.palette_size != 0) entries = std::min(entries, h.palette_size);
  const size_t end = std::min(h.pixels_at, file.size());
  for (size_t i = 0; i < entries && h.palette_at + (i + 1) * h.palette_entry <= end; ++i) {
    const uint8_t* bgr = &file[h.palette_at + i * h.palette_entry];
    palette[i] = {bgr[2], bgr[1], bgr[0]};
  }
  return palette;
}

void expand_indexed(const uint8_t* row, const Header& h,
                    const std::array<std::array<uint8_t, 3>, 256>& palette, uint8_t* out) {
  const int mask = (1 << h.bits) - 1;
  for (int64_t x = 0; x < h.width; ++x, out += 3) {
    const int64_t bit = x * h.bits;
    const auto& color = palette[static_cast<size_t>(row[bit / 8] >> (8 - h.bits - bit % 8) & mask)];
    std::copy(color.begin(), color.end(), out);
  }
}

void expand_direct(const uint8_t* row, const Header& h, uint8_t* out) {
  const int64_t bytes = h.bits / 8;
  for (int64_t x = 0; x < h.width; ++x, row += bytes, out += 3) {
    uint32_t pixel = little_endian_16(row);
    if (bytes >= 3) pixel |= static_cast<uint32_t>(row[2]) << 16;
    if (bytes == 4) pixel |= static_cast<uint32_t>(row[3]) << 24;
    const uint32_t alpha = h.rgba[3].mask == 0 ? 255 : h.rgba[3].of(pixel);
    for (size_t c = 0; c < 3; ++c) out[c] = blend_on_white(h.rgba[c].of(pixel), alpha);
  }
}

}  // namespace

Image decode_bmp(Bytes file, std::string_view name, const DecodeLimits& limits) {
  const Header h = parse_header(file, name);
  check_size(name, "BMP", h.width, h.height, limits);
  const int64_t row_bytes = (h.width * h.bits + 7) / 8;
  const int64_t stride = (row_bytes + 3) / 4 * 4;  // of which the last row's padding may be missing
  const int64_t expected = static_cast<int64_t>(h.pixels_at) + stride * (h.height - 1) + row_bytes;
  CUCLIP_CHECK(expected <= static_cast<int64_t>(file.size()), "{}: truncated BMP: {} bytes, expected {}",
               name, file.size(), expected);

  const auto palette = h.bits <= 8 ? read_palette(file, h) : decltype(read_palette(file, h)){};
  Image image = make_image(h.width, h.height);
  for (int64_t y = 0; y < h.height; ++y) {
    const int64_t source_y = h.bottom_up ? h.height - 1 - y : y;
    const uint8_t* row = &file[h.pixels_at + static_cast<size_t>(source_y * stride)];
    uint8_t* out = &image.rgb[static_cast<size_t>(y * h.width * 3)];
    if (h.bits <= 8) {
      expand_indexed(row, h, palette, out);
    } else {
      expand_direct(row, h, out);
    }
  }
  return image;
}

}  // namespace cuclip::formats
