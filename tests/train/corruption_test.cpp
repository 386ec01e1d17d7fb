#include "train/data/corruption.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/common/check.h"
#include "tests/support/buffer.h"
#include "tests/support/tiny_model.h"
#include "train/data/prepared_picture.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

Image plain_image(int width, int height, uint8_t value) {
  Image image{.width = width, .height = height, .rgb = {}};
  image.rgb.assign(static_cast<size_t>(width) * static_cast<size_t>(height) * 3, value);
  return image;
}

// Smooth, so that coding and blurring change it little by little.
Image smooth_image(int width, int height) {
  Image image = plain_image(width, height, 0);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        image.rgb[static_cast<size_t>((y * width + x) * 3 + c)] =
            static_cast<uint8_t>(128 + 100 * std::sin(0.4 * x + c) * std::cos(0.3 * y));
      }
    }
  }
  return image;
}

double mean_square(const Image& a, const Image& b) {
  REQUIRE(a.rgb.size() == b.rgb.size());
  double sum = 0;
  for (size_t i = 0; i < a.rgb.size(); ++i) sum += std::pow(double{1} * a.rgb[i] - b.rgb[i], 2);
  return sum / static_cast<double>(a.rgb.size());
}

TEST_CASE("a corruption is a kind and a severity") {
  const Corruption corruption = parse_corruption("--corrupt", "pixelate:5");
  CHECK(corruption.kind == CorruptionKind::pixelate);
  CHECK(corruption.severity == 5);
  for (const std::string wrong :
       {"", "blur", "blur:", "blur:0", "blur:6", "blur:33", "fog:1", "blur:x", ":1"}) {
    CHECK_THROWS_WITH(parse_corruption("--corrupt", wrong),
                      Contains("--corrupt must be KIND:SEVERITY") && Contains("noise, blur, contrast"));
  }
  CHECK_THROWS_AS(corrupt(plain_image(3, 3, 9), {.severity = 6}, 0), InputError);
}

TEST_CASE("every kind gets worse with its severity, keeps the size and is the same again") {
  const Image image = smooth_image(231, 224);
  for (const CorruptionKind kind : {CorruptionKind::noise, CorruptionKind::blur, CorruptionKind::contrast,
                                    CorruptionKind::jpeg, CorruptionKind::pixelate}) {
    double before = 0;
    for (int severity = 1; severity <= 5; ++severity) {
      const Corruption corruption{.kind = kind, .severity = severity};
      const Image worse = corrupt(image, corruption, 3);
      CHECK(worse.width == 231);
      CHECK(worse.height == 224);
      CHECK(worse.rgb == corrupt(image, corruption, 3).rgb);
      INFO(word(kind) << ":" << severity);
      const double now = mean_square(image, worse);
      CHECK(now > before);
      before = now;
    }
  }
}

TEST_CASE("noise has the deviation of its severity, and other numbers for every picture") {
  const Image image = plain_image(200, 150, 128);
  const Image noisy = corrupt(image, {.kind = CorruptionKind::noise, .severity = 1}, 7);
  double sum = 0;
  for (const uint8_t byte : noisy.rgb) sum += byte;
  const auto n = static_cast<double>(noisy.rgb.size());
  const double deviation = 0.08 * 255;
  CHECK(std::abs(sum / n - 128) < 5 * deviation / std::sqrt(n));
  CHECK(std::sqrt(mean_square(image, noisy)) == Approx(deviation).epsilon(0.015));
  CHECK(corrupt(image, {.kind = CorruptionKind::noise, .severity = 1}, 8).rgb != noisy.rgb);
}

TEST_CASE("blur is the convolution with a Gaussian, edges repeated") {
  const Image image = random_image(28, 35);
  // The shorter edge is an eighth of 224: the deviation is an eighth of severity 5's.
  const double deviation = 6.0 * 28 / 224;
  const int radius = static_cast<int>(4 * deviation + 0.5);
  const Image blurred = corrupt(image, {.kind = CorruptionKind::blur, .severity = 5}, 0);
  for (int y = 0; y < 35; ++y) {
    for (int x = 0; x < 28; ++x) {
      double sum = 0, weights = 0;
      for (int dy = -radius; dy <= radius; ++dy) {
        for (int dx = -radius; dx <= radius; ++dx) {
          const double weight = std::exp(-(dx * dx + dy * dy) / (2 * deviation * deviation));
          const int at = std::clamp(y + dy, 0, 34) * 28 + std::clamp(x + dx, 0, 27);
          sum += weight * image.rgb[static_cast<size_t>(at * 3 + 1)];
          weights += weight;
        }
      }
      const double actual = blurred.rgb[static_cast<size_t>((y * 28 + x) * 3 + 1)];
      REQUIRE(std::abs(actual - sum / weights) < 0.5001);
    }
  }
}

