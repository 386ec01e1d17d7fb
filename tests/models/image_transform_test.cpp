#include "models/image/image_transform.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/common/check.h"
#include "models/image/resample.h"
#include "tests/support/buffer.h"
#include "tests/support/fnv.h"
#include "tests/support/generated_picture.h"
#include "tests/support/paths.h"

using namespace cuclip;
using Catch::Matchers::Contains;

namespace {

// The lines of this kind, without it.
std::vector<std::istringstream> recorded(const std::string& kind) {
  std::ifstream file(std::filesystem::path(test::test_data()) / "transform_torchvision.txt");
  std::vector<std::istringstream> lines;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(kind + " ")) lines.emplace_back(line.substr(kind.size() + 1));
  }
  REQUIRE_FALSE(lines.empty());
  return lines;
}

uint64_t hash_of(const std::vector<float>& values) {
  return test::fnv1a({reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)});
}

size_t pixel_bytes(int size) { return static_cast<size_t>(size) * static_cast<size_t>(size) * 3; }

}  // namespace

TEST_CASE("the evaluation transform gives torchvision's pixels and floats") {
  for (std::istringstream& line : recorded("evaluation")) {
    INFO(line.str());
    int style, width, height, size;
    uint32_t seed;
    uint64_t pixels_hash, clip_hash, half_hash;
    REQUIRE(line >> style >> seed >> width >> height >> size >> std::hex >> pixels_hash >> clip_hash >>
            half_hash);
    const Image image = test::generated_picture(width, height, style, seed);
    std::vector<uint8_t> pixels(pixel_bytes(size), 0x7F);
    evaluation_pixels(image, EvaluationTransform(size), pixels);
    CHECK(test::fnv1a(pixels) == pixels_hash);
    std::vector<float> floats(pixels.size(), NAN);
    normalize_pixels(pixels, size, Normalization(), floats);
    CHECK(hash_of(floats) == clip_hash);
    normalize_pixels(pixels, size, kHalfNormalization, floats);
    CHECK(hash_of(floats) == half_hash);
  }
}

TEST_CASE("the random crop makes torchvision's choices from the same draws") {
  for (std::istringstream& line : recorded("crop")) {
    INFO(line.str());
    uint64_t seed;
    int width, height;
    TrainingTransform transform;
    PixelRect expected;
    REQUIRE(line >> seed >> width >> height >> transform.scale_min >> transform.scale_max >> expected.x >>
            expected.y >> expected.width >> expected.height);
    SplitMix64 rng = sample_rng(seed, 2, 3);
    CHECK(random_crop(width, height, transform, rng) == expected);
  }
}

TEST_CASE("the training transform gives torchvision's pixels") {
  for (std::istringstream& line : recorded("training")) {
    INFO(line.str());
    int style, width, height;
    uint32_t seed;
    uint64_t hash;
    TrainingTransform transform;
    REQUIRE(line >> style >> seed >> width >> height >> transform.size >> transform.scale_min >>
            transform.scale_max >> std::hex >> hash);
    const Image image = test::generated_picture(width, height, style, seed);
    std::vector<uint8_t> pixels(pixel_bytes(transform.size), 0x7F);
    SplitMix64 rng = sample_rng(seed, 2, 3);
    training_pixels(image, transform, rng, pixels);
    CHECK(test::fnv1a(pixels) == hash);
  }
}

TEST_CASE("a flip mirrors the columns, as often as asked") {
  const Image image = test::generated_picture(9, 7, 0, 5);
  int flips = 0;
  for (uint64_t sample = 0; sample < 200; ++sample) {
    TrainingTransform transform{.size = 7};
    std::vector<uint8_t> plain(pixel_bytes(7)), flipped(plain), maybe(plain);
    SplitMix64 a = sample_rng(1, 2, sample), b = a, c = a;
    training_pixels(image, transform, a, plain);
    transform.flip_probability = 1;
    training_pixels(image, transform, b, flipped);
    transform.flip_probability = 0.25;
    training_pixels(image, transform, c, maybe);
    for (size_t y = 0; y < 7; ++y) {
      for (size_t x = 0; x < 7; ++x) {
        REQUIRE(
            std::equal(&plain[(y * 7 + x) * 3], &plain[(y * 7 + x) * 3] + 3, &flipped[(y * 7 + 6 - x) * 3]));
      }
    }
    REQUIRE((maybe == plain || maybe == flipped));
    flips += maybe == flipped;
    // The same draws follow whatever the probability is.
    REQUIRE(a.next() == b.next());
  }
  // 50 expected, standard deviation 6.1; the draws are fixed, so this cannot fail by chance.
  CHECK(flips > 25);
  CHECK(flips < 75);
}

