#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "models/image/image_decode.h"
#include "tests/support/buffer.h"
#include "tests/support/fnv.h"
#include "tests/support/generated_picture.h"
#include "tests/train/draw_fixtures.h"
#include "train/draw/png.h"
#include "train/draw/scene.h"

using namespace cuclip;
using namespace cuclip::draw;
using Catch::Matchers::Contains;

namespace {

int random_int(int low, int high) { return std::uniform_int_distribution<int>(low, high)(test::rng()); }

Image decode(const std::string& bytes) {
  return decode_image(std::as_bytes(std::span<const char>(bytes)), "drawn");
}

// How dark the picture is, in whole black pixels.
double ink(const Image& image) {
  double sum = 0;
  for (uint8_t v : image.rgb) sum += 255 - v;
  return sum / 255 / 3;
}

Image painted(const Text& text, double width = 60, double height = 60) {
  Scene scene{.width = width, .height = height, .items = {}};
  scene.add(text);
  return paint(scene);
}

}  // namespace

TEST_CASE("a written PNG decodes to the same pixels") {
  for (int repeat = 0; repeat < 60; ++repeat) {
    const int width = repeat == 0 ? 1 : random_int(1, 80), height = repeat <= 1 ? 1 : random_int(1, 50);
    const Image image =
        test::generated_picture(width, height, repeat % 3, static_cast<uint32_t>(test::rng()()));
    const std::string bytes = encode_png(image);
    const Image back = decode(bytes);
    REQUIRE(back.width == width);
    REQUIRE(back.height == height);
    REQUIRE(back.rgb == image.rgb);
    REQUIRE(encode_png(image) == bytes);
  }
  CHECK_THROWS_AS(encode_png(Image()), InputError);
  // A view of a part of a picture.
  const Image image = test::generated_picture(20, 10, 0, 1);
  const Image part = decode(encode_png(ImageView(image).crop({3, 2, 5, 4})));
  CHECK(pixel(part, 4, 3) == pixel(image, 7, 5));
}

TEST_CASE("the row filters shrink a smooth picture") {
  Image ramp{.width = 200, .height = 200, .rgb = {}};
  for (int y = 0; y < 200; ++y) {
    for (int x = 0; x < 200; ++x) {
      for (int c = 0; c < 3; ++c) ramp.rgb.push_back(static_cast<uint8_t>(x * (c + 1) / 2 + y));
    }
  }
  CHECK(encode_png(ramp).size() < ramp.rgb.size() / 50);
}

TEST_CASE("every printable character has a glyph of its own within its width") {
  std::set<uint64_t> seen;
  for (char c = ' '; c <= '~'; ++c) {
    INFO("character " << c);
    const std::string text(1, c);
    const Image image = painted({.x = 10, .y = 40, .text = text, .size = 40, .color = {0, 0, 0}});
    CHECK(seen.insert(test::fnv1a(image.rgb)).second);
    CHECK((c == ' ') == (ink(image) == 0));
    const double right = 10 + text_width(text, 40);
    for (int y = 0; y < 60; ++y) {
      for (int x = 0; x < 60; ++x) {
        const bool outside = x + 1 < 10 - 2 || x > right + 2 || y + 1 < 40 - 32 || y > 40 + 11;
        if (outside) REQUIRE(pixel(image, x, y)[0] == 255);
      }
    }
  }
}

TEST_CASE("text that is not ASCII is drawn as a question mark for each character") {
  CHECK(to_drawable("caf\xC3\xA9 \xE7\x8A\xAC\xF0\x9F\x90\xB6!") ==
        "caf? ?"
        "?!");
  CHECK(to_drawable("a\tb\nc\x7F\xFF") == "a b c??");
  CHECK(to_drawable("a \u201Cwoman\u2019s hat\u201D \u2013 or\u2014") == "a \"woman's hat\" - or-");
  CHECK(text_width("", 13) == 0);
  CHECK(text_width("nn", 20) == Approx(22.2));  // 11.1 twentieths of an em each
}

