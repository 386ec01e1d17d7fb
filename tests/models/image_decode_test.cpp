#include "models/image/image_decode.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "tests/models/recorded_pictures.h"
#include "tests/support/buffer.h"
#include "tests/support/fnv.h"

using namespace cuclip;
using Catch::Matchers::Contains;
using test::decode;
using test::kPictures;

namespace {

struct Expected {
  std::string name;
  int width, height;
  uint64_t hash;
};

bool reads_tiff() { return std::ranges::count(picture_formats(), "TIFF") > 0; }

std::vector<Expected> expected_pictures() {
  std::istringstream lines(read_file(kPictures / "expected.txt"));
  std::vector<Expected> list;
  Expected e;
  while (lines >> e.name >> std::dec >> e.width >> e.height >> std::hex >> e.hash) {
    if (reads_tiff() || !e.name.ends_with(".tif")) list.push_back(e);
  }
  return list;
}

// What follows the first picture need not be there: a GIF's trailer and further frames, a TIFF's further
// pages and the tags that say nothing about pixels, a TGA's footer. Then the first picture must be whole.
bool may_end_before(const std::string& name, const std::string& whole, size_t size) {
  if (!name.ends_with(".gif") && !name.ends_with(".tif") && !name.ends_with(".tga")) return false;
  try {
    const Image cut = decode(whole.substr(0, size));
    CHECK(cut.rgb == decode(whole).rgb);
    return true;
  } catch (const InputError&) {
    return false;
  }
}

std::string big_endian(uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
          static_cast<char>(v)};
}

std::string chunk(std::string type, const std::string& body) {
  type += body;
  const auto sum = crc32(0, reinterpret_cast<const Bytef*>(type.data()), static_cast<uInt>(type.size()));
  return big_endian(static_cast<uint32_t>(body.size())) + type + big_endian(static_cast<uint32_t>(sum));
}

// An 8-bit grey PNG of any claimed size around the given uncompressed rows.
std::string png(uint32_t width, uint32_t height, const std::string& rows) {
  uLongf size = compressBound(rows.size());
  std::string data(size, '\0');
  compress(reinterpret_cast<Bytef*>(data.data()), &size, reinterpret_cast<const Bytef*>(rows.data()),
           rows.size());
  data.resize(size);
  return "\x89PNG\r\n\x1A\n" +
         chunk("IHDR", big_endian(width) + big_endian(height) + std::string("\x08\0\0\0\0", 5)) +
         chunk("IDAT", data) + chunk("IEND", "");
}

}  // namespace

TEST_CASE("every kind of picture decodes to the recorded bytes") {
  const auto list = expected_pictures();
  REQUIRE(list.size() >= (reads_tiff() ? 137 : 115));
  for (const Expected& e : list) {
    INFO(e.name);
    const Image image = load_image(kPictures / e.name);
    CHECK(image.width == e.width);
    CHECK(image.height == e.height);
    CHECK(image.rgb.size() == static_cast<size_t>(e.width) * static_cast<size_t>(e.height) * 3);
    CHECK(test::fnv1a(image.rgb) == e.hash);
    CHECK(image.damage.empty());
  }
}

TEST_CASE("a picture truncated at any byte is refused") {
  for (const Expected& e : expected_pictures()) {
    const std::string whole = read_file(kPictures / e.name);
    for (size_t size = 0; size < whole.size(); ++size) {
      if (e.name.ends_with(".bmp") && whole.size() - size <= 3)
        continue;  // the last row's padding: see below
      if (may_end_before(e.name, whole, size)) continue;
      INFO(e.name << " cut to " << size << " of " << whole.size());
      // A copy of its own size, so that a sanitizer sees any read beyond it.
      const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      REQUIRE_THROWS_AS(decode({cut.data(), cut.size()}), InputError);
    }
  }
}

TEST_CASE("a PNG with any byte changed is refused; other formats never crash and keep the header's size") {
  for (const Expected& e : expected_pictures()) {
    const std::string whole = read_file(kPictures / e.name);
    for (size_t at = 0; at < whole.size(); ++at) {
      INFO(e.name << " changed at " << at);
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ static_cast<char>(1 + test::rng()() % 255));
      if (e.name.ends_with(".png")) {
        REQUIRE_THROWS_AS(decode(changed), InputError);
        continue;
      }
      try {
        const Image image = decode(changed, {.max_pixels = 1'000'000});
        REQUIRE(image.rgb.size() == static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3);
      } catch (const InputError&) {
      }
    }
  }
}

