#include "train/data/font_collections.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <string>

#include "models/image/image.h"
#include "tests/support/buffer.h"
#include "tests/support/command.h"
#include "tests/train/boxes_font.h"
#include "train/data/glyph_font.h"
#include "train/data/picture_names.h"
#include "train/data/sample.h"

using namespace cuclip;
using Catch::Matchers::Contains;
using cuclip::test::boxes_font;
using cuclip::test::TemporaryFolder;
using Strings = std::vector<std::string>;

namespace {

std::string cldr(const std::string& annotations, const std::string& language = "en") {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\" ?><ldml><identity><language type=\"" + language +
         "\"/></identity><annotations>" + annotations + "</annotations></ldml>";
}

std::string annotation(const std::string& character, const std::string& name, const std::string& keywords) {
  return "<annotation cp=\"" + character + "\">" + keywords + "</annotation><annotation cp=\"" + character +
         "\" type=\"tts\">" + name + "</annotation>";
}

FontCollection collection(Inks inks, const char* css_prefix = "") {
  return {.name = "test", .font = "f.bdf", .names = "names", .css_prefix = css_prefix, .inks = inks};
}

std::vector<Colour> colours_of(const Image& image) {
  std::set<Colour> found;
  for (size_t i = 0; i < image.rgb.size(); i += 3)
    found.insert({image.rgb[i], image.rgb[i + 1], image.rgb[i + 2]});
  return {found.begin(), found.end()};
}

constexpr Colour kWhite{255, 255, 255};

}  // namespace

TEST_CASE("CLDR's annotations name pictographs of one code point") {
  const std::string xml =
      cldr(annotation("🚲", "bicycle", "bicycle | bike") + annotation("{", "open brace", "x") +
           annotation("🏽", "medium skin tone", "x") + annotation("👨‍🦰", "man: red hair", "x") +
           annotation("→", "right arrow", "arrow") + annotation("⪺", "succeeds not", "math") +
           annotation("Ⓜ", "circled M", "x") + "<annotation cp=\"🐈\">cat | pet</annotation>");
  const std::vector<PictureName> names = names_from_cldr(xml, "en.xml");
  REQUIRE(names.size() == 1);
  CHECK(names[0].name == "bicycle");
  CHECK(names[0].keywords == Strings{"bicycle", "bike"});
  CHECK(names[0].character == U'🚲');
  CHECK(names[0].id == "1f6b2");
}

TEST_CASE("annotations that are damaged, empty or in another language are refused") {
  const std::string whole = cldr(annotation("🚲", "bicycle", "bike"));
  CHECK_THROWS_WITH(names_from_cldr(whole.substr(0, whole.size() - 20), "en.xml"),
                    Contains("en.xml: not XML"));
  CHECK_THROWS_WITH(names_from_cldr("", "en.xml"), Contains("en.xml: not XML"));
  CHECK_THROWS_WITH(names_from_cldr(cldr(annotation("🚲", "Fahrrad", "Rad"), "de"), "de.xml"),
                    Contains("in English") && Contains("\"de\""));
  CHECK_THROWS_WITH(names_from_cldr("<svg/>", "en.xml"), Contains("in English"));
  CHECK_THROWS_WITH(names_from_cldr(cldr(annotation("{", "open brace", "x")), "en.xml"),
                    Contains("found none"));
}

TEST_CASE("style sheets name icons") {
  const std::string css =
      "@charset \"UTF-8\";\n.fa { font-size: 14px }\n.fa-bicycle:before {\n  content: \"\\f206\";\n}\n"
      ".fa-remove:before,\n.fa-close:before { content: \"\\f00d\" "
      "}\n.fa-bell-slash-o:before{content:'\\f1f7'}\n"
      ".fa-camera-off:before { content: \"\\f1f8\"; }\n.fa-dot:before { content: \".\"; }\n"
      ".fa-huge:before { content: \"\\ffffff\"; }\n.mdi-other:before { content: \"\\f001\"; }\n"
      ".fa-cut:before { content: \"\\f0";
  const std::vector<PictureName> names = names_from_css(css, "a.css", ".fa-");
  REQUIRE(names.size() == 3);
  CHECK(names[0].name == "bicycle");
  CHECK(names[0].character == 0xf206);
  CHECK(names[1].name == "remove");
  CHECK(names[1].keywords == Strings{"close"});
  CHECK(names[2].name == "bell slash");
  const std::vector<PictureName> google =
      names_from_css("  .i.pedal_bike_outlined:before {\n content: \"\\eb29\"; }", "a.css", ".i.");
  REQUIRE(google.size() == 1);
  CHECK(google[0].name == "pedal bike");
  CHECK(google[0].id == "pedal_bike_outlined");
  CHECK_THROWS_WITH(names_from_css("", "a.css", ".fa-"),
                    Contains("a.css: expected rules such as .fa-bike:before {"));
  CHECK_THROWS_WITH(names_from_css("{\"no\": 1}", "a.css", ".fa-"), Contains("found none"));
}