TEST_CASE("text is anchored, bold and turned as asked") {
  const auto black = [](Anchor anchor, bool bold, double angle) {
    return painted({.x = 30,
                    .y = 30,
                    .text = "HH",
                    .size = 16,
                    .color = {0, 0, 0},
                    .anchor = anchor,
                    .bold = bold,
                    .angle = angle});
  };
  const auto center = [](const Image& image) {
    double x_sum = 0, y_sum = 0, total = 0;
    for (int y = 0; y < image.height; ++y) {
      for (int x = 0; x < image.width; ++x) {
        const double dark = 255 - pixel(image, x, y)[0];
        total += dark;
        x_sum += dark * (x + 0.5);
        y_sum += dark * (y + 0.5);
      }
    }
    return Point{x_sum / total, y_sum / total};
  };
  // "HH" is 23 pixels wide and 11.6 high.
  CHECK(center(black(Anchor::start, false, 0)).x == Approx(30 + 11.5).margin(0.5));
  CHECK(center(black(Anchor::middle, false, 0)).x == Approx(30).margin(0.5));
  CHECK(center(black(Anchor::end, false, 0)).x == Approx(30 - 11.5).margin(0.5));
  CHECK(center(black(Anchor::start, false, 0)).y == Approx(30 - 5.8).margin(0.5));
  CHECK(center(black(Anchor::start, false, 90)).x == Approx(30 - 5.8).margin(0.5));
  CHECK(center(black(Anchor::start, false, 90)).y == Approx(30 - 11.5).margin(0.5));
  CHECK(ink(black(Anchor::start, true, 0)) > 1.3 * ink(black(Anchor::start, false, 0)));
}

TEST_CASE("wrapped text keeps its words within the width and ends with dots when it is cut") {
  const std::string text = "one two three four five six seven eight nine ten";
  const auto lines = wrap_text(text, 12, 80, 100);
  REQUIRE(lines.size() > 2);
  std::string joined;
  for (const std::string& line : lines) {
    CHECK(text_width(line, 12) <= 80);
    joined += (joined.empty() ? "" : " ") + line;
  }
  CHECK(joined == text);
  const auto cut = wrap_text(text, 12, 80, 2);
  REQUIRE(cut.size() == 2);
  CHECK(cut[0] == lines[0]);
  CHECK_THAT(cut[1], Catch::Matchers::EndsWith("..."));
  CHECK(text_width(cut[1], 12) <= 80);

  CHECK(wrap_text("a\nb", 12, 80, 5) == std::vector<std::string>{"a", "b"});
  CHECK(wrap_text("", 12, 80, 5).empty());
  CHECK(wrap_text("  \n ", 12, 80, 5).empty());
  std::string pieces;
  for (const std::string& line : wrap_text(std::string(100, 'w'), 12, 80, 100)) {
    CHECK(text_width(line, 12) <= 80);
    pieces += line;
  }
  CHECK(pieces == std::string(100, 'w'));
  CHECK(wrap_text("wide", 12, 1, 100).size() == 4);  // never less than a character a line
}

TEST_CASE("painting covers pixels by the share of their area, and clips at the edges") {
  Scene scene{.width = 10, .height = 8, .items = {}};
  scene.add(Rectangle{2, 1, 2.5, 1, {0, 0, 0}});
  scene.add(Rectangle{8, 6, 100, 100, {255, 0, 0}});
  scene.add(Rectangle{-5, -5, 6, 6, {0, 255, 0}});
  scene.add(Polyline{{{-50, 4.5}, {50, 4.5}}, {0, 0, 255}, 1, 1});
  scene.add(Polyline{{}, {0, 0, 0}, 1, 1});
  const Image image = paint(scene);
  REQUIRE(image.width == 10);
  REQUIRE(image.height == 8);
  CHECK(is_color(image, 2, 1, {0, 0, 0}));
  CHECK(is_color(image, 3, 1, {0, 0, 0}));
  CHECK(is_color(image, 4, 1, {128, 128, 128}));
  CHECK(is_color(image, 5, 1, kWhite));
  CHECK(is_color(image, 2, 2, kWhite));
  CHECK(is_color(image, 9, 7, {255, 0, 0}));
  CHECK(is_color(image, 0, 0, {0, 255, 0}));
  CHECK(is_color(image, 1, 1, kWhite));
  for (int x = 0; x < 10; ++x) CHECK(is_color(image, x, 4, {0, 0, 255}));

  const Image twice = paint(scene, 2);
  CHECK(twice.width == 20);
  CHECK(is_color(twice, 8, 2, {0, 0, 0}));
  CHECK(is_color(twice, 9, 2, kWhite));
  CHECK_THROWS_AS(paint(Scene()), InputError);
  CHECK_THROWS_WITH(paint(Scene{.width = 1e5, .height = 1e5, .items = {}}), Contains("too large to paint"));
}