TEST_CASE("what is not a picture is named") {
  const auto error = [](std::string_view bytes) -> std::string {
    try {
      decode(bytes);
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  };
  CHECK(error("") == "picture: the file is empty, expected a picture");
  CHECK(error("\xEF\xBB\xBF\n <!DOCTYPE HTML><html>404") ==
        fmt::format("picture: this is an HTML page, expected a picture ({}; of PNM P5 and P6)",
                    fmt::join(picture_formats(), ", ")));
  CHECK_THAT(error("RIFF\x10\x01\x01\x01WAVEfmt "), Contains("unknown format"));
  CHECK_THAT(error("P4 8 1 \1"), Contains("a PNM picture of kind P4"));
  CHECK_THAT(error("<?xml version='1.0'?><svg width='1'/>"), Contains("an SVG drawing"));
  CHECK_THAT(error("<error>denied</error>"), Contains("an HTML or XML page"));
  CHECK_THAT(error({"\0\0\0\x20"
                    "ftypavif",
                    12}),
             Contains("an AVIF picture"));
  CHECK_THAT(error("plain words"), Contains("begins with the bytes 70 6c 61 69 6e 20 77 6f"));
  CHECK_THAT(error("B"), Contains("unknown format"));
  CHECK_THROWS_WITH(load_image(kPictures / "missing.png"), Contains("missing.png"));
  if (!reads_tiff()) CHECK_THROWS_WITH(load_image(kPictures / "cmyk.tif"), Contains("libtiff-dev"));
}

TEST_CASE("decompression bombs are refused from their header") {
  CHECK_THROWS_WITH(
      decode(png(14000, 12000, "")),
      "picture: a PNG picture of 14000 x 12000 = 168 million pixels, at most 100 million are accepted; "
      "make a smaller copy of it");
  CHECK_THROWS_WITH(decode(png(0x7fffffff, 0x7fffffff, "")), Contains("million are accepted"));
  CHECK_THROWS_WITH(decode(png(0, 7, "")), Contains("0 x 7"));
  CHECK_THROWS_WITH(
      decode(png(1'000'001, 1, "")),
      "picture: a PNG picture of 1000001 x 1 pixels, at most 1000000 in a row or a column are accepted");
  CHECK_THROWS_WITH(decode(png(1, 99'999'999, "")), Contains("picture") && Contains("in a row or a column"));
  // Within the limit but impossible: deflate cannot have shrunk so many pixels into so few bytes.
  CHECK_THROWS_WITH(decode(png(10000, 10000, std::string(500, '\0'))),
                    Contains("cannot hold 10000 x 10000 pixels"));
  // Surplus data is not inflated.
  const Image small = decode(png(1, 1, std::string(50'000'000, '\0')));
  CHECK(small.rgb == std::vector<uint8_t>{0, 0, 0});

  std::string jpeg = read_file(kPictures / "grey.jpg");
  const size_t frame = jpeg.find("\xFF\xC0");
  REQUIRE(frame != std::string::npos);
  jpeg.replace(frame + 5, 4, "\xFF\xDC\xFF\xDC");  // 65,500 x 65,500
  CHECK_THROWS_WITH(decode(jpeg), Contains("a JPEG picture of 65500 x 65500 = 4290 million pixels"));

  CHECK(decode(png(3, 2, std::string(8, '\0')), {.max_pixels = 6}).rgb.size() == 18);
  CHECK_THROWS_AS(decode(png(3, 2, std::string(8, '\0')), {.max_pixels = 5}), InputError);
}

TEST_CASE("PNG data that end early or have a bad row filter are refused") {
  CHECK_THROWS_WITH(decode(png(4, 3, std::string(14, '\0'))), Contains("pixel data end too early"));
  CHECK_THROWS_WITH(decode(png(4, 3, std::string(15, '\7'))), Contains("bad adaptive filter"));
  CHECK_NOTHROW(decode(png(4, 3, std::string(15, '\0'))));
  const std::string header = chunk("IHDR", big_endian(1) + big_endian(1) + std::string("\x08\0\0\0\0", 5));
  CHECK_THROWS_WITH(decode("\x89PNG\r\n\x1A\n" + header + chunk("CUTE", "") + chunk("IEND", "")),
                    Contains("unhandled critical chunk"));
  CHECK_THROWS_WITH(decode("\x89PNG\r\n\x1A\n" + header + header + chunk("IEND", "")), Contains("IHDR"));
}

TEST_CASE("a JPEG of thousands of scans is refused") {
  const std::string bytes = read_file(kPictures / "progressive.jpg");
  const size_t scan = bytes.find("\xFF\xDA");
  const size_t next = bytes.find("\xFF\xC4", scan);  // the next scan begins with its Huffman table
  REQUIRE(next != std::string::npos);
  std::string many = bytes.substr(0, next);
  for (int i = 0; i < 5000; ++i) many += bytes.substr(scan, next - scan);
  CHECK_THROWS_WITH(decode(many + "\xFF\xD9"), Contains("more than 100 scans"));
}

TEST_CASE("the padding of a bitmap's last row may be missing") {
  const std::string whole = read_file(kPictures / "rgb24.bmp");  // 13 pixels: 39 bytes and 1 of padding a row
  CHECK(decode(whole.substr(0, whole.size() - 1)).rgb == decode(whole).rgb);
  CHECK_THROWS_WITH(decode(whole.substr(0, whole.size() - 2)), Contains("truncated BMP"));
}
