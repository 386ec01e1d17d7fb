#include "models/image/resample.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "kernels/common/check.h"
#include "tests/support/buffer.h"
#include "tests/support/fnv.h"
#include "tests/support/generated_picture.h"
#include "tests/support/kernel_test.h"
#include "tests/support/paths.h"

using namespace cuclip;
using Catch::Matchers::Contains;

namespace {

struct Recorded {
  ResampleFilter filter;
  Image source;
  ResampleBox box;
  int width, height;
  uint64_t hash;
  std::string line;
};

std::vector<Recorded> recorded() {
  std::ifstream file(std::filesystem::path(test::test_data()) / "resample_pillow.txt");
  std::vector<Recorded> list;
  for (std::string line; std::getline(file, line);) {
    char filter[16];
    int style, source_width, source_height;
    unsigned seed;
    Recorded r;
    unsigned long long hash;
    REQUIRE(std::sscanf(line.c_str(), "%15s %d %u %d %d %f %f %f %f %d %d %llx", filter, &style, &seed,
                        &source_width, &source_height, &r.box.left, &r.box.top, &r.box.right, &r.box.bottom,
                        &r.width, &r.height, &hash) == 12);
    const std::string name = filter;
    r.filter = name == "box"        ? ResampleFilter::box
               : name == "bilinear" ? ResampleFilter::bilinear
                                    : ResampleFilter::bicubic;
    r.source = test::generated_picture(source_width, source_height, style, seed);
    r.hash = hash;
    r.line = line;
    list.push_back(std::move(r));
  }
  return list;
}

int random_int(int low, int high) { return std::uniform_int_distribution<int>(low, high)(test::rng()); }

}  // namespace

TEST_CASE("resizing gives Pillow's bytes, on every instruction set of this machine") {
  const auto list = recorded();
  REQUIRE(list.size() >= 200);
  for (const int64_t target : test::simd_targets()) {
    const test::SimdTargetScope scope(target);
    INFO("instruction set " << test::simd_target_name(target));
    for (const Recorded& r : list) {
      INFO(r.line);
      const Image image = resize(r.source, r.width, r.height, r.filter, r.box);
      CHECK(test::fnv1a(image.rgb) == r.hash);
    }
  }
}

TEST_CASE("a window holds the same pixels as the whole result") {
  for (int repeat = 0; repeat < 200; ++repeat) {
    const Image source = test::generated_picture(random_int(1, 70), random_int(1, 70), repeat % 3,
                                                 static_cast<uint32_t>(repeat));
    const int width = random_int(1, 90), height = random_int(1, 90);
    const Image whole = resize(source, width, height);
    PixelRect window{.x = random_int(0, width - 1), .y = random_int(0, height - 1)};
    window.width = random_int(1, width - window.x);
    window.height = random_int(1, height - window.y);
    std::vector<uint8_t> out(static_cast<size_t>(window.width) * static_cast<size_t>(window.height) * 3,
                             0xAA);
    resample({.source = source, .width = width, .height = height, .box = {}, .window = window, .out = out});
    for (int y = 0; y < window.height; ++y) {
      const uint8_t* expected = ImageView(whole).row(window.y + y) + 3 * window.x;
      const uint8_t* actual = out.data() + static_cast<ptrdiff_t>(y) * window.width * 3;
      REQUIRE(std::equal(expected, expected + window.width * 3, actual));
    }
  }
}

TEST_CASE("a cropped view resizes as a copy of its pixels would: nothing around it weighs in") {
  for (int repeat = 0; repeat < 100; ++repeat) {
    const Image source = test::generated_picture(random_int(1, 50), random_int(1, 50), repeat % 3,
                                                 static_cast<uint32_t>(repeat));
    PixelRect rect{.x = random_int(0, source.width - 1), .y = random_int(0, source.height - 1)};
    rect.width = random_int(1, source.width - rect.x);
    rect.height = random_int(1, source.height - rect.y);
    const ImageView view = ImageView(source).crop(rect);
    Image copy{.width = rect.width, .height = rect.height, .rgb = {}};
    for (int y = 0; y < rect.height; ++y) {
      copy.rgb.insert(copy.rgb.end(), view.row(y), view.row(y) + 3 * rect.width);
    }
    const int width = random_int(1, 60), height = random_int(1, 60);
    REQUIRE(resize(view, width, height).rgb == resize(copy, width, height).rgb);
  }
}

TEST_CASE("a picture of one colour keeps it at every size") {
  for (int repeat = 0; repeat < 50; ++repeat) {
    Image source{.width = random_int(1, 300), .height = random_int(1, 40), .rgb = {}};
    source.rgb.assign(static_cast<size_t>(source.width) * static_cast<size_t>(source.height) * 3, 255);
    const Image result = resize(source, random_int(1, 100), random_int(1, 100));
    REQUIRE(std::all_of(result.rgb.begin(), result.rgb.end(), [](uint8_t v) { return v == 255; }));
  }
}

TEST_CASE("resampling refuses impossible sizes, boxes, windows and outputs") {
  const Image source = test::generated_picture(4, 3, 0, 1);
  std::vector<uint8_t> out(2 * 2 * 3);
  const ResampleParams good{.source = source, .width = 2, .height = 2, .box = {}, .window = {}, .out = out};
  CHECK_NOTHROW(resample(good));
  auto p = good;
  p.width = 0;
  CHECK_THROWS_WITH(resample(p), Contains("cannot resize to 0 x 2"));
  p = good;
  p.source = ImageView();
  CHECK_THROWS_WITH(resample(p), Contains("0 x 0"));
  p = good;
  p.box = ResampleBox{0, 0, 4.5f, 3};
  CHECK_THROWS_WITH(resample(p), Contains("the box 0, 0, 4.5, 3"));
  p.box = ResampleBox{2, 0, 2, 3};
  CHECK_THROWS_AS(resample(p), InputError);
  p = good;
  p.window = PixelRect{1, 0, 2, 2};
  CHECK_THROWS_WITH(resample(p), Contains("the window of 2 x 2 at (1, 0)"));
  p = good;
  p.out = p.out.first(11);
  CHECK_THROWS_WITH(resample(p), Contains("the output has 11 bytes, expected 12"));
  CHECK_THROWS_WITH(ImageView(source).crop({3, 0, 2, 1}), Contains("crop: 2 x 1 pixels at (3, 0)"));
}
