// What is particular to JPEG: damaged data, and the kinds of coding. The pictures of image_decode_test have
// the rest.
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdio>  // jpeglib.h needs FILE and size_t to be declared
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <sstream>
#include <string>

#include <jpeglib.h>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "models/image/image_decode.h"
#include "models/image/orientation.h"
#include "tests/models/recorded_pictures.h"
#include "tests/support/buffer.h"
#include "tests/support/fnv.h"
#include "tests/support/generated_picture.h"

using namespace cuclip;
using Catch::Contains;
using Catch::StartsWith;
using test::kPictures;

namespace {

Image decode(std::string_view bytes) {
  return decode_image(std::as_bytes(std::span<const char>(bytes)), "a.jpg");
}

std::string jpeg_of(const Image& picture, const std::function<void(jpeg_compress_struct&)>& options = {}) {
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &buffer, &size);
  jpeg.image_width = static_cast<JDIMENSION>(picture.width);
  jpeg.image_height = static_cast<JDIMENSION>(picture.height);
  jpeg.input_components = 3;
  jpeg.in_color_space = JCS_RGB;
  jpeg_set_defaults(&jpeg);
  if (options) options(jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  while (jpeg.next_scanline < jpeg.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(ImageView(picture).row(jpeg.next_scanline));
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::string bytes(reinterpret_cast<const char*>(buffer), size);
  std::free(buffer);
  return bytes;
}

std::string from_hexadecimal(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

}  // namespace

// tests/tools/record_jpeg_damage.py wrote what Pillow makes of them.
TEST_CASE("damaged JPEG data gives Pillow's pixels, or is refused where Pillow refuses it") {
  std::istringstream lines(read_file(std::filesystem::path(test::test_data()) / "jpeg_damage.txt"));
  std::string name, bytes, expected;
  size_t first, last;
  int refused = 0, read = 0, noted = 0;
  while (lines >> name >> first >> last >> bytes >> expected) {
    INFO(name << " " << first << " " << last << " " << bytes);
    const std::string whole = read_file(kPictures / name);
    const std::string inserted = bytes == "-" ? "" : from_hexadecimal(bytes);
    const std::string damaged = whole.substr(0, first) + inserted + whole.substr(last);
    if (expected == "refused") {
      ++refused;
      CHECK_THROWS_AS(decode(damaged), InputError);
      continue;
    }
    ++read;
    const Image image = decode(damaged);
    const bool ends_early = inserted == "\xFF\xD9" && last == whole.size();
    // How libjpeg-turbo smooths blocks of which scans are missing changed between 2.1 and 3.0.
    if (!(name == "progressive.jpg" && ends_early)) {
      CHECK(test::fnv1a(image.rgb) == std::stoull(expected, nullptr, 16));
    }
    noted += !image.damage.empty();
    // Data that end early cannot go unnoticed, unless nothing of the picture was in what is missing.
    if (ends_early && image.rgb != decode(whole).rgb) CHECK_THAT(image.damage, StartsWith("a.jpg: "));
  }
  CHECK(refused > 50);
  CHECK(read > 200);
  CHECK(noted > 60);
}

TEST_CASE("a JPEG whose data end early is read up to there, and says so; one without end marker is refused") {
  const std::string whole = jpeg_of(test::generated_picture(64, 48, 2, 1));
  const Image expected = decode(whole);
  CHECK(expected.damage.empty());
  const Image image = decode(whole.substr(0, whole.size() - 40) + "\xFF\xD9");
  CHECK(image.damage == "a.jpg: Corrupt JPEG data: premature end of data segment");
  CHECK(image.rgb.size() == expected.rgb.size());
  const size_t half = image.rgb.size() / 2;  // what came before is untouched
  CHECK(std::equal(image.rgb.begin(), image.rgb.begin() + static_cast<std::ptrdiff_t>(half),
                   expected.rgb.begin()));
  CHECK(image.rgb != expected.rgb);
  for (const size_t missing : {1, 2, 40}) {
    CHECK_THROWS_WITH(decode(whole.substr(0, whole.size() - missing)),
                      "a.jpg: a damaged or truncated JPEG picture: Premature end of JPEG file");
  }
}

TEST_CASE("random damage to a JPEG never crashes, and never changes the picture's size") {
  const std::string whole = jpeg_of(test::generated_picture(50, 37, 0, test::rng()()));
  const size_t scan = whole.find("\xFF\xDA") + 14;
  int read = 0;
  for (int round = 0; round < 400; ++round) {
    std::string damaged = whole;
    for (uint64_t changes = 1 + test::rng()() % 4; changes > 0; --changes) {
      damaged[scan + test::rng()() % (whole.size() - 2 - scan)] = static_cast<char>(test::rng()());
    }
    try {
      const Image image = decode(damaged);
      REQUIRE(image.width == 50);
      REQUIRE(image.rgb.size() == 50 * 37 * 3);
      ++read;
    } catch (const InputError& error) {
      REQUIRE_THAT(error.what(), StartsWith("a.jpg: "));
    }
  }
  CHECK(read > 100);
}

TEST_CASE("arithmetic-coded and progressive JPEGs have the pixels of baseline ones") {
  const Image picture = test::generated_picture(45, 61, 2, 3);
  const Image expected = decode(jpeg_of(picture));
  const std::string arithmetic = jpeg_of(picture, [](auto& jpeg) { jpeg.arith_code = TRUE; });
  CHECK(arithmetic.find("\xFF\xC9") != std::string::npos);  // the frame's marker
  CHECK(decode(arithmetic).rgb == expected.rgb);
  const std::string progressive = jpeg_of(picture, [](auto& jpeg) { jpeg_simple_progression(&jpeg); });
  CHECK(progressive.find("\xFF\xC2") != std::string::npos);
  CHECK(decode(progressive).rgb == expected.rgb);
  CHECK(decode(progressive).damage.empty());
}

TEST_CASE("a progressive JPEG without its last scans is read, and says so though libjpeg does not warn") {
  const std::string whole =
      jpeg_of(test::generated_picture(45, 61, 2, 3), [](auto& jpeg) { jpeg_simple_progression(&jpeg); });
  const size_t last = whole.rfind("\xFF\xDA"), tables = whole.rfind("\xFF\xC4", last);
  const Image image = decode(whole.substr(0, tables) + "\xFF\xD9");
  CHECK(image.damage == "a.jpg: scans of this progressive JPEG are missing");
  CHECK(image.rgb != decode(whole).rgb);
}

TEST_CASE("JPEGs of one row, one column and one pixel are read") {
  for (const auto& [width, height] : {std::pair{1, 40}, {40, 1}, {1, 1}, {17, 1}}) {
    const Image picture = test::generated_picture(width, height, 2, 3);
    const Image image = decode(jpeg_of(picture, [](auto& jpeg) {
      jpeg_set_quality(&jpeg, 100, TRUE);
      jpeg.comp_info[0].h_samp_factor = jpeg.comp_info[0].v_samp_factor = 1;
    }));
    REQUIRE(image.width == width);
    REQUIRE(image.height == height);
    for (size_t i = 0; i < image.rgb.size(); ++i) {
      // Quality 100 without subsampling: the roundings of two colour conversions and a transform.
      CHECK(std::abs(int{image.rgb[i]} - int{picture.rgb[i]}) <= 4);
    }
  }
}

TEST_CASE("JPEGs of 12 bits a sample and of two components are refused by name") {
  std::string bytes = jpeg_of(test::generated_picture(16, 16, 2, 3));
  const size_t frame = bytes.find("\xFF\xC0");
  bytes[frame + 4] = 12;
  CHECK_THROWS_WITH(decode(bytes), Contains("a.jpg") && Contains("precision 12"));
  const std::string two = jpeg_of(test::generated_picture(16, 16, 2, 3), [](jpeg_compress_struct& jpeg) {
    jpeg.in_color_space = JCS_UNKNOWN;
    jpeg.input_components = 2;
    jpeg_set_defaults(&jpeg);
  });
  CHECK_THROWS_WITH(decode(two), Contains("2 components, expected grey (1), colour (3) or CMYK (4)"));
}

TEST_CASE("EXIF orientation changes nothing, as with Pillow's open and open_clip") {
  const Image turned = load_image(kPictures / "exif_rotated.jpg");
  CHECK(read_file(kPictures / "exif_rotated.jpg").find("Exif") != std::string::npos);
  CHECK(turned.width == 51);
  CHECK(turned.rgb == load_image(kPictures / "yuv420.jpg").rgb);
}

TEST_CASE("on request a picture is turned as its EXIF orientation says") {
  std::string bytes = read_file(kPictures / "exif_rotated.jpg");
  const Image lying = decode(bytes);
  const size_t tag = bytes.find(std::string("\x01\x12\0\3\0\0\0\1\0\6", 10));  // Pillow writes big-endian
  REQUIRE(tag != std::string::npos);
  const auto decode_turned = [&](const std::string& file) {
    return decode_image(std::as_bytes(std::span<const char>(file)), "a.jpg", {.exif_orientation = true});
  };
  for (int orientation = 0; orientation <= 9; ++orientation) {
    INFO(orientation);
    bytes[tag + 9] = static_cast<char>(orientation);
    const Image turned = decode_turned(bytes);
    CHECK(turned.rgb == upright(lying, orientation).rgb);
    CHECK((turned.width == lying.height) == (orientation >= 5 && orientation <= 8));
  }
  bytes[tag + 9] = 6;
  const size_t exif = bytes.find("Exif");
  for (size_t at = exif; at < tag + 12; ++at) {  // whatever is damaged, the picture is read
    std::string changed = bytes;
    changed[at] = static_cast<char>(test::rng()());
    CHECK(decode_turned(changed).rgb.size() == lying.rgb.size());
  }
  CHECK(decode_turned(jpeg_of(lying)).width == lying.width);  // no EXIF block
}
