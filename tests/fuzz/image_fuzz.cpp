// decode_image on arbitrary bytes: a picture of the size that it says, or InputError.
#include <zlib.h>

#include <cstdlib>
#include <string_view>
#include <vector>

#include "kernels/common/check.h"
#include "models/image/image_decode.h"

namespace {

// Gives the chunks of a mutated PNG their right checksums; without this hardly any input would reach what is
// after the check.
void repair_checksums(std::vector<uint8_t>& file) {
  if (file.size() < 8 || file[0] != 0x89) return;
  for (size_t at = 8; file.size() - at >= 12;) {
    const size_t length = static_cast<size_t>(file[at]) << 24 | static_cast<size_t>(file[at + 1]) << 16 |
                          static_cast<size_t>(file[at + 2]) << 8 | file[at + 3];
    if (length > file.size() - at - 12) return;
    const uLong sum = crc32_z(0, &file[at + 4], length + 4);
    for (size_t i = 0; i < 4; ++i) file[at + 8 + length + i] = static_cast<uint8_t>(sum >> (24 - 8 * i));
    at += length + 12;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> file(data, data + size);
  repair_checksums(file);
  try {
    const cuclip::Image image = cuclip::decode_image(std::as_bytes(std::span<const uint8_t>(file)), "input",
                                                     {.max_pixels = 1 << 16, .exif_orientation = true});
    if (image.width <= 0 || image.height <= 0) std::abort();
    if (image.rgb.size() != static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3)
      std::abort();
  } catch (const cuclip::InputError&) {
  }
  return 0;
}