TEST_CASE("crossing strokes of one line are not painted twice") {
  Scene scene{.width = 20, .height = 20, .items = {}};
  scene.add(Polyline{{{0, 10}, {20, 10}, {10, 10}, {10, 0}, {10, 20}}, {0, 0, 0}, 2, 0.5});
  const Image image = paint(scene);
  CHECK(is_color(image, 3, 10, {128, 128, 128}));
  CHECK(is_color(image, 10, 10, {128, 128, 128}));
}

TEST_CASE("a picture is fitted into the middle of its box, and a large one kept small") {
  Scene scene{.width = 40, .height = 40, .items = {}};
  scene.add_fitted(plain(2, 1, {0, 0, 0}), 10, 10, 20, 20);
  scene.add_fitted(Image(), 0, 0, 5, 5);  // nothing
  const Image image = paint(scene);
  CHECK(is_color(image, 10, 15, {0, 0, 0}));
  CHECK(is_color(image, 29, 24, {0, 0, 0}));
  CHECK(is_color(image, 15, 14, kWhite));
  CHECK(is_color(image, 15, 25, kWhite));
  Scene large;
  large.add_fitted(plain(1000, 500, {1, 2, 3}), 0, 0, 100, 100);
  const auto pictures = items_of<Picture>(large);
  REQUIRE(pictures.size() == 1);
  CHECK(pictures[0].image.width == 200);
  CHECK(pictures[0].image.height == 100);
}

TEST_CASE("SVG is well-formed whatever the texts hold, and carries the pictures") {
  Scene scene{.width = 30, .height = 20, .items = {}};
  scene.add(Text{.x = 1,
                 .y = 2,
                 .text = "a < b & \"c\" > d \x01 \xFF caf\xC3\xA9",
                 .anchor = Anchor::end,
                 .bold = true,
                 .angle = 45});
  scene.add(Rectangle{1.5, 2, 3, 4, {255, 128, 0}});
  scene.add(Polyline{{{0, 0}, {1, 2}}, {1, 2, 3}, 2, 0.5});
  scene.add(Picture{1, 2, 3, 4, test::generated_picture(5, 4, 0, 1)});
  const auto document = parsed(scene);
  const auto svg = document.child("svg");
  CHECK(std::string(svg.attribute("viewBox").value()) == "0 0 30 20");
  const auto text = svg.child("text");
  CHECK(std::string(text.text().get()) == "a < b & \"c\" > d \xEF\xBF\xBD \xEF\xBF\xBD caf\xC3\xA9");
  CHECK(std::string(text.attribute("text-anchor").value()) == "end");
  CHECK(std::string(text.attribute("transform").value()) == "rotate(-45 1 2)");
  CHECK(std::string(svg.child("polyline").attribute("stroke-opacity").value()) == "0.5");
  CHECK(std::string(svg.child("rect").next_sibling("rect").attribute("fill").value()) == "#ff8000");

  // Base64 against the decoder: each length modulo 3 occurs among these pictures.
  for (int width = 1; width <= 6; ++width) {
    Scene one{.width = 9, .height = 9, .items = {}};
    one.add(Picture{0, 0, 9, 9, test::generated_picture(width, 3, 0, 7)});
    const std::string href = parsed(one).child("svg").child("image").attribute("href").value();
    const std::string prefix = "data:image/png;base64,";
    REQUIRE(href.starts_with(prefix));
    std::string bytes;
    uint32_t bits = 0;
    int count = 0;
    for (char c : href.substr(prefix.size())) {
      if (c == '=') break;
      const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
      bits = bits << 6 | static_cast<uint32_t>(alphabet.find(c));
      count += 6;
      if (count >= 8) bytes += static_cast<char>(bits >> (count -= 8) & 0xff);
    }
    CHECK((href.size() - prefix.size()) % 4 == 0);
    CHECK(decode(bytes).rgb == test::generated_picture(width, 3, 0, 7).rgb);
  }
}

TEST_CASE("a scene is written as its extension says") {
  const auto folder =
      std::filesystem::temp_directory_path() / ("cuclip-draw-" + std::to_string(test::rng()()));
  std::filesystem::create_directory(folder);
  Scene scene{.width = 30, .height = 20, .items = {}};
  write_scene(folder / "a.svg", scene);
  write_scene(folder / "a.png", scene);
  CHECK_THAT(read_file(folder / "a.svg"), Catch::Matchers::StartsWith("<svg "));
  CHECK(load_image(folder / "a.png").width == 60);
  CHECK_THROWS_WITH(write_scene(folder / "a.gif", scene),
                    Contains("a.gif: expected a name that ends in .svg or .png"));
  CHECK_THROWS_AS(write_scene(folder / "missing" / "a.png", scene), Error);
  std::filesystem::remove_all(folder);
}
