#include "train/draw/png.h"

#include <zlib.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>
#include <vector>

#include "core/file_io.h"
#include "kernels/common/check.h"

namespace cuclip {
namespace {

constexpr int64_t kPixel = 3;

std::string big_endian(uint64_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xff);
  return bytes;
}

void append_chunk(std::string& file, std::string_view type, std::string_view body) {
  file += big_endian(body.size());
  const size_t begin = file.size();
  file += type;
  file += body;
  file += big_endian(crc32_z(0, reinterpret_cast<const Bytef*>(&file[begin]), file.size() - begin));
}

uint8_t predict(int filter, int left, int above, int corner) {
  switch (filter) {
    case 1:
      return static_cast<uint8_t>(left);
    case 2:
      return static_cast<uint8_t>(above);
    case 3:
      return static_cast<uint8_t>((left + above) / 2);
    case 4: {
      const int a = std::abs(above - corner), b = std::abs(left - corner),
                c = std::abs(left + above - 2 * corner);
      return static_cast<uint8_t>(a <= b && a <= c ? left : b <= c ? above : corner);
    }
    default:
      return 0;
  }
}

// The row after the filter whose differences have the smallest sum, the usual guess at what deflates best.
// `row` and `above` have kPixel bytes of zero before their first byte.
void append_filtered_row(std::string& out, const uint8_t* row, const uint8_t* above, int64_t bytes) {
  std::vector<uint8_t> best, coded(static_cast<size_t>(bytes));
  int64_t best_cost = -1;
  int best_filter = 0;
  for (int filter = 0; filter <= 4; ++filter) {
    int64_t cost = 0;
    for (int64_t i = 0; i < bytes; ++i) {
      const uint8_t guess = predict(filter, row[i - kPixel], above[i], above[i - kPixel]);
      coded[static_cast<size_t>(i)] = static_cast<uint8_t>(row[i] - guess);
      cost += std::abs(static_cast<int8_t>(coded[static_cast<size_t>(i)]));
    }
    if (best_cost < 0 || cost < best_cost) {
      best_cost = cost;
      best_filter = filter;
      best = coded;
    }
  }
  out += static_cast<char>(best_filter);
  out.append(best.begin(), best.end());
}

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
  const int64_t bytes = kPixel * image.width;
  std::string rows;
  rows.reserve(static_cast<size_t>((bytes + 1) * image.height));
  std::vector<uint8_t> row(static_cast<size_t>(kPixel + bytes)), above(row);
  for (int y = 0; y < image.height; ++y) {
    row.swap(above);
    std::copy(image.row(y), image.row(y) + bytes, row.begin() + kPixel);
    append_filtered_row(rows, row.data() + kPixel, above.data() + kPixel, bytes);
  }
  uLongf size = compressBound(static_cast<uLong>(rows.size()));
  std::string data(size, '\0');
  const int status =
      compress2(reinterpret_cast<Bytef*>(data.data()), &size, reinterpret_cast<const Bytef*>(rows.data()),
                static_cast<uLong>(rows.size()), 6);
  if (status != Z_OK) fail("encode_png: zlib failed with status {}", status);
  data.resize(size);

  std::string file = "\x89PNG\r\n\x1A\n";
  const std::string kind("\x08\x02\0\0\0", 5);  // 8 bits, RGB, no interlace
  append_chunk(file, "IHDR",
               big_endian(static_cast<uint64_t>(image.width)) +
                   big_endian(static_cast<uint64_t>(image.height)) + kind);
  append_chunk(file, "IDAT", data);
  append_chunk(file, "IEND", "");
  return file;
}

std::string png_data_uri(const ImageView& image) {
  return "data:image/png;base64," + base64(encode_png(image));
}

void write_png(const std::filesystem::path& path, const ImageView& image) {
  write_file_atomic(path, encode_png(image));
}

}  // namespace cuclip
