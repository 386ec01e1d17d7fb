#include "train/data/corruption.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "core/rng.h"
#include "kernels/common/check.h"
#include "models/image/image_decode.h"
#include "models/image/resample.h"
#include "train/data/prepared_picture.h"

namespace cuclip {
namespace {

// For severities 1 … 5.
using Figures = std::array<double, 5>;
constexpr Figures kNoise = {0.08, 0.12, 0.18, 0.26, 0.38}, kBlur = {1, 2, 3, 4, 6},
                  kContrast = {0.4, 0.3, 0.2, 0.1, 0.05}, kQuality = {25, 18, 15, 10, 7},
                  kPixelate = {0.6, 0.5, 0.4, 0.3, 0.25};

uint8_t to_byte(double value) { return static_cast<uint8_t>(std::lround(std::clamp(value, 0.0, 255.0))); }

Image copy_of(const ImageView& picture) {
  Image copy{.width = picture.width, .height = picture.height, .rgb = {}};
  for (int y = 0; y < picture.height; ++y)
    copy.rgb.insert(copy.rgb.end(), picture.row(y), picture.row(y) + int64_t{3} * picture.width);
  return copy;
}

void add_noise(Image& picture, double deviation, uint64_t picture_number) {
  SplitMix64 rng = sample_rng(0, 0, picture_number);
  for (uint8_t& byte : picture.rgb) {
    // Box and Muller 1958; 1 - u is never 0.
    const double radius = std::sqrt(-2 * std::log(1 - rng.uniform()));
    const double normal = radius * std::cos(2 * std::numbers::pi * rng.uniform());
    byte = to_byte(byte + 255 * deviation * normal);
  }
}

void reduce_contrast(Image& picture, double factor) {
  std::array<double, 3> mean{};
  for (size_t i = 0; i < picture.rgb.size(); ++i) mean[i % 3] += picture.rgb[i];
  for (double& m : mean) m /= static_cast<double>(picture.rgb.size()) / 3;
  for (size_t i = 0; i < picture.rgb.size(); ++i)
    picture.rgb[i] = to_byte(mean[i % 3] + factor * (picture.rgb[i] - mean[i % 3]));
}

// Weights of the places -radius … radius.
std::vector<double> gaussian(double deviation) {
  const int radius = static_cast<int>(4 * deviation + 0.5);
  std::vector<double> weights;
  for (int i = -radius; i <= radius; ++i) weights.push_back(std::exp(-0.5 * i * i / (deviation * deviation)));
  double sum = 0;
  for (const double w : weights) sum += w;
  for (double& w : weights) w /= sum;
  return weights;
}

// One pass over lines of `count` values that are `step` apart.
void blur_lines(std::span<const double> in, std::span<double> out, std::span<const double> weights, int count,
                int64_t step, std::span<const int64_t> starts) {
  const int radius = static_cast<int>(weights.size() / 2);
  for (const int64_t start : starts) {
    for (int i = 0; i < count; ++i) {
      double sum = 0;
      for (int j = -radius; j <= radius; ++j) {
        const int at = std::clamp(i + j, 0, count - 1);
        sum += weights[static_cast<size_t>(j + radius)] * in[static_cast<size_t>(start + at * step)];
      }
      out[static_cast<size_t>(start + i * step)] = sum;
    }
  }
}

void blur(Image& picture, double deviation) {
  const std::vector<double> weights = gaussian(deviation);
  const int64_t row = int64_t{3} * picture.width;
  std::vector<int64_t> rows, columns;
  for (int64_t y = 0; y < picture.height; ++y) {
    for (int64_t channel = 0; channel < 3; ++channel) rows.push_back(y * row + channel);
  }
  for (int64_t x = 0; x < row; ++x) columns.push_back(x);
  std::vector<double> values(picture.rgb.begin(), picture.rgb.end()), between(values.size());
  blur_lines(values, between, weights, picture.width, 3, rows);
  blur_lines(between, values, weights, picture.height, row, columns);
  std::transform(values.begin(), values.end(), picture.rgb.begin(), to_byte);
}

Image through_jpeg(const ImageView& picture, int quality) {
  const std::string bytes = encode_jpeg(picture, {.quality = quality, .half_chroma = true});
  return decode_image(std::as_bytes(std::span(bytes)), "jpeg corruption");
}

Image pixelate(const ImageView& picture, double share) {
  const auto part = [share](int edge) { return std::max(1, static_cast<int>(edge * share)); };
  const Image small = resize(picture, part(picture.width), part(picture.height), ResampleFilter::box);
  return resize(small, picture.width, picture.height, ResampleFilter::box);
}

}  // namespace

Corruption parse_corruption(std::string_view name, std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view severity = colon == text.npos ? "" : text.substr(colon + 1);
  const auto kind = find_word<CorruptionKind>(text.substr(0, colon));
  CUCLIP_CHECK(kind && severity.size() == 1 && severity[0] >= '1' && severity[0] <= '5',
               "{} must be KIND:SEVERITY, one of {} and 1 to 5, as blur:3; got \"{}\"", name,
               fmt::join(kWords<CorruptionKind>, ", "), text);
  return {.kind = *kind, .severity = severity[0] - '0'};
}

Image corrupt(const ImageView& picture, const Corruption& corruption, uint64_t picture_number) {
  CUCLIP_CHECK(corruption.severity >= 1 && corruption.severity <= 5,
               "corruption: severity must be 1 to 5, got {}", corruption.severity);
  CUCLIP_CHECK(picture.width > 0 && picture.height > 0, "corruption: the picture is {} x {} pixels",
               picture.width, picture.height);
  const auto level = static_cast<size_t>(corruption.severity - 1);
  Image result = copy_of(picture);
  switch (corruption.kind) {
    case CorruptionKind::noise:
      add_noise(result, kNoise[level], picture_number);
      break;
    case CorruptionKind::blur:
      blur(result, kBlur[level] * std::min(picture.width, picture.height) / 224);
      break;
    case CorruptionKind::contrast:
      reduce_contrast(result, kContrast[level]);
      break;
    case CorruptionKind::jpeg:
      return through_jpeg(picture, static_cast<int>(kQuality[level]));
    case CorruptionKind::pixelate:
      return pixelate(picture, kPixelate[level]);
  }
  return result;
}

PictureChange corruption_after(const EvaluationTransform& transform, const Corruption& corruption) {
  return [transform, corruption](Image& image, int64_t index) {
    Image square{.width = transform.size, .height = transform.size, .rgb = {}};
    square.rgb.resize(static_cast<size_t>(transform.size) * static_cast<size_t>(transform.size) * 3);
    evaluation_pixels(image, transform, square.rgb);
    std::string damage = std::move(image.damage);
    image = corrupt(square, corruption, static_cast<uint64_t>(index));
    image.damage = std::move(damage);
  };
}

}  // namespace cuclip
