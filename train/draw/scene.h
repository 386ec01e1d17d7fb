// A drawing as a list of shapes, written as SVG or painted as a picture. Contact sheets, heat maps and charts
// make scenes, so that each of them exists in both forms.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "models/image/image.h"
#include "train/draw/font.h"

namespace cuclip::draw {

struct Color {
  uint8_t r = 0;
  uint8_t g = 0;
  uint8_t b = 0;
};

inline constexpr Color kWhite{255, 255, 255};
inline constexpr Color kInk{32, 37, 43};         // text
inline constexpr Color kMuted{110, 118, 128};    // secondary text, axes
inline constexpr Color kFaint{226, 229, 233};    // grid lines, borders
inline constexpr Color kSurface{245, 246, 248};  // behind pictures

struct Rectangle {
  double x = 0, y = 0, width = 0, height = 0;
  Color fill;
};

enum class Anchor : uint8_t { start, middle, end };

/// One line of text; (x, y) is where its baseline begins, has its middle, or ends.
struct Text {
  double x = 0, y = 0;
  std::string text;  // UTF-8; the painted form shows ASCII and '?'
  double size = 13;  // em, pixels
  Color color = kInk;
  Anchor anchor = Anchor::start;
  bool bold = false;
  double angle = 0;  // degrees, anticlockwise, around (x, y)
};

struct Polyline {
  std::vector<Point> points;
  Color color = kInk;
  double width = 1;
  double opacity = 1;
};

/// A picture stretched to the given place.
struct Picture {
  double x = 0, y = 0, width = 0, height = 0;
  Image image;
};

struct Scene {
  double width = 0, height = 0;  // pixels; the background is white
  std::vector<std::variant<Rectangle, Text, Polyline, Picture>> items;

  template <typename Item>
  void add(Item item) {
    items.emplace_back(std::move(item));
  }
  /// The picture in the middle of a box, as large as fits; a large one is kept at twice the size at which it
  /// is shown.
  void add_fitted(const ImageView& image, double x, double y, double width, double height);
  /// That, on a light ground with a thin frame.
  void add_framed(const ImageView& image, double x, double y, double width, double height);
};

/// A complete SVG document; pictures are embedded as PNG.
std::string to_svg(const Scene& scene);

/// The scene painted at `scale` pixels to a unit, with smooth edges.
Image paint(const Scene& scene, double scale = 1);

/// The scale of a .png where no other is asked for.
inline constexpr double kFileScale = 2;

/// Throws InputError for a scene that is too large to be painted at this scale, or empty.
void check_paintable(const Scene& scene, double scale);

/// Writes the form that the path's extension asks for: .svg, or .png painted at `scale`. Throws InputError
/// for any other extension, Error when the file cannot be written.
void write_scene(const std::filesystem::path& path, const Scene& scene, double scale = kFileScale);

}  // namespace cuclip::draw
