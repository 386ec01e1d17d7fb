// Resizing of pictures, bit for bit as Pillow's Image.resize does it (whose output CLIP's published weights
// were trained on).
//
// Pillow's algorithm (src/libImaging/Resample.c): every output pixel is a weighted sum over the input pixels
// within the filter's support, which is stretched by the scale when shrinking (antialiasing) and cut at the
// picture's edge. The weights are normalised in float64, then rounded to fixed point with 22 fractional bits.
// Columns first, then rows; each pass rounds to nearest and clips to 0..255, so both the order and the 8-bit
// picture in between matter.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "models/image/image.h"

namespace cuclip {

/// Support 0.5, 1 and 2 pixels; bicubic is Keys' cubic convolution with a = -0.5.
enum class ResampleFilter : uint8_t { box, bilinear, bicubic };

/// A part of the source in pixels, fractions allowed.
struct ResampleBox {
  float left = 0;
  float top = 0;
  float right = 0;
  float bottom = 0;
};

struct ResampleParams {
  ImageView source;
  /// The size that the source (or its box) is resized to.
  int width = 0;
  int height = 0;
  ResampleFilter filter = ResampleFilter::bicubic;
  /// Only this part of the source is shown, as Pillow's `box`: pixels around it still weigh in at its edges.
  /// To crop first and then resize, as torchvision does, give a cropped view as the source.
  std::optional<ResampleBox> box;
  /// Only this part of the width x height result is computed (all of it if not given): the same pixels as
  /// cropping afterwards, without the work for the others.
  std::optional<PixelRect> window;
  /// [window.height, window.width, 3], contiguous; must not overlap the source.
  std::span<uint8_t> out;
};

/// Throws InputError for empty sizes, a box or window that is empty or outside, or an output of the wrong
/// size. Single-threaded; safe to call from many threads.
void resample(const ResampleParams& p);

/// The whole picture at another size.
Image resize(const ImageView& source, int width, int height, ResampleFilter filter = ResampleFilter::bicubic,
             const std::optional<ResampleBox>& box = std::nullopt);

}  // namespace cuclip
