#include "kernels/pixels/pixels.h"

#include <catch2/catch.hpp>

#include "tests/support/kernel_test.h"

using namespace cuclip;
using namespace cuclip::test;

namespace {

constexpr std::array<float, 3> kMean{0.48145466f, 0.4578275f, 0.40821073f};
constexpr std::array<float, 3> kStddev{0.26862954f, 0.26130258f, 0.27577711f};

// [B, H, W]: one pixel, odd sizes, sizes that are multiples of a vector.
std::vector<Shape> sizes() { return {{1, 1, 1}, {3, 5, 7}, {2, 16, 12}, {5, 64, 64}}; }

Buffer random_bytes(const Shape& shape) {
  Buffer image = Buffer::zeros(shape, DType::u8);
  std::uniform_int_distribution<int> distribution(0, 255);
  for (int64_t i = 0; i < image.elements(); ++i) image.set(i, distribution(rng()));
  return image;
}

}  // namespace

TEST_CASE("bytes become normalised values in the same order") {
  TestContext ctx;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const Shape& s : sizes()) {
      INFO(s.to_string());
      const Buffer image = random_bytes({s[0], s[1], s[2], 3});
      Buffer out = Buffer::poisoned(image.shape(), dtype);
      normalize_pixels({.image = image.view(), .mean = kMean, .stddev = kStddev, .out = out.view()}, ctx);
      std::vector<double> expected;
      for (int64_t i = 0; i < image.elements(); ++i) {
        const auto c = static_cast<size_t>(i % 3);
        expected.push_back((image.at(i) / 255.0 - double{kMean[c]}) / double{kStddev[c]});
      }
      // In f32: scale, shift, their product and sum are rounded once each; values are at most 2.7.
      expect_close("normalize_pixels", out, expected, {4.0 * 2.7 / (1 << 24), roundoff(dtype)});
    }
  }
}

TEST_CASE("planes that are normalised already change their order alone") {
  TestContext ctx;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const Shape& s : sizes()) {
      INFO(s.to_string());
      const Buffer image = Buffer::normal({s[0], 3, s[1], s[2]}, DType::f32);
      Buffer out = Buffer::poisoned({s[0], s[1], s[2], 3}, dtype);
      normalize_pixels({.image = image.view(), .mean = kMean, .stddev = kStddev, .out = out.view()}, ctx);
      const int64_t pixels = s[1] * s[2];
      std::vector<double> expected;
      for (int64_t i = 0; i < out.elements(); ++i) {
        const int64_t c = i % 3, pixel = i / 3 % pixels, picture = i / 3 / pixels;
        expected.push_back(image.at((picture * 3 + c) * pixels + pixel));
      }
      expect_close("normalize_pixels", out, expected, {0, roundoff(dtype)});
    }
  }
}

TEST_CASE("memory that is not aligned gives the same values") {
  TestContext ctx;
  const Buffer image = random_bytes({2, 4, 6, 3}).shifted(1);
  Buffer out = Buffer::poisoned(image.shape(), DType::bf16).shifted(1),
         aligned = Buffer::poisoned(image.shape(), DType::bf16);
  normalize_pixels({.image = image.view(), .mean = kMean, .stddev = kStddev, .out = out.view()}, ctx);
  normalize_pixels({.image = image.view(), .mean = kMean, .stddev = kStddev, .out = aligned.view()}, ctx);
  CHECK(out.to_doubles() == aligned.to_doubles());
}

TEST_CASE("pictures of another shape or type are refused") {
  TestContext ctx;
  const auto run = [&](const Shape& image, DType type, const Shape& out, DType out_type) {
    const Buffer in = Buffer::zeros(image, type), to = Buffer::zeros(out, out_type);
    normalize_pixels({.image = in.view(), .out = to.view()}, ctx);
  };
  CHECK_NOTHROW(run({0, 4, 4, 3}, DType::u8, {0, 4, 4, 3}, DType::f32));
  CHECK_THROWS_AS(run({2, 4, 4, 4}, DType::u8, {2, 4, 4, 4}, DType::f32), InputError);
  CHECK_THROWS_AS(run({2, 4, 4, 3}, DType::f32, {2, 4, 4, 3}, DType::f32), InputError);
  CHECK_THROWS_AS(run({2, 4, 4, 3}, DType::u8, {2, 3, 4, 4}, DType::f32), InputError);
  CHECK_THROWS_AS(run({2, 4, 4, 3}, DType::u8, {2, 4, 4, 3}, DType::i32), InputError);
  CHECK_THROWS_AS(run({2, 3, 4, 4}, DType::i32, {2, 4, 4, 3}, DType::f32), InputError);
}
