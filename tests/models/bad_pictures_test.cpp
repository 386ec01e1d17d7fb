// Picture files that are not what they say, in every format: bombs, empty pictures, contents that do not fit
// the name.
#include <zlib.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "models/image/image_decode.h"
#include "tests/models/recorded_pictures.h"
#include "tests/support/buffer.h"
#include "tests/support/command.h"

using namespace cuclip;
using Catch::Matchers::Contains;
using test::decode;
using test::kPictures;

namespace {

std::string little_endian(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

std::string big_endian(uint64_t value, int bytes) {
  const std::string text = little_endian(value, bytes);
  return {text.rbegin(), text.rend()};
}

std::string recorded(const std::string& name) { return read_file(kPictures / name); }

// A recorded picture that claims another size, which stands at `width_at` and `height_at`.
std::string resized(const std::string& name, size_t width_at, size_t height_at, uint64_t width,
                    uint64_t height, int bytes, bool big = false) {
  std::string file = recorded(name);
  const auto put = [&](size_t at, uint64_t value) {
    file.replace(at, static_cast<size_t>(bytes),
                 big ? big_endian(value, bytes) : little_endian(value, bytes));
  };
  put(width_at, width);
  put(height_at, height);
  return file;
}

std::string pnm(int64_t width, int64_t height) {
  return "P6 " + std::to_string(width) + " " + std::to_string(height) + " 255\nsome pixels";
}

// An extended WebP of one chunk besides its header.
std::string webp(uint64_t width, uint64_t height, int flags, const std::string& chunk) {
  const std::string body = "WEBPVP8X" + little_endian(10, 4) +
                           little_endian(static_cast<uint64_t>(flags), 4) + little_endian(width - 1, 3) +
                           little_endian(height - 1, 3) + chunk;
  return "RIFF" + little_endian(body.size(), 4) + body;
}

std::string tiff(uint64_t width, uint64_t height) {
  std::string file = recorded("strips_big_endian.tif");
  const auto put = [&](int tag, uint64_t value) {
    const size_t at =
        file.find(big_endian(static_cast<uint64_t>(tag), 2) + big_endian(4, 2) + big_endian(1, 4));
    REQUIRE(at != std::string::npos);
    file.replace(at + 8, 4, big_endian(value, 4));
  };
  put(256, width);
  put(257, height);
  return file;
}

// A white picture of 16 x 16 grey pixels in one deflated tile that is larger.
std::string tiff_with_tile(uint64_t edge) {
  const std::string white(edge * edge, '\xff');
  uLongf length = compressBound(white.size());
  std::string data(length, '\0');
  REQUIRE(compress(reinterpret_cast<Bytef*>(data.data()), &length,
                   reinterpret_cast<const Bytef*>(white.data()), white.size()) == Z_OK);
  const std::vector<std::pair<int, uint64_t>> fields = {{256, 16}, {257, 16},    {258, 8},    {259, 8},
                                                        {262, 1},  {277, 1},     {322, edge}, {323, edge},
                                                        {324, 8},  {325, length}};
  std::string file = "II*" + little_endian(0, 1) + little_endian(8 + length, 4) + data.substr(0, length) +
                     little_endian(fields.size(), 2);
  for (const auto& [tag, value] : fields) {
    file += little_endian(static_cast<uint64_t>(tag), 2) + little_endian(4, 2) + little_endian(1, 4) +
            little_endian(value, 4);
  }
  return file + little_endian(0, 4);
}

constexpr int kAnimation = 2, kExif = 8;  // flags of an extended WebP

std::vector<std::string> of_size(uint64_t width, uint64_t height) {
  std::vector<std::string> files = {resized("palette4.gif", 6, 8, width, height, 2),
                                    resized("rgb24.bmp", 18, 22, width, height, 4),
                                    resized("rgb24.tga", 12, 14, width, height, 2),
                                    resized("rgb24_runs.tga", 12, 14, width, height, 2),
                                    resized("rgb8.psd", 18, 14, width, height, 4, true),
                                    resized("rgb8_runs.psd", 18, 14, width, height, 4, true),
                                    pnm(static_cast<int64_t>(width), static_cast<int64_t>(height)),
                                    webp(width, height, kAnimation, "")};
  if (picture_formats().size() == 9) files.push_back(tiff(width, height));
  return files;
}

}  // namespace

TEST_CASE("pictures that declare absurd sizes are refused by their headers") {
  for (const std::string& file : of_size(60'000, 60'000)) {
    INFO(file.substr(0, 4));
    CHECK_THROWS_WITH(decode(file), Contains("60000 x 60000 = 3600 million pixels, at most 100 million"));
  }
  CHECK_THROWS_AS(decode(resized("rgb24.bmp", 18, 22, 0x7fffffff, 0x80000000, 4)), InputError);
  CHECK_THROWS_WITH(decode(resized("rgb8.psd", 18, 14, 0xffffffff, 0xffffffff, 4, true)),
                    Contains("4294967295 x 4294967295 = 1.845e+13 million pixels"));
  CHECK_THROWS_AS(decode(pnm(9'999'999'999, 9'999'999'999)), InputError);
}

TEST_CASE("small files that claim a large picture within the limit are refused") {
  for (const std::string& file : of_size(5'000, 4'000)) {
    INFO(file.substr(0, 4));
    if (file.starts_with("GIF")) continue;  // a small frame on a large canvas
    CHECK_THROWS_AS(decode(file), InputError);
    // Before its pixels are allocated.
    if (file.starts_with("MM"))
      CHECK_THROWS_WITH(decode(file), Contains("bytes of pixels, expected 60000000"));
  }
  const Image canvas = decode(resized("palette4.gif", 6, 8, 700, 600, 2));
  CHECK(canvas.width == 700);
  CHECK(canvas.rgb.back() == 255);
}

TEST_CASE("a TIFF whose tiles are much larger than the picture is refused before they are allocated") {
  if (picture_formats().size() < 9) return;
  const Image picture = decode(tiff_with_tile(4'096));  // 16 MiB
  CHECK(picture.width == 16);
  CHECK(picture.rgb == std::vector<uint8_t>(16 * 16 * 3, 255));
  CHECK_THROWS_WITH(decode(tiff_with_tile(4'112)),
                    Contains("16 x 16 pixels in tiles of 16908544 bytes each, more than"));
}

TEST_CASE("pictures without a pixel are refused") {
  for (const std::string& file : of_size(0, 7)) {
    INFO(file.substr(0, 4));
    if (file.starts_with("RIFF")) continue;  // it stores sizes less 1
    CHECK_THROWS_AS(decode(file), InputError);
  }
  CHECK_THROWS_WITH(
      decode("GIF89a" + little_endian(13, 2) + little_endian(11, 2) + std::string("\0\0\0;", 4)),
      Contains("GIF") && Contains("there are no pixels"));
  CHECK_THROWS_WITH(decode(webp(13, 11, kExif, "EXIF" + little_endian(4, 4) + "Exif")), Contains("WebP"));
  CHECK_THROWS_WITH(decode(webp(13, 11, kAnimation, "ANIM" + little_endian(6, 4) + std::string(6, '\0'))),
                    Contains("WebP"));
}

TEST_CASE("a GIF whose frame ends before its last pixel is refused") {
  for (const std::string name :
       {"palette4.gif", "palette4_interlaced.gif", "palette4_key.gif", "part_of_canvas.gif"}) {
    INFO(name);
    std::string file = recorded(name);
    const size_t frame = file.find(',', 13 + 3 * 16);
    REQUIRE(frame != std::string::npos);
    ++file[8];  // a row more of the canvas
    CHECK_NOTHROW(decode(file));
    ++file[frame + 7];  // and of the frame
    CHECK_THROWS_WITH(decode(file), Contains("pixel data end too early"));
  }
}

TEST_CASE("the bytes decide what a file is, whatever its name") {
  const test::TemporaryFolder folder;
  for (const std::string name :
       {"palette4.gif", "lossless.webp", "rgb24.tga", "rgb8.psd", "grey8.pgm", "rgb24.bmp"}) {
    const std::filesystem::path file = folder.write("a.png", recorded(name));
    CHECK(load_image(file).rgb == load_image(kPictures / name).rgb);
  }
  const std::string gif = recorded("palette4.gif"), png = recorded("rgb8.png");
  CHECK_THROWS_WITH(decode(gif.substr(0, 13) + png), Contains("GIF"));
  CHECK_THROWS_WITH(decode("RIFF" + little_endian(4 + png.size(), 4) + "WEBP" + png), Contains("WebP"));
  std::string bmp = recorded("rgb24.bmp");
  bmp[30] = 5;  // a PNG in a bitmap
  CHECK_THROWS_WITH(decode(bmp), Contains("compression 5"));
}

TEST_CASE("neither texts nor other files become TGA pictures") {
  const std::string text = "Two cats, a dog and\na bicycle in front of a house; behind it, a tree.\n";
  std::string utf16;
  for (char c : text) utf16 += std::string{c, '\0'};
  for (const std::string& file : {text, utf16, "\xFF\xFE" + utf16, std::string(100, '\0')}) {
    CHECK_THROWS_WITH(decode(file), Contains("unknown format"));
  }
  for (int i = 0; i < 100'000; ++i) {
    std::string noise = std::string("\0\0\2", 3) + std::string(61, '\0');
    for (size_t at = i % 2 == 0 ? 0 : 3; at < noise.size(); ++at)
      noise[at] = static_cast<char>(test::rng()());
    CHECK_THROWS_AS(decode(noise), InputError);
  }
}

TEST_CASE("what stb_image would show wrongly is refused") {
  std::string tga = recorded("rgb24.tga");
  tga[17] = static_cast<char>(tga[17] | 16);
  CHECK_THROWS_WITH(decode(tga), Contains("right to left"));
  tga = recorded("palette8_alpha.tga");
  tga[3] = 1;
  CHECK_THROWS_WITH(decode(tga), Contains("begins at colour 1"));
  CHECK_THROWS_WITH(decode("P5 1 1 65535\n12"), Contains("largest sample is 65535"));
  std::string psd = recorded("rgb8.psd");
  psd[25] = 4;
  CHECK_THROWS_WITH(decode(psd), Contains("colour mode 4"));
  std::string bmp = recorded("rgb565.bmp");
  bmp.replace(54, 4, little_endian(0x8001, 4));
  CHECK_THROWS_WITH(decode(bmp), Contains("channel mask 00008001"));
}
