// Truevision's TGA through stb_image. The files begin with no signature, so every field of the header must
// agree with the others; what stb_image would show wrongly is refused.
#include <cstdint>
#include <string_view>

#include "models/image/image_formats.h"

namespace cuclip::formats {
namespace {

constexpr size_t kHeader = 18;

struct Header {
  size_t id_bytes = 0;
  bool has_map = false;
  int kind = 0;  // 1 palette, 2 colour, 3 grey; 8 more where runs are shortened
  int64_t first_color = 0, colors = 0, color_bits = 0;
  int64_t width = 0, height = 0, bits = 0;
  int descriptor = 0;  // the lower four bits: how many are alpha; 16: right to left, 32: top down

  bool has_runs() const { return kind > 8; }
  int base_kind() const { return kind & 7; }
};

// The file has at least kHeader bytes.
Header parse_header(Bytes file) {
  return {.id_bytes = file[0],
          .has_map = file[1] == 1,
          .kind = file[2],
          .first_color = little_endian_16(&file[3]),
          .colors = little_endian_16(&file[5]),
          .color_bits = file[7],
          .width = little_endian_16(&file[12]),
          .height = little_endian_16(&file[14]),
          .bits = file[16],
          .descriptor = file[17]};
}

bool is_color_depth(int64_t bits) { return bits == 15 || bits == 16 || bits == 24 || bits == 32; }

bool has_consistent_map(const Header& h) {
  if (!h.has_map) return h.first_color == 0 && h.colors == 0 && h.color_bits == 0;
  return h.base_kind() == 1 && h.colors >= 1 && is_color_depth(h.color_bits);
}

bool has_consistent_depth(const Header& h) {
  const int alpha_bits = h.descriptor & 15;
  switch (h.base_kind()) {
    case 1:
      return h.has_map && h.bits == 8 && (alpha_bits == 0 || alpha_bits == 8);
    case 2:
      return is_color_depth(h.bits) && alpha_bits <= (h.bits == 32 ? 8 : h.bits == 16 ? 1 : 0);
    default:
      return (h.bits == 8 && alpha_bits == 0) || (h.bits == 16 && alpha_bits == 8);
  }
}

}  // namespace

bool is_tga(Bytes file) {
  if (file.size() < kHeader || file[1] > 1) return false;
  const Header h = parse_header(file);
  const bool known = h.kind == 1 || h.kind == 2 || h.kind == 3 || h.kind == 9 || h.kind == 10 || h.kind == 11;
  return known && h.descriptor < 64 && h.width > 0 && h.height > 0 && has_consistent_map(h) &&
         has_consistent_depth(h);
}

Image decode_tga(Bytes file, std::string_view name, const DecodeOptions& options) {
  const Header h = parse_header(file);
  check_size(name, "TGA", h.width, h.height, options);
  CUCLIP_CHECK((h.descriptor & 16) == 0,
               "{}: a TGA picture whose rows run from right to left, expected left to right", name);
  CUCLIP_CHECK(h.first_color == 0, "{}: a TGA picture whose palette begins at colour {}, expected 0", name,
               h.first_color);
  // A run is at most 128 pixels.
  const int64_t units = h.has_runs() ? (h.width * h.height + 127) / 128 : h.width * h.height;
  const int64_t unit_bytes = (h.bits + 7) / 8 + (h.has_runs() ? 1 : 0);
  const int64_t least =
      static_cast<int64_t>(kHeader + h.id_bytes) + h.colors * ((h.color_bits + 7) / 8) + units * unit_bytes;
  CUCLIP_CHECK(least <= std::ssize(file), "{}: truncated TGA: {} bytes, expected {} or more", name,
               file.size(), least);
  return on_white(read_stb({&file, 1}, name, "TGA", options));
}

}  // namespace cuclip::formats
