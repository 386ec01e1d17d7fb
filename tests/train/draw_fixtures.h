// What the tests of drawings share.
#pragma once

#include <array>
#include <catch2/catch.hpp>
#include <pugixml.hpp>
#include <string>
#include <vector>

#include "train/draw/scene.h"

namespace cuclip::draw {

inline std::array<int, 3> pixel(const Image& image, int x, int y) {
  const uint8_t* p = ImageView(image).row(y) + 3 * x;
  return {p[0], p[1], p[2]};
}

inline bool is_color(const Image& image, int x, int y, Color c) {
  return pixel(image, x, y) == std::array<int, 3>{c.r, c.g, c.b};
}

inline pugi::xml_document parsed(const Scene& scene) {
  const std::string svg = to_svg(scene);
  pugi::xml_document document;
  const auto result = document.load_buffer(svg.data(), svg.size());
  INFO(result.description());
  REQUIRE(result);
  return document;
}

inline Image plain(int width, int height, Color c) {
  Image image{.width = width, .height = height, .rgb = {}};
  for (int i = 0; i < width * height; ++i) image.rgb.insert(image.rgb.end(), {c.r, c.g, c.b});
  return image;
}

template <typename Item>
std::vector<Item> items_of(const Scene& scene) {
  std::vector<Item> found;
  for (const auto& item : scene.items) {
    if (const auto* p = std::get_if<Item>(&item)) found.push_back(*p);
  }
  return found;
}

}  // namespace cuclip::draw