TEST_CASE("a font's characters are drawn in the middle of a white square") {
  const TemporaryFolder folder;
  folder.write("f.bdf", boxes_font({"41"}, 64, 128));
  const GlyphFont font(folder.path() / "f.bdf", false);
  CHECK(font.has('A'));
  CHECK_FALSE(font.has('B'));
  const Image image = font.draw('A', {200, 10, 20});
  REQUIRE(image.width == 128);
  REQUIRE(image.height == 128);
  const auto at = [&](size_t x, size_t y) {
    const size_t i = (y * 128 + x) * 3;
    return Colour{image.rgb[i], image.rgb[i + 1], image.rgb[i + 2]};
  };
  for (const size_t y : {0, 127}) {
    CHECK(at(31, y) == kWhite);
    CHECK(at(32, y) == Colour{200, 10, 20});
    CHECK(at(95, y) == Colour{200, 10, 20});
    CHECK(at(96, y) == kWhite);
  }
  CHECK_THROWS_AS(font.draw('B', {0, 0, 0}), SampleError);
}

TEST_CASE("fonts that cannot be used are refused") {
  const TemporaryFolder folder;
  folder.write("small.bdf", boxes_font({"41"}, 8, 16));
  folder.write("f.bdf", boxes_font({"41"}, 64, 128));
  folder.write("text", "not a font");
  folder.write("empty", "");
  CHECK_THROWS_WITH(GlyphFont(folder.path() / "small.bdf", false), Contains("at least 96 pixels"));
  CHECK_THROWS_WITH(GlyphFont(folder.path() / "f.bdf", true),
                    Contains("expected a font with colour bitmaps"));
  CHECK_THROWS_WITH(GlyphFont(folder.path() / "text", false), Contains("expected a font, found 10 bytes"));
  CHECK_THROWS_WITH(GlyphFont(folder.path() / "empty", false), Contains("expected a font"));
  CHECK_THROWS_AS(GlyphFont(folder.path() / "missing", false), Error);
}

TEST_CASE("pictographs come in black and in two colours, with the colour in the caption") {
  const TemporaryFolder folder;
  folder.write("f.bdf", boxes_font({"1F6B2", "1F408", "1F534"}, 96, 96));
  folder.write("names", cldr(annotation("🚲", "bicycle", "bike | red | vehicle") +
                             annotation("🔴", "red circle", "x") + annotation("🐕", "dog", "pet")));
  const RawPairs found = list_font(folder.path(), collection(Inks::three));
  REQUIRE(found.pairs.size() == 3);  // there is no dog in the font
  CHECK(found.bad.by_reason == std::map<std::string, int64_t>{{"named after a colour", 1}});
  CHECK(found.pairs[0].key == "test/1f6b2");
  CHECK(found.pairs[0].captions == Strings{"bicycle, bike, vehicle"});
  CHECK(colours_of(found.pairs[0].draw()) == std::vector<Colour>{{0, 0, 0}});
  std::set<std::vector<Colour>> colours;
  for (size_t i : {1, 2}) {
    const std::string& key = found.pairs[i].key;
    const std::string colour = key.substr(key.find('-') + 1);
    CHECK(found.pairs[i].captions == Strings{colour + " bicycle, bike, vehicle"});
    CHECK(found.pairs[i].drawing);
    colours.insert(colours_of(found.pairs[i].draw()));
  }
  CHECK(colours.size() == 2);
  CHECK(colours.count({{0, 0, 0}}) == 0);
}

TEST_CASE("icons have one colour each, two in five black") {
  const TemporaryFolder folder;
  Strings characters;
  std::string css;
  for (int i = 0; i < 200; ++i) {
    characters.push_back(fmt::format("{:X}", 0xE000 + i));
    css += fmt::format(".i-thing{}x:before {{ content: \"\\e{:03x}\"; }}\n", i, i);
  }
  css += ".i-lost:before { content: \"\\f000\"; }";
  folder.write("f.bdf", boxes_font(characters, 96, 96));
  folder.write("names", css);
  const RawPairs found = list_font(folder.path(), collection(Inks::one, ".i-"));
  REQUIRE(found.pairs.size() == 200);
  CHECK(found.bad.by_reason == std::map<std::string, int64_t>{{"no picture", 1}});
  int64_t black = 0;
  std::map<std::string, Colour> colour_of;
  for (const RawPair& pair : found.pairs) {
    CHECK_THAT(pair.captions[0], Catch::Matchers::EndsWith(", icon"));
    const Colour colour = colours_of(pair.draw()).at(0);
    const std::string first_word = pair.captions[0].substr(0, pair.captions[0].find(' '));
    if (colour == Colour{0, 0, 0}) {
      ++black;
      CHECK_THAT(pair.captions[0], Catch::Matchers::StartsWith("thing"));
    } else {
      CHECK(colour_of.emplace(first_word, colour).first->second == colour);
    }
  }
  CHECK(black >= 60);
  CHECK(black <= 100);
  CHECK(colour_of.size() == 10);
  const RawPairs again = list_font(folder.path(), collection(Inks::one, ".i-"));
  for (size_t i = 0; i < 200; ++i) CHECK(again.pairs[i].captions == found.pairs[i].captions);
}

TEST_CASE("a font that has nothing of what is named, or no colours where they are expected, is refused") {
  const TemporaryFolder folder;
  folder.write("f.bdf", boxes_font({"41"}, 96, 96));
  folder.write("names", cldr(annotation("🚲", "bicycle", "bike")));
  CHECK_THROWS_WITH(list_font(folder.path(), collection(Inks::three)),
                    Contains("has none of the characters"));
  CHECK_THROWS_WITH(list_font(folder.path(), collection(Inks::own)), Contains("colour bitmaps"));
}
