#include "models/image/orientation.h"

#include <algorithm>
#include <array>
#include <utility>

#include "models/image/image_formats.h"

namespace cuclip {

int exif_orientation(std::span<const uint8_t> tiff) {
  if (tiff.size() < 8 || tiff[0] != tiff[1] || (tiff[0] != 'I' && tiff[0] != 'M')) return 1;
  const bool big = tiff[0] == 'M';
  const auto read_16 = [&](size_t at) {
    return big ? formats::big_endian_16(&tiff[at]) : formats::little_endian_16(&tiff[at]);
  };
  const size_t table = big ? formats::big_endian_32(&tiff[4]) : formats::little_endian_32(&tiff[4]);
  if (table > tiff.size() - 2) return 1;
  constexpr size_t kEntry = 12;  // tag, type, count, value
  constexpr uint32_t kOrientation = 0x0112, kShort = 3;
  const size_t entries = std::min<size_t>(read_16(table), (tiff.size() - table - 2) / kEntry);
  for (size_t i = 0; i < entries; ++i) {
    const size_t at = table + 2 + i * kEntry;
    if (read_16(at) != kOrientation) continue;
    const int orientation = static_cast<int>(read_16(at + 8));
    return read_16(at + 2) == kShort && orientation >= 1 && orientation <= 8 ? orientation : 1;
  }
  return 1;
}

Image upright(Image image, int orientation) {
  if (orientation < 2 || orientation > 8) return image;
  struct Turn {
    bool swap, mirror_x, mirror_y;
  };
  // Where the pixel of the upright picture at (x, y) comes from: (x, y) or (y, x), and then mirrored.
  constexpr std::array<Turn, 7> kTurns = {{{false, true, false},
                                           {false, true, true},
                                           {false, false, true},
                                           {true, false, false},
                                           {true, false, true},
                                           {true, true, true},
                                           {true, true, false}}};
  const Turn turn = kTurns[static_cast<size_t>(orientation - 2)];
  Image result = turn.swap ? formats::make_image(image.height, image.width)
                           : formats::make_image(image.width, image.height);
  result.damage = std::move(image.damage);
  uint8_t* out = result.rgb.data();
  for (int y = 0; y < result.height; ++y) {
    for (int x = 0; x < result.width; ++x, out += 3) {
      const int64_t from_x = turn.swap ? y : x, from_y = turn.swap ? x : y;
      const int64_t column = turn.mirror_x ? image.width - 1 - from_x : from_x;
      const int64_t row = turn.mirror_y ? image.height - 1 - from_y : from_y;
      std::copy_n(&image.rgb[static_cast<size_t>(3 * (row * image.width + column))], 3, out);
    }
  }
  return result;
}

}  // namespace cuclip