TEST_CASE("very elongated pictures are transformed without resizing what is cropped away") {
  const Image tall = test::generated_picture(1, 60'000, 0, 3);
  const Image wide = test::generated_picture(60'000, 1, 0, 3);
  CHECK(evaluation_geometry(60'000, 1, EvaluationTransform(224)).width == 13'440'000);
  std::vector<uint8_t> out(pixel_bytes(224));
  for (const Image& image : {tall, wide}) {
    evaluation_pixels(image, EvaluationTransform(224), out);
    SplitMix64 rng(1);
    training_pixels(image, {}, rng, out);
  }
  CHECK_THROWS_WITH(evaluation_geometry(1, 100'000'000, EvaluationTransform(224)),
                    Contains("1 x 100000000 pixels is too elongated"));
}

TEST_CASE("normalize_pixels takes a batch of pictures") {
  const int size = 3;
  std::vector<uint8_t> pixels(2 * pixel_bytes(size));
  for (uint8_t& p : pixels) p = static_cast<uint8_t>(test::rng()());
  std::vector<float> out(pixels.size(), NAN);
  normalize_pixels(pixels, size, Normalization(), out);
  for (size_t n = 0; n < 2; ++n) {
    for (size_t c = 0; c < 3; ++c) {
      for (size_t i = 0; i < 9; ++i) {
        const Normalization clip;
        const float expected =
            (static_cast<float>(pixels[n * 27 + 3 * i + c]) / 255.0f - clip.mean[c]) / clip.stddev[c];
        REQUIRE(out[n * 27 + c * 9 + i] == expected);
      }
    }
  }
  CHECK_THROWS_AS(
      normalize_pixels(std::span(pixels).first(28), size, Normalization(), std::span(out).first(28)),
      InputError);
  CHECK_THROWS_AS(normalize_pixels(pixels, size, Normalization(), std::span(out).first(27)), InputError);
}

TEST_CASE("transforms refuse parameters out of range and outputs of the wrong size") {
  const Image image = test::generated_picture(5, 5, 0, 1);
  std::vector<uint8_t> out(pixel_bytes(4));
  CHECK_THROWS_WITH(evaluation_pixels(image, EvaluationTransform(3), out),
                    Contains("48 elements, expected 27"));
  CHECK_THROWS_WITH(evaluation_pixels(ImageView(), EvaluationTransform(4), out), Contains("0 x 0"));
  SplitMix64 rng(1);
  CHECK_THROWS_WITH(training_pixels(image, {.size = 4, .scale_min = 0.0}, rng, out), Contains("scale"));
  CHECK_THROWS_WITH(training_pixels(image, {.size = 4, .ratio_min = 2.0}, rng, out),
                    Contains("aspect ratio"));
  CHECK_THROWS_WITH(training_pixels(image, {.size = 4, .flip_probability = 2.0}, rng, out), Contains("flip"));
  CHECK_NOTHROW(training_pixels(image, {.size = 4}, rng, out));
}

TEST_CASE("SplitMix64 gives its published sequence") {
  // The first outputs for the state 1234567, which many implementations publish.
  SplitMix64 rng(1234567);
  for (uint64_t expected : {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                            4593380528125082431u, 16408922859458223821u}) {
    CHECK(rng.next() == expected);
  }
}

TEST_CASE("uniform numbers fill their range, and integers are even") {
  SplitMix64 rng(test::rng()());
  constexpr int kDraws = 60'000;
  double sum = 0;
  std::array<int, 6> counts{};
  for (int i = 0; i < kDraws; ++i) {
    const double u = rng.uniform(-1, 3);
    REQUIRE(u >= -1);
    REQUIRE(u < 3);
    sum += u;
    const uint64_t k = rng.below(6);
    REQUIRE(k < 6);
    counts[k]++;
  }
  // Standard deviations: 4 / sqrt(12 * draws) = 0.0047 and sqrt(draws * 5 / 36) = 91; seven of them: 1 in
  // 10^11.
  CHECK(std::abs(sum / kDraws - 1) < 0.033);
  for (int count : counts) CHECK(std::abs(count - kDraws / 6) < 640);
  CHECK(rng.below(1) == 0);
  // Half of the draws are above the last whole run of 2^63 + 1 numbers and must be drawn again.
  for (int i = 0; i < 100; ++i) REQUIRE(rng.below((uint64_t{1} << 63) + 1) <= uint64_t{1} << 63);
}

TEST_CASE("every sample of every epoch of every seed has its own numbers") {
  std::set<uint64_t> firsts;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    for (uint64_t epoch = 0; epoch < 12; ++epoch) {
      for (uint64_t sample = 0; sample < 12; ++sample) firsts.insert(sample_rng(seed, epoch, sample).next());
    }
  }
  CHECK(firsts.size() == 12 * 12 * 12);
  CHECK(sample_rng(1, 2, 3).next() == sample_rng(1, 2, 3).next());
}
