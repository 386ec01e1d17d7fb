// Windows and OS/2 bitmaps without compression: 1, 4 and 8 bits with a palette; 16, 24 and 32 bits with or
// without channel masks. stb_image decodes the pixels. Of the header's many kinds it misreads some (OS/2's
// palettes, masks in headers of 52 and 56 bytes), it takes the fourth byte of a pixel for alpha without being
// told so, and leaves undefined what a short palette lacks: so it is given a header of 108 bytes, which says
// the same of all of them.
#include <algorithm>
#include <array>
#include <bit>
#include <string_view>
#include <vector>

#include "models/image/image_formats.h"

namespace cuclip::formats {
namespace {

constexpr size_t kFileHeader = 14;

struct Header {
  int64_t width = 0, height = 0;
  bool bottom_up = true;
  int bits = 0;
  size_t pixels_at = 0;
  bool has_masks = false;
  std::array<uint32_t, 4> masks{};  // red, green, blue, alpha; an alpha mask of 0 means opaque
  size_t palette_at = 0, palette_entry = 4, palette_size = 0;
};

void parse_masks(Bytes file, std::string_view name, size_t info_size, uint32_t compression, Header& h) {
  h.has_masks = h.bits == 16 || h.bits == 32;
  if (compression == 0) {
    if (h.bits == 16) h.masks = {0x7c00, 0x03e0, 0x001f, 0};
    if (h.bits == 32) h.masks = {0xff0000, 0x00ff00, 0x0000ff, 0};
    return;
  }
  constexpr size_t kMasksAt = kFileHeader + 40;  // after the 40-byte header, or inside a longer one
  const size_t count = info_size >= 56 || compression == 6 ? 4 : 3;
  CUCLIP_CHECK(file.size() >= kMasksAt + 4 * count, "{}: truncated BMP: {} bytes", name, file.size());
  for (size_t c = 0; c < count; ++c) {
    const uint32_t mask = h.masks[c] = little_endian_32(&file[kMasksAt + 4 * c]);
    const bool alpha = c == 3;
    // One run of bits.
    const int bits = std::popcount(mask);
    const bool whole = bits == 0 ? alpha : bits <= 8 && mask >> std::countr_zero(mask) == (1u << bits) - 1;
    CUCLIP_CHECK(whole, "{}: a BMP picture with the channel mask {:08x}, expected 1 to 8 bits side by side",
                 name, mask);
  }
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

void append(std::vector<uint8_t>& out, uint32_t value, int bytes = 4) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

// The palette of 4-byte entries; black where the file has no entry.
void append_palette(std::vector<uint8_t>& out, Bytes file, const Header& h) {
  const size_t colors = size_t{1} << h.bits;
  const size_t listed = h.palette_size == 0 ? colors : std::min(colors, h.palette_size);
  const size_t end = std::min(h.pixels_at, file.size());
  for (size_t i = 0; i < colors; ++i) {
    const size_t at = h.palette_at + i * h.palette_entry;
    const bool present = i < listed && at + h.palette_entry <= end;
    for (size_t c = 0; c < 4; ++c) out.push_back(present && c < 3 ? file[at + c] : 0);
  }
}

// What stands before the pixels: the header that stb_image is given.
std::vector<uint8_t> plain_header(Bytes file, const Header& h) {
  constexpr uint32_t kInfoSize = 108;
  const uint32_t palette_bytes = h.bits <= 8 ? 4u << h.bits : 0;
  std::vector<uint8_t> out = {'B', 'M'};
  for (uint32_t field :
       {0u, 0u, static_cast<uint32_t>(kFileHeader) + kInfoSize + palette_bytes, kInfoSize,
        static_cast<uint32_t>(h.width), static_cast<uint32_t>(h.bottom_up ? h.height : -h.height)}) {
    append(out, field);
  }
  append(out, 1, 2);  // planes
  append(out, static_cast<uint32_t>(h.bits), 2);
  append(out, h.has_masks ? 3 : 0);            // how pixels are stored
  for (int i = 0; i < 5; ++i) append(out, 0);  // sizes and counts, which follow from the rest
  for (uint32_t mask : h.masks) append(out, mask);
  out.resize(kFileHeader + kInfoSize);  // the colour space
  if (h.bits <= 8) append_palette(out, file, h);
  return out;
}

}  // namespace

Image decode_bmp(Bytes file, std::string_view name, const DecodeOptions& options) {
  const Header h = parse_header(file, name);
  check_size(name, "BMP", h.width, h.height, options);
  const int64_t row_bytes = (h.width * h.bits + 7) / 8;
  const int64_t stride = (row_bytes + 3) / 4 * 4;  // of which the last row's padding may be missing
  const int64_t expected = static_cast<int64_t>(h.pixels_at) + stride * (h.height - 1) + row_bytes;
  CUCLIP_CHECK(expected <= std::ssize(file), "{}: truncated BMP: {} bytes, expected {}", name, file.size(),
               expected);
  const std::vector<uint8_t> header = plain_header(file, h);
  constexpr std::array<uint8_t, 3> kPadding{};
  const std::array<Bytes, 3> pieces = {header, file.subspan(h.pixels_at), kPadding};
  return on_white(read_stb(pieces, name, "BMP", options));
}

}  // namespace cuclip::formats
