#include "models/image/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/common/check.h"
#include "models/image/resample_passes.h"

namespace cuclip {
namespace {

using resampling::kLowBits;
using resampling::kPrecisionBits;
using resampling::Taps;

double support_of(ResampleFilter filter) {
  switch (filter) {
    case ResampleFilter::box:
      return 0.5;
    case ResampleFilter::bilinear:
      return 1.0;
    case ResampleFilter::bicubic:
      return 2.0;
  }
  return 0;
}

// The filters. The order of the operations is Pillow's: it decides the last bit of a weight.
double evaluate(ResampleFilter filter, double x) {
  if (filter == ResampleFilter::box) return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
  x = std::abs(x);
  if (filter == ResampleFilter::bilinear) return x < 1.0 ? 1.0 - x : 0.0;
  constexpr double a = -0.5;
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// Rounds half away from zero, then splits.
void set_weight(double weight, int64_t tap, resampling::WeightGroup* groups) {
  const double scaled = weight * (1 << kPrecisionBits);
  const int fixed = static_cast<int>(weight < 0 ? scaled - 0.5 : scaled + 0.5);
  const int high = (fixed + (1 << (kLowBits - 1))) >> kLowBits;
  groups[tap / 4].high[static_cast<size_t>(tap % 4)] = static_cast<int16_t>(high);
  groups[tap / 4].low[static_cast<size_t>(tap % 4)] = static_cast<int16_t>(fixed - high * (1 << kLowBits));
}

// The weights of outputs [begin, begin + size) out of `outputs` that cover [from, to) of `inputs` pixels.
Taps make_taps(ResampleFilter filter, int inputs, float from, float to, int outputs, int begin, int size) {
  const double scale = static_cast<double>(to - from) / outputs;  // the difference in float32, as Pillow
  const double stretch = std::max(scale, 1.0);
  const double support = support_of(filter) * stretch;
  const double inverse = 1.0 / stretch;
  const int64_t most = std::min<int64_t>(static_cast<int64_t>(std::ceil(support)) * 2 + 1, inputs);

  Taps taps;
  taps.groups_each = (most + 3) / 4;
  taps.first.resize(static_cast<size_t>(size));
  taps.count.resize(static_cast<size_t>(size));
  taps.groups.resize(static_cast<size_t>(size * taps.groups_each));
  std::vector<double> weights(static_cast<size_t>(most));
  for (int i = 0; i < size; ++i) {
    const double center = from + (begin + i + 0.5) * scale;
    const int first = static_cast<int>(std::clamp<double>(center - support + 0.5, 0, inputs - 1));
    const int end = static_cast<int>(std::min<double>(center + support + 0.5, inputs));
    const int count = end - first;  // at least 1: the centre is inside and the support at least half a pixel
    double total = 0;
    for (int k = 0; k < count; ++k) {
      const double weight = evaluate(filter, (k + first - center + 0.5) * inverse);
      weights[static_cast<size_t>(k)] = weight;
      total += weight;
    }
    auto* groups = &taps.groups[static_cast<size_t>(i * taps.groups_each)];
    for (int k = 0; k < count; ++k) {
      const double weight = weights[static_cast<size_t>(k)];
      set_weight(total != 0.0 ? weight / total : weight, k, groups);
    }
    taps.first[static_cast<size_t>(i)] = first;
    taps.count[static_cast<size_t>(i)] = count;
  }
  return taps;
}

void validate(const ResampleParams& p, const ResampleBox& box, const PixelRect& window) {
  const ImageView& source = p.source;
  CUCLIP_CHECK(source.width > 0 && source.height > 0 && source.rgb != nullptr,
               "resample: the source has {} x {} pixels", source.width, source.height);
  CUCLIP_CHECK(p.width > 0 && p.height > 0, "resample: cannot resize to {} x {} pixels", p.width, p.height);
  CUCLIP_CHECK(box.left >= 0 && box.top >= 0 && box.right <= static_cast<float>(source.width) &&
                   box.bottom <= static_cast<float>(source.height) && box.left < box.right &&
                   box.top < box.bottom,
               "resample: the box {}, {}, {}, {} is empty or not within a source of {} x {}", box.left,
               box.top, box.right, box.bottom, source.width, source.height);
  CUCLIP_CHECK(window.x >= 0 && window.y >= 0 && window.width > 0 && window.height > 0 &&
                   window.width <= p.width - window.x && window.height <= p.height - window.y,
               "resample: the window of {} x {} at ({}, {}) does not lie within {} x {}", window.width,
               window.height, window.x, window.y, p.width, p.height);
  const size_t bytes = size_t{3} * static_cast<size_t>(window.width) * static_cast<size_t>(window.height);
  CUCLIP_CHECK(p.out.size() == bytes, "resample: the output has {} bytes, expected {} for {} x {} pixels",
               p.out.size(), bytes, window.width, window.height);
}

}  // namespace

void resample(const ResampleParams& p) {
  const ImageView& source = p.source;
  const ResampleBox box = p.box.value_or(
      ResampleBox{.right = static_cast<float>(source.width), .bottom = static_cast<float>(source.height)});
  const PixelRect window = p.window.value_or(PixelRect{.width = p.width, .height = p.height});
  validate(p, box, window);

  // A direction that keeps its pixels as they are is skipped.
  const bool horizontal =
      p.width != source.width || box.left != 0 || box.right != static_cast<float>(p.width);
  const bool vertical =
      p.height != source.height || box.top != 0 || box.bottom != static_cast<float>(p.height);

  // The source rows that the result depends on.
  Taps down;
  PixelRect needed{.y = window.y, .width = source.width, .height = window.height};
  if (vertical) {
    down = make_taps(p.filter, source.height, box.top, box.bottom, p.height, window.y, window.height);
    needed.y = down.first.front();
    needed.height = down.first.back() + down.count.back() - needed.y;
    for (int32_t& first : down.first) first -= needed.y;
  }
  ImageView rows = source.crop(needed);

  std::unique_ptr<uint8_t[]> between;
  if (horizontal) {
    const Taps across =
        make_taps(p.filter, source.width, box.left, box.right, p.width, window.x, window.width);
    uint8_t* out = p.out.data();
    if (vertical) {
      const size_t bytes = size_t{3} * static_cast<size_t>(window.width) * static_cast<size_t>(rows.height);
      between = std::make_unique_for_overwrite<uint8_t[]>(bytes);
      out = between.get();
    }
    resampling::horizontal_pass({rows.rgb, rows.stride, rows.width, rows.height, out}, across);
    rows = ImageView(out, window.width, rows.height, int64_t{3} * window.width);
  } else {
    rows = rows.crop({.x = window.x, .width = window.width, .height = rows.height});
  }

  if (vertical) {
    resampling::vertical_pass({rows.rgb, rows.stride, rows.width, rows.height, p.out.data()}, down);
  } else if (!horizontal) {
    const size_t row_bytes = size_t{3} * static_cast<size_t>(rows.width);
    for (int y = 0; y < rows.height; ++y) {
      std::memcpy(p.out.data() + static_cast<size_t>(y) * row_bytes, rows.row(y), row_bytes);
    }
  }
}

Image resize(const ImageView& source, int width, int height, ResampleFilter filter,
             const std::optional<ResampleBox>& box) {
  CUCLIP_CHECK(width > 0 && height > 0, "resize: cannot resize to {} x {} pixels", width, height);
  Image image{.width = width, .height = height, .rgb = {}};
  image.rgb.resize(size_t{3} * static_cast<size_t>(width) * static_cast<size_t>(height));
  resample({.source = source,
            .width = width,
            .height = height,
            .filter = filter,
            .box = box,
            .window = std::nullopt,
            .out = image.rgb});
  return image;
}

}  // namespace cuclip
