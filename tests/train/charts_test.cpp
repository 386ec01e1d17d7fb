#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/common/check.h"
#include "tests/support/buffer.h"
#include "tests/train/draw_fixtures.h"
#include "train/draw/contact_sheet.h"
#include "train/draw/heat_map.h"
#include "train/draw/line_chart.h"

using namespace cuclip;
using namespace cuclip::draw;
using Catch::Matchers::Contains;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<std::string> texts_of(const Scene& scene) {
  std::vector<std::string> texts;
  for (const Text& t : items_of<Text>(scene)) texts.push_back(t.text);
  return texts;
}

bool contains(const std::vector<std::string>& texts, const std::string& text) {
  return std::count(texts.begin(), texts.end(), text) > 0;
}

}  // namespace

TEST_CASE("a contact sheet shows each picture above its caption") {
  std::vector<Image> images;
  std::vector<std::string> captions;
  for (int i = 0; i < 7; ++i) {
    images.push_back(plain(10, 10, {static_cast<uint8_t>(30 * i), 0, 0}));
    captions.push_back("number " + std::to_string(i));
  }
  const Scene scene =
      contact_sheet({.title = "Found", .subtitle = "", .images = images, .captions = captions, .columns = 3});
  const auto pictures = items_of<Picture>(scene);
  REQUIRE(pictures.size() == 7);
  const Image image = paint(scene);
  const auto texts = items_of<Text>(scene);
  CHECK(contains(texts_of(scene), "Found"));
  for (size_t i = 0; i < 7; ++i) {
    const Picture& p = pictures[i];
    CHECK(is_color(image, static_cast<int>(p.x + p.width / 2), static_cast<int>(p.y + p.height / 2),
                   {static_cast<uint8_t>(30 * i), 0, 0}));
    const auto caption =
        std::find_if(texts.begin(), texts.end(), [&](const Text& t) { return t.text == captions[i]; });
    REQUIRE(caption != texts.end());
    CHECK(caption->x == p.x);
    CHECK(caption->y > p.y + p.height);
    CHECK(caption->y < scene.height);
    CHECK(p.x + p.width < scene.width);
    if (i % 3 > 0) CHECK(p.y == pictures[i - 1].y);
    if (i >= 3) CHECK(p.y > pictures[i - 3].y + p.height);
  }
  CHECK_THROWS_AS(contact_sheet({.title = "", .subtitle = "", .images = {}, .captions = {}}), InputError);
  CHECK_THROWS_WITH(contact_sheet({.title = "", .subtitle = "", .images = images, .captions = {}}),
                    Contains("0 captions for 7"));
}

TEST_CASE("a heat map is darkest where the value is largest") {
  for (int n : {1, 5, 30}) {
    std::vector<float> values(static_cast<size_t>(n * n), 0.1f);
    std::vector<Image> images;
    std::vector<std::string> labels;
    for (int i = 0; i < n; ++i) {
      values[static_cast<size_t>(i * n + i)] = 0.9f;
      images.push_back(plain(4, 4, {200, 0, 0}));
      labels.push_back("caption & number " + std::to_string(i));
    }
    if (n == 5) values[1] = std::numeric_limits<float>::quiet_NaN();
    const Scene scene = heat_map({.title = "Map",
                                  .subtitle = "",
                                  .values = values,
                                  .rows = n,
                                  .columns = n,
                                  .row_images = images,
                                  .row_labels = {},
                                  .column_labels = labels});
    parsed(scene);
    const Image image = paint(scene);
    const Color dark = heat_color(n == 1 ? 0.5 : 1), pale = heat_color(0);
    int64_t dark_pixels = 0, pale_pixels = 0, grey_pixels = 0;
    for (int y = 0; y < image.height; ++y) {
      for (int x = 0; x < image.width; ++x) {
        dark_pixels += is_color(image, x, y, dark);
        pale_pixels += is_color(image, x, y, pale);
        grey_pixels += is_color(image, x, y, kFaint);
      }
    }
    const double share = static_cast<double>(dark_pixels) / static_cast<double>(dark_pixels + pale_pixels);
    CHECK(share == Approx(1.0 / n).margin(0.1));
    if (n == 5) CHECK(grey_pixels > 5000);
    CHECK(contains(texts_of(scene), "0.90"));
  }
  const std::vector<float> values(6);
  const std::vector<std::string> labels(2, "x");
  const HeatMap good{.title = "",
                     .subtitle = "",
                     .values = values,
                     .rows = 2,
                     .columns = 3,
                     .row_images = {},
                     .row_labels = labels,
                     .column_labels = {}};
  CHECK_NOTHROW(heat_map(good));
  HeatMap bad = good;
  bad.columns = 2;
  CHECK_THROWS_WITH(heat_map(bad), Contains("6 values for 2 rows and 2 columns"));
  bad = good;
  bad.column_labels = labels;
  CHECK_THROWS_WITH(heat_map(bad), Contains("2 column labels"));
}

