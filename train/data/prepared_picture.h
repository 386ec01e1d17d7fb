// What becomes of a picture on its way into a shard.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/words.h"
#include "models/image/image.h"
#include "train/data/collections.h"
#include "train/data/duplicates.h"

namespace cuclip {

/// The words are the files' extensions.
enum class PreparedFormat { jpeg, png };
template <>
inline constexpr std::array<std::string_view, 2> kWords<PreparedFormat>{"jpg", "png"};

struct PreparedPicture {
  PreparedFormat format;
  std::string bytes;  // of the file
  PictureFingerprint fingerprint;
  std::string damage;  // Image::damage
};

/// Decodes the picture, cuts drawings out of their ground, shrinks to the shorter edge and encodes again: as
/// JPEG if it was a JPEG, otherwise as PNG; a picture that needs no change keeps its bytes. Throws
/// SampleError for a picture that cannot be used.
PreparedPicture prepare_picture(const RawPair& pair, int shorter_edge, int64_t max_pixels);

/// A drawing without the white ground around it, in the middle of a white square with a margin of 3 % on each
/// side, shrunk to at most `edge` pixels. Throws SampleError("blank picture") where everything is white.
Image cut_out_drawing(const ImageView& picture, int edge);

struct JpegOptions {
  int quality = 95;          // 1 … 100
  bool half_chroma = false;  // colour at half the resolution in both directions (4:2:0)
};

/// A baseline JPEG.
std::string encode_jpeg(const ImageView& picture, const JpegOptions& options = {});

}  // namespace cuclip
