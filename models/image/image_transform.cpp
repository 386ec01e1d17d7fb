#include "models/image/image_transform.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

size_t pixel_bytes(int size) { return size_t{3} * static_cast<size_t>(size) * static_cast<size_t>(size); }

void check_image(const char* operation, const ImageView& image, int size, size_t out_size) {
  CUCLIP_CHECK(image.width > 0 && image.height > 0, "{}: a picture of {} x {} pixels", operation, image.width,
               image.height);
  CUCLIP_CHECK(size > 0, "{}: an output of {} x {} pixels", operation, size, size);
  CUCLIP_CHECK(out_size == pixel_bytes(size), "{}: the output has {} elements, expected {} for {} x {} x 3",
               operation, out_size, pixel_bytes(size), size, size);
}

void flip_rows(std::span<uint8_t> pixels, int size) {
  const size_t row_bytes = size_t{3} * static_cast<size_t>(size);
  for (size_t begin = 0; begin < pixels.size(); begin += row_bytes) {
    uint8_t* left = &pixels[begin];
    uint8_t* right = left + row_bytes - 3;
    for (; left < right; left += 3, right -= 3) std::swap_ranges(left, left + 3, right);
  }
}

void check_transform(const TrainingTransform& t) {
  CUCLIP_CHECK(t.scale_min > 0 && t.scale_min <= t.scale_max && t.scale_max <= 1,
               "training transform: the scale must be within 0..1, lower bound first, got {} and {}",
               t.scale_min, t.scale_max);
  CUCLIP_CHECK(t.ratio_min > 0 && t.ratio_min <= t.ratio_max && std::isfinite(t.ratio_max),
               "training transform: the aspect ratio must be positive, lower bound first, got {} and {}",
               t.ratio_min, t.ratio_max);
  CUCLIP_CHECK(t.flip_probability >= 0 && t.flip_probability <= 1,
               "training transform: the flip probability must be within 0..1, got {}", t.flip_probability);
}

}  // namespace

EvaluationGeometry evaluation_geometry(int width, int height, const EvaluationTransform& transform) {
  const int size = transform.size;
  EvaluationGeometry g{
      .width = size, .height = size, .window = {.x = 0, .y = 0, .width = size, .height = size}};
  if (transform.mode == ResizeMode::squash) return g;
  const int shorter = std::min(width, height);
  const int64_t longer = size * static_cast<int64_t>(std::max(width, height)) / shorter;
  CUCLIP_CHECK(longer <= std::numeric_limits<int>::max(),
               "a picture of {} x {} pixels is too elongated to resize", width, height);
  (width <= height ? g.height : g.width) = static_cast<int>(longer);
  // Python's round, which the transform is written with, takes halves to the even neighbour, as nearbyint
  // does.
  g.window.x = static_cast<int>(std::nearbyint((g.width - size) / 2.0));
  g.window.y = static_cast<int>(std::nearbyint((g.height - size) / 2.0));
  return g;
}

void evaluation_pixels(const ImageView& image, const EvaluationTransform& transform, std::span<uint8_t> out) {
  check_image("evaluation transform", image, transform.size, out.size());
  const EvaluationGeometry g = evaluation_geometry(image.width, image.height, transform);
  resample({.source = image,
            .width = g.width,
            .height = g.height,
            .filter = transform.filter,
            .box = {},
            .window = g.window,
            .out = out});
}

PixelRect random_crop(int width, int height, const TrainingTransform& t, SplitMix64& rng) {
  const double area = static_cast<double>(height) * width;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target_area = area * rng.uniform(t.scale_min, t.scale_max);
    const double ratio = std::exp(rng.uniform(std::log(t.ratio_min), std::log(t.ratio_max)));
    const double w = std::nearbyint(std::sqrt(target_area * ratio));
    const double h = std::nearbyint(std::sqrt(target_area / ratio));
    if (w < 1 || w > width || h < 1 || h > height) continue;
    PixelRect crop{.width = static_cast<int>(w), .height = static_cast<int>(h)};
    crop.y = static_cast<int>(rng.below(static_cast<uint64_t>(height - crop.height + 1)));
    crop.x = static_cast<int>(rng.below(static_cast<uint64_t>(width - crop.width + 1)));
    return crop;
  }
  PixelRect crop{.width = width, .height = height};
  const double ratio = static_cast<double>(width) / height;
  if (ratio < t.ratio_min) {
    crop.height = std::clamp(static_cast<int>(std::nearbyint(width / t.ratio_min)), 1, height);
  } else if (ratio > t.ratio_max) {
    crop.width = std::clamp(static_cast<int>(std::nearbyint(height * t.ratio_max)), 1, width);
  }
  crop.x = (width - crop.width) / 2;
  crop.y = (height - crop.height) / 2;
  return crop;
}

void training_pixels(const ImageView& image, const TrainingTransform& transform, SplitMix64& rng,
                     std::span<uint8_t> out) {
  check_image("training transform", image, transform.size, out.size());
  check_transform(transform);
  const ImageView crop = image.crop(random_crop(image.width, image.height, transform, rng));
  resample({.source = crop,
            .width = transform.size,
            .height = transform.size,
            .box = {},
            .window = {},
            .out = out});
  if (rng.uniform() < transform.flip_probability) flip_rows(out, transform.size);
}

void normalize_pixels(std::span<const uint8_t> pixels, int size, const Normalization& normalization,
                      std::span<float> out) {
  CUCLIP_CHECK(size > 0 && pixels.size() % pixel_bytes(size) == 0 && out.size() == pixels.size(),
               "normalize_pixels: {} pixel bytes and {} outputs, expected as many of both and whole pictures "
               "of {} x {}",
               pixels.size(), out.size(), size, size);
  std::array<std::array<float, 256>, 3> table;
  for (size_t c = 0; c < 3; ++c) {
    for (size_t value = 0; value < 256; ++value) {
      table[c][value] =
          (static_cast<float>(value) / 255.0f - normalization.mean[c]) / normalization.stddev[c];
    }
  }
  const size_t plane = static_cast<size_t>(size) * static_cast<size_t>(size);
  for (size_t begin = 0; begin < pixels.size(); begin += 3 * plane) {
    const uint8_t* in = &pixels[begin];
    float* planes = &out[begin];
    for (size_t i = 0; i < plane; ++i) {
      planes[i] = table[0][in[3 * i]];
      planes[plane + i] = table[1][in[3 * i + 1]];
      planes[2 * plane + i] = table[2][in[3 * i + 2]];
    }
  }
}

}  // namespace cuclip
