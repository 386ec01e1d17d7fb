// Photoshop's files through stb_image: the merged picture that Photoshop keeps in them for other programs,
// RGB of 8 bits or, without compression, of 16. stb_image would take a fourth channel for the picture's
// transparency, and take out the white on which the colours lie already: it is given a header that speaks of
// three.
#include <algorithm>
#include <array>
#include <string_view>

#include "models/image/image_formats.h"

namespace cuclip::formats {
namespace {

constexpr size_t kHeader = 26;
constexpr int64_t kRuns = 1;  // a compression

// Where the merged picture begins, after three sections that begin with their lengths.
size_t picture_at(Bytes file, std::string_view name) {
  size_t at = kHeader;
  for (int section = 0; section < 3; ++section) {
    CUCLIP_CHECK(at + 4 <= file.size(), "{}: truncated PSD: {} bytes", name, file.size());
    at += 4 + size_t{big_endian_32(&file[at])};
  }
  CUCLIP_CHECK(at + 2 <= file.size(), "{}: truncated PSD: {} bytes, expected {} or more", name, file.size(),
               at + 2);
  return at;
}

}  // namespace

Image decode_psd(Bytes file, std::string_view name, const DecodeOptions& options) {
  CUCLIP_CHECK(file.size() >= kHeader, "{}: truncated PSD: {} bytes", name, file.size());
  const int64_t channels = big_endian_16(&file[12]), depth = big_endian_16(&file[22]);
  const int64_t height = big_endian_32(&file[14]), width = big_endian_32(&file[18]);
  constexpr int64_t kRgb = 3;
  CUCLIP_CHECK(
      big_endian_16(&file[4]) == 1 && big_endian_16(&file[24]) == kRgb && channels >= 3 &&
          (depth == 8 || depth == 16),
      "{}: a PSD picture of version {}, colour mode {}, {} channels and {} bits, expected version 1, "
      "colour mode 3 (RGB), 3 channels or more and 8 or 16 bits",
      name, big_endian_16(&file[4]), big_endian_16(&file[24]), channels, depth);
  check_size(name, "PSD", width, height, options);
  const size_t at = picture_at(file, name);
  const int64_t compression = big_endian_16(&file[at]);
  CUCLIP_CHECK(compression == 0 || (compression == kRuns && depth == 8),
               "{}: a PSD picture with compression {} and {} bits, expected none (0), or runs (1) of 8 bits",
               name, compression, depth);

  // With runs, there is a table of how many bytes each row of each channel has.
  const int64_t rows = channels * height;
  const size_t table_at = at + 2;
  const size_t data_at = table_at + (compression == kRuns ? static_cast<size_t>(2 * rows) : 0);
  CUCLIP_CHECK(data_at <= file.size(), "{}: truncated PSD: {} bytes", name, file.size());
  int64_t expected = rows * width * depth / 8;
  if (compression == kRuns) {
    expected = 0;
    for (size_t row = table_at; row < data_at; row += 2) expected += big_endian_16(&file[row]);
  }
  CUCLIP_CHECK(expected <= std::ssize(file) - static_cast<int64_t>(data_at),
               "{}: truncated PSD: {} bytes of pixels, expected {}", name, file.size() - data_at, expected);

  std::array<uint8_t, kHeader + 12 + 2> header{};  // with empty sections
  std::copy_n(file.begin(), kHeader, header.begin());
  header[12] = 0;
  header[13] = 3;
  header.back() = static_cast<uint8_t>(compression);
  const size_t table_bytes = compression == kRuns ? static_cast<size_t>(2 * 3 * height) : 0;
  const std::array<Bytes, 3> pieces = {header, file.subspan(table_at, table_bytes), file.subspan(data_at)};
  return on_white(read_stb(pieces, name, "PSD", options));
}

}  // namespace cuclip::formats
