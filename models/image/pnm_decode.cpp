// Portable grey maps and pixmaps in binary, with samples of up to 8 bits. stb_image copies the samples as
// they are; what the largest of them stands for is applied here.
#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <string>
#include <string_view>

#include "models/image/image_formats.h"

namespace cuclip::formats {
namespace {

// Reads the numbers of a header, with white space and comments before each.
class HeaderReader {
 public:
  HeaderReader(Bytes file, std::string_view name) : file_(file), name_(name) {}

  int64_t number() {
    while (at_ < file_.size() && (std::isspace(file_[at_]) || file_[at_] == '#')) {
      if (file_[at_++] == '#') skip_line();
    }
    int64_t value = 0;
    const size_t begin = at_;
    while (at_ < file_.size() && std::isdigit(file_[at_]) && at_ - begin < 10) {
      value = 10 * value + (file_[at_++] - '0');
    }
    CUCLIP_CHECK(at_ < file_.size(), "{}: truncated PNM: {} bytes", name_, file_.size());
    CUCLIP_CHECK(at_ > begin && (std::isspace(file_[at_]) || file_[at_] == '#'),
                 "{}: damaged PNM: expected width, height and largest sample after its first two bytes",
                 name_);
    return value;
  }

  // After the one character that ends the last number.
  Bytes pixels() const { return file_.subspan(at_ + 1); }

 private:
  void skip_line() {
    while (at_ < file_.size() && file_[at_] != '\n' && file_[at_] != '\r') ++at_;
  }

  Bytes file_;
  std::string_view name_;
  size_t at_ = 2;
};

}  // namespace

Image decode_pnm(Bytes file, std::string_view name, const DecodeOptions& options) {
  HeaderReader header(file, name);
  const int64_t width = header.number(), height = header.number(), largest = header.number();
  check_size(name, "PNM", width, height, options);
  CUCLIP_CHECK(
      largest >= 1 && largest <= 255,
      "{}: a PNM picture whose largest sample is {}, expected 1 to 255 (stb_image takes the bytes of "
      "larger ones in the wrong order)",
      name, largest);
  const int64_t expected = width * height * (file[1] == '6' ? 3 : 1);
  CUCLIP_CHECK(expected <= std::ssize(header.pixels()), "{}: truncated PNM: {} bytes of pixels, expected {}",
               name, header.pixels().size(), expected);

  const std::string plain = fmt::format("P{} {} {} 255\n", static_cast<char>(file[1]), width, height);
  const std::array<Bytes, 2> pieces = {Bytes(reinterpret_cast<const uint8_t*>(plain.data()), plain.size()),
                                       header.pixels()};
  Image image = on_white(read_stb(pieces, name, "PNM", options));
  if (largest < 255) {
    std::array<uint8_t, 256> scaled;  // to the nearest, halves to even, as Pillow does
    for (size_t i = 0; i < scaled.size(); ++i) {
      const double value = std::nearbyint(static_cast<double>(i) / static_cast<double>(largest) * 255);
      scaled[i] = static_cast<uint8_t>(std::min(value, 255.0));
    }
    for (uint8_t& sample : image.rgb) sample = scaled[sample];
  }
  return image;
}

}  // namespace cuclip::formats