TEST_CASE("the heat map's colours darken evenly") {
  const auto lightness = [](Color c) { return 0.2126 * c.r + 0.7152 * c.g + 0.0722 * c.b; };
  for (int i = 0; i < 100; ++i)
    CHECK(lightness(heat_color(i / 100.0)) >= lightness(heat_color((i + 1) / 100.0)));
  CHECK(lightness(heat_color(0)) - lightness(heat_color(1)) > 180);
  CHECK(lightness(heat_color(-5)) == lightness(heat_color(0)));
  CHECK(lightness(heat_color(5)) == lightness(heat_color(1)));
}

TEST_CASE("ticks are round numbers around the range") {
  CHECK(round_ticks(0, 10, 5) == std::vector<double>{0, 2, 4, 6, 8, 10});
  CHECK(round_ticks(-0.7, 1.2, 4) == std::vector<double>{-1, -0.5, 0, 0.5, 1, 1.5});
  for (int repeat = 0; repeat < 200; ++repeat) {
    const double low = std::normal_distribution<double>(0, 100)(test::rng());
    const double high = low + std::exp(std::uniform_real_distribution<double>(-9, 9)(test::rng()));
    const auto ticks = round_ticks(low, high, 6);
    REQUIRE(ticks.size() >= 2);
    const double step = ticks[1] - ticks[0];
    CHECK(ticks.front() <= low + 1e-6 * step);
    CHECK(ticks.front() > low - step);
    CHECK(ticks.back() >= high - 1e-6 * step);
    CHECK(ticks.back() < high + step * (1 + 1e-6));
    CHECK(ticks.size() <= 9);
  }
}

TEST_CASE("a line chart maps its series to the plot and breaks at values that are not finite") {
  LineChart chart{.title = "Loss", .subtitle = "", .x_label = "step", .y_label = "loss", .series = {}};
  chart.series.push_back(
      {.name = "train", .x = {0, 1, 2, 3, 4}, .y = {4, 3, kNan, 2, 1}, .color = Color{1, 2, 3}});
  const Scene scene = line_chart(chart);
  parsed(scene);
  std::vector<Polyline> parts;
  for (const Polyline& line : items_of<Polyline>(scene)) {
    if (line.color.r == 1 && line.width == 2.0) parts.push_back(line);
  }
  REQUIRE(parts.size() == 2);
  REQUIRE(parts[0].points.size() == 2);
  REQUIRE(parts[1].points.size() == 2);
  // The distances are in proportion: x by 1 and 2, y by 1 and 1.
  const double dx = parts[0].points[1].x - parts[0].points[0].x;
  CHECK(dx > 50);
  CHECK(parts[1].points[0].x - parts[0].points[1].x == Approx(2 * dx));
  const double dy = parts[0].points[1].y - parts[0].points[0].y;
  CHECK(dy > 20);
  CHECK(parts[1].points[0].y - parts[0].points[1].y == Approx(dy));
  const auto texts = texts_of(scene);
  for (const char* expected : {"Loss", "train", "step", "loss", "0.0", "4.0", "1.5"})
    CHECK(contains(texts, expected));
  for (const Polyline& line : items_of<Polyline>(scene)) {
    for (const Point& p : line.points) {
      CHECK(p.x >= 0);
      CHECK(p.x <= scene.width);
      CHECK(p.y >= 0);
      CHECK(p.y <= scene.height);
    }
  }
}

TEST_CASE("a line chart copes with no values, one value and large numbers") {
  LineChart chart{.title = "", .subtitle = "", .x_label = "", .y_label = "", .series = {}};
  CHECK_NOTHROW(paint(line_chart(chart)));
  chart.series = {{.name = "", .x = {5}, .y = {7}}};
  CHECK_NOTHROW(paint(line_chart(chart)));
  chart.series = {{.name = "", .x = {kNan}, .y = {kNan}}};
  CHECK_NOTHROW(paint(line_chart(chart)));
  chart.series = {{.name = "", .x = {0, 120'000}, .y = {-2e7, 3e-5}}};
  const auto texts = texts_of(line_chart(chart));
  CHECK(contains(texts, "20 000"));
  CHECK(contains(texts, "-2e+07"));
  chart.series = {{.name = "odd", .x = {1, 2}, .y = {1}}};
  CHECK_THROWS_WITH(line_chart(chart), Contains("series 'odd' has 2 x and 1 y"));
}

TEST_CASE("smoothing weighs neighbours on both sides alike and passes over gaps") {
  const auto constant = smoothed({4, 4, kNan, 4}, 0.5);
  for (const double value : constant) CHECK(value == Approx(4));
  // (1 / 4 * 1 + 1 / 2 * 5 + 9) / (1 / 4 + 1 / 2 + 1)
  CHECK(smoothed({1, 5, 9}, 0.5)[2] == Approx(11.75 / 1.75));
  CHECK(smoothed({9, 5, 1}, 0.5)[0] == Approx(11.75 / 1.75));
  std::vector<double> line(101);
  std::iota(line.begin(), line.end(), 0);
  CHECK(smoothed(line, 0.8)[50] == Approx(50));  // no lag
  CHECK(smoothed({kNan, 1}, 0.9)[0] == Approx(1));
  CHECK(std::isnan(smoothed({kNan}, 0.9)[0]));
  CHECK(smoothed({}, 0.9).empty());
}