TEST_CASE("contrast draws every channel to its mean") {
  const Image image = random_image(19, 11);
  const Image pale = corrupt(image, {.kind = CorruptionKind::contrast, .severity = 4}, 0);
  for (size_t channel = 0; channel < 3; ++channel) {
    double mean = 0;
    for (size_t i = channel; i < image.rgb.size(); i += 3) mean += image.rgb[i] / (19.0 * 11.0);
    for (size_t i = channel; i < image.rgb.size(); i += 3)
      REQUIRE(std::abs(pale.rgb[i] - (mean + 0.1 * (image.rgb[i] - mean))) < 0.5001);
  }
}

TEST_CASE("pixels become blocks of their mean") {
  const Image image = random_image(16, 24);
  const Image blocks = corrupt(image, {.kind = CorruptionKind::pixelate, .severity = 5}, 0);
  for (int y = 0; y < 24; ++y) {
    for (int x = 0; x < 16; ++x) {
      for (int c = 0; c < 3; ++c) {
        double mean = 0;
        for (int i = 0; i < 16; ++i)
          mean +=
              image.rgb[static_cast<size_t>(((y / 4 * 4 + i / 4) * 16 + x / 4 * 4 + i % 4) * 3 + c)] / 16.0;
        // Columns first, rounded, then rows: off by one at most.
        REQUIRE(std::abs(blocks.rgb[static_cast<size_t>((y * 16 + x) * 3 + c)] - mean) <= 1.0);
        REQUIRE(blocks.rgb[static_cast<size_t>((y * 16 + x) * 3 + c)] ==
                blocks.rgb[static_cast<size_t>((y / 4 * 4 * 16 + x / 4 * 4) * 3 + c)]);
      }
    }
  }
  CHECK(corrupt(plain_image(1, 1, 77), {.kind = CorruptionKind::pixelate, .severity = 5}, 0).rgb ==
        std::vector<uint8_t>(3, 77));
}

// The first byte of the quantisation table, and how often the first component is sampled.
std::pair<int, int> table_and_sampling(const std::string& jpeg) {
  const size_t table = jpeg.find("\xFF\xDB"), frame = jpeg.find("\xFF\xC0");
  REQUIRE(table != jpeg.npos);
  REQUIRE(frame != jpeg.npos);
  return {static_cast<uint8_t>(jpeg[table + 5]), static_cast<uint8_t>(jpeg[frame + 11])};
}

TEST_CASE("a JPEG has the quality and the chroma that it was asked for") {
  const Image image = smooth_image(40, 30);
  // libjpeg's scale of the standard table, whose first entry is 16: 200 − 2q percent, or 5000 / q below 50.
  CHECK(table_and_sampling(encode_jpeg(image)) == std::pair(2, 0x11));
  CHECK(table_and_sampling(encode_jpeg(image, {.quality = 25, .half_chroma = true})) == std::pair(32, 0x22));
  CHECK(table_and_sampling(encode_jpeg(image, {.quality = 10, .half_chroma = true})) == std::pair(80, 0x22));
}

TEST_CASE("pictures are corrupted after they have the model's size") {
  const EvaluationTransform transform(12);
  Image image = random_image(31, 20);
  image.damage = "a.jpg: cut off";
  std::vector<uint8_t> pixels(12 * 12 * 3), again(pixels.size());
  evaluation_pixels(image, transform, pixels);
  const Image square{.width = 12, .height = 12, .rgb = pixels};
  evaluation_pixels(square, transform, again);
  CHECK(again == pixels);
  const Corruption corruption{.kind = CorruptionKind::noise, .severity = 3};
  corruption_after(transform, corruption)(image, 5);
  CHECK(image.rgb == corrupt(square, corruption, 5).rgb);
  CHECK(image.damage == "a.jpg: cut off");
}

}  // namespace
}  // namespace cuclip::test
