// The gallery as a browser would read it.
#include "train/draw/gallery.h"

#include "kernels/common/check.h"
#include "tests/train/draw_fixtures.h"
#include "train/draw/png.h"

using namespace cuclip;
using namespace cuclip::draw;
using Catch::Matchers::Contains;

TEST_CASE("a gallery shows every picture, and no text of it becomes markup") {
  const std::vector<Image> images = {plain(40, 20, {200, 0, 0}), plain(1200, 3, {0, 0, 200})};
  const std::vector<std::string> captions = {"0.5\n\"<script>alert(1)</script>' & caf\xe9\x1b", "0.4\nblue"};
  const std::string html = gallery_html(
      {.title = "\"</title><b>\"", .subtitle = "the 2 best", .images = images, .captions = captions});
  CHECK_THAT(html, Catch::Matchers::StartsWith("<!DOCTYPE html>"));
  CHECK_THAT(html, !Contains("<script") && !Contains("<b>") && !Contains("http") && !Contains("\x1b"));
  pugi::xml_document page;
  REQUIRE(page.load_buffer(html.data(), html.size()));
  const pugi::xml_node body = page.child("html").child("body");
  CHECK(std::string(page.child("html").attribute("lang").value()) == "en");
  CHECK(std::string(page.child("html").child("head").child("title").text().get()) == "\"</title><b>\"");
  CHECK(std::string(body.child("header").child("h1").text().get()) == "\"</title><b>\"");
  const pugi::xml_node first = body.child("main").child("figure"), second = first.next_sibling();
  const std::string shown = "0.5\n\"<script>alert(1)</script>' & caf\\xe9\\x1b";
  CHECK(std::string(first.child("figcaption").text().get()) == shown);
  CHECK_THAT(first.child("img").attribute("alt").value(), Contains("caf\\xe9\\x1b"));
  CHECK(first.child("img").attribute("src").value() == png_data_uri(images[0]));
  // 1200 x 3 shrinks to 480 x 1: a picture never loses its last row.
  CHECK(second.child("img").attribute("src").value() == png_data_uri(plain(480, 1, {0, 0, 200})));
  CHECK_FALSE(second.next_sibling());
}

TEST_CASE("a gallery without pictures or captions is refused") {
  const std::vector<Image> images = {plain(4, 4, {0, 0, 0})};
  CHECK_THROWS_WITH(gallery_html({}), Contains("no picture"));
  CHECK_THROWS_WITH(gallery_html({.title = "", .subtitle = "", .images = images, .captions = {}}),
                    Contains("0 captions for 1 pictures"));
}
