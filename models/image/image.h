// An 8-bit RGB picture in memory, and a view of a part of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cuclip {

/// Row-major, 3 interleaved bytes per pixel.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;  // width * height * 3
  /// If some pixels are the decoder's guess: what is wrong with the file, beginning with its name. Otherwise
  /// empty.
  std::string damage{};
};

/// Whole pixels from (x, y), `width` x `height` of them.
struct PixelRect {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;

  bool operator==(const PixelRect&) const = default;
};

/// Non-owning: rows of `width` interleaved RGB pixels, `stride` bytes apart.
struct ImageView {
  const uint8_t* rgb = nullptr;
  int width = 0;
  int height = 0;
  int64_t stride = 0;

  ImageView() = default;
  ImageView(const uint8_t* rgb, int width, int height, int64_t stride)
      : rgb(rgb), width(width), height(height), stride(stride) {}
  /// Not explicit: an Image is taken wherever a view is.
  ImageView(const Image& image)
      : rgb(image.rgb.data()), width(image.width), height(image.height), stride(int64_t{3} * image.width) {}

  const uint8_t* row(int64_t y) const { return rgb + y * stride; }
  /// The part within `rect`, which must lie inside; throws InputError otherwise.
  ImageView crop(const PixelRect& rect) const;
};

}  // namespace cuclip
