// Draws the objects of synthetic:shapes from filled outlines, by sub-scanlines with exact horizontal
// coverage.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "train/data/synthetic_scene.h"

namespace cuclip::shapes {
namespace {

struct Point {
  double x, y;
};
using Outline = std::vector<Point>;

enum class Shade { plain, dark, light };

struct Rgb {
  double r, g, b;
};

constexpr std::array<Rgb, kColours> kColourValues = {{{220, 30, 35},
                                                      {245, 135, 20},
                                                      {245, 215, 35},
                                                      {40, 160, 60},
                                                      {35, 75, 215},
                                                      {135, 50, 170},
                                                      {250, 130, 185},
                                                      {125, 75, 35}}};
constexpr std::array<Rgb, kBackgrounds> kBackgroundValues = {
    {{255, 255, 255}, {170, 170, 170}, {15, 15, 15}, {185, 225, 245}}};

Rgb shaded(Colour colour, Shade shade) {
  const Rgb c = kColourValues[static_cast<size_t>(colour)];
  if (shade == Shade::dark) return {c.r * 0.55, c.g * 0.55, c.b * 0.55};
  if (shade == Shade::light)
    return {255 - (255 - c.r) * 0.3, 255 - (255 - c.g) * 0.3, 255 - (255 - c.b) * 0.3};
  return c;
}

// Fills outlines given in an object's own units, (-1, -1) top left to (1, 1) bottom right, into the picture.
class Painter {
 public:
  Painter(Image& image, const Placed& placed)
      : image_(image),
        colour_(placed.colour),
        x_(placed.x * image.width),
        y_(placed.y * image.height),
        cos_(std::cos(placed.rotation) * placed.radius * image.width),
        sin_(std::sin(placed.rotation) * placed.radius * image.width) {}

  void fill(const Outline& outline, Shade shade = Shade::plain) {
    Outline points;
    for (const Point& p : outline)
      points.push_back({x_ + p.x * cos_ - p.y * sin_, y_ + p.x * sin_ + p.y * cos_});
    std::vector<double> coverage(static_cast<size_t>(image_.width));
    for (int y = 0; y < image_.height; ++y) {
      if (cover_row(points, y, coverage)) blend_row(y, coverage, shaded(colour_, shade));
    }
  }

  void ellipse(Point centre, double rx, double ry, Shade shade = Shade::plain) {
    fill(arc(centre, rx, ry, 0, 2 * std::numbers::pi), shade);
  }

  // A line with round ends.
  void line(Point a, Point b, double width, Shade shade = Shade::plain) {
    const double length = std::hypot(b.x - a.x, b.y - a.y);
    const double nx = -(b.y - a.y) / length * width / 2, ny = (b.x - a.x) / length * width / 2;
    fill({{a.x + nx, a.y + ny}, {b.x + nx, b.y + ny}, {b.x - nx, b.y - ny}, {a.x - nx, a.y - ny}}, shade);
    ellipse(a, width / 2, width / 2, shade);
    ellipse(b, width / 2, width / 2, shade);
  }

  void ring(Point centre, double radius, double width, Shade shade = Shade::plain) {
    // Out along the outer circle, back along the inner one: an even-odd fill leaves the hole.
    Outline outline = arc(centre, radius, radius, 0, 2 * std::numbers::pi);
    outline.push_back(outline.front());
    const Outline inner = arc(centre, radius - width, radius - width, 2 * std::numbers::pi, 0);
    outline.insert(outline.end(), inner.begin(), inner.end());
    outline.push_back(inner.front());
    fill(outline, shade);
  }

  static Outline arc(Point centre, double rx, double ry, double from, double to) {
    constexpr int kSegments = 28;
    Outline points;
    for (int i = 0; i < kSegments; ++i) {
      const double angle = from + (to - from) * i / kSegments;
      points.push_back({centre.x + rx * std::cos(angle), centre.y + ry * std::sin(angle)});
    }
    return points;
  }

 private:
  static constexpr int kSubRows = 4;

  // Even-odd coverage of one pixel row, in [0, 1]; false when there is none.
  bool cover_row(const Outline& points, int y, std::vector<double>& coverage) const {
    bool any = false;
    std::fill(coverage.begin(), coverage.end(), 0.0);
    std::vector<double> crossings;
    for (int sub = 0; sub < kSubRows; ++sub) {
      const double line = y + (sub + 0.5) / kSubRows;
      crossings.clear();
      for (size_t i = 0; i < points.size(); ++i) {
        const Point &a = points[i], &b = points[(i + 1) % points.size()];
        if ((a.y <= line) != (b.y <= line))
          crossings.push_back(a.x + (line - a.y) / (b.y - a.y) * (b.x - a.x));
      }
      std::sort(crossings.begin(), crossings.end());
      for (size_t i = 0; i + 1 < crossings.size(); i += 2) add_span(crossings[i], crossings[i + 1], coverage);
      any = any || !crossings.empty();
    }
    return any;
  }

  void add_span(double from, double to, std::vector<double>& coverage) const {
    from = std::clamp(from, 0.0, static_cast<double>(image_.width));
    to = std::clamp(to, 0.0, static_cast<double>(image_.width));
    for (auto x = static_cast<int>(from); x < to; ++x) {
      const double inside = std::min(to, x + 1.0) - std::max(from, static_cast<double>(x));
      coverage[static_cast<size_t>(x)] += inside / kSubRows;
    }
  }

  void blend_row(int y, const std::vector<double>& coverage, const Rgb& colour) {
    uint8_t* row = image_.rgb.data() + static_cast<size_t>(y) * static_cast<size_t>(image_.width) * 3;
    for (size_t x = 0; x < coverage.size(); ++x) {
      const double a = std::min(coverage[x], 1.0);
      const double values[] = {colour.r, colour.g, colour.b};
      for (size_t c = 0; c < 3; ++c) {
        row[3 * x + c] = static_cast<uint8_t>(std::lround(row[3 * x + c] * (1 - a) + values[c] * a));
      }
    }
  }

  Image& image_;
  Colour colour_;
  double x_, y_, cos_, sin_;
};

Outline star_outline() {
  Outline points;
  for (int i = 0; i < 10; ++i) {
    const double angle = std::numbers::pi * (i / 5.0 - 0.5), radius = i % 2 == 0 ? 1.0 : 0.42;
    points.push_back({radius * std::cos(angle), radius * std::sin(angle) + 0.05});
  }
  return points;
}

Outline heart_outline() {
  // x = sin^3 t, y = the usual sum of cosines, scaled into the unit square.
  Outline points;
  for (int i = 0; i < 40; ++i) {
    const double t = 2 * std::numbers::pi * i / 40;
    const double s = std::sin(t);
    points.push_back(
        {s * s * s, -(13 * std::cos(t) - 5 * std::cos(2 * t) - 2 * std::cos(3 * t) - std::cos(4 * t)) / 16});
  }
  return points;
}

void draw_bicycle(Painter& paint) {
  constexpr double kFrame = 0.11;
  const Point back{-0.58, 0.35}, front{0.58, 0.35}, pedals{-0.08, 0.35}, saddle{-0.25, -0.3},
      head{0.38, -0.3};
  paint.ring(back, 0.42, 0.1, Shade::dark);
  paint.ring(front, 0.42, 0.1, Shade::dark);
  paint.line(back, pedals, kFrame);
  paint.line(back, saddle, kFrame);
  paint.line(pedals, saddle, kFrame);
  paint.line(saddle, head, kFrame);
  paint.line(pedals, head, kFrame);
  paint.line(front, {0.33, -0.55}, kFrame);
  paint.line({0.33, -0.55}, {0.58, -0.62}, kFrame);
  paint.line({-0.42, -0.42}, {-0.14, -0.42}, 0.14, Shade::dark);
}

void draw_car(Painter& paint) {
  paint.fill({{-0.55, -0.05}, {-0.35, -0.5}, {0.3, -0.5}, {0.58, -0.05}});
  paint.fill({{-1, 0}, {-0.9, -0.1}, {0.85, -0.1}, {1, 0.1}, {1, 0.38}, {-1, 0.38}});
  paint.fill({{-0.42, -0.08}, {-0.28, -0.4}, {-0.05, -0.4}, {-0.05, -0.08}}, Shade::light);
  paint.fill({{0.05, -0.08}, {0.05, -0.4}, {0.25, -0.4}, {0.44, -0.08}}, Shade::light);
  paint.ellipse({-0.52, 0.4}, 0.24, 0.24, Shade::dark);
  paint.ellipse({0.52, 0.4}, 0.24, 0.24, Shade::dark);
}

void draw_house(Painter& paint) {
  paint.fill({{-0.72, -0.15}, {0.72, -0.15}, {0.72, 0.95}, {-0.72, 0.95}});
  paint.fill({{-0.98, -0.12}, {0, -0.95}, {0.98, -0.12}}, Shade::dark);
  paint.fill({{-0.5, 0.1}, {-0.1, 0.1}, {-0.1, 0.45}, {-0.5, 0.45}}, Shade::light);
  paint.fill({{0.12, 0.2}, {0.5, 0.2}, {0.5, 0.95}, {0.12, 0.95}}, Shade::dark);
}

void draw_tree(Painter& paint) {
  paint.fill({{-0.14, 0.2}, {0.14, 0.2}, {0.17, 1}, {-0.17, 1}}, Shade::dark);
  paint.ellipse({-0.38, 0}, 0.42, 0.38);
  paint.ellipse({0.38, 0}, 0.42, 0.38);
  paint.ellipse({0, -0.45}, 0.5, 0.5);
  paint.ellipse({0, 0.05}, 0.4, 0.35);
}

void draw_fish(Painter& paint) {
  paint.fill({{0.35, 0}, {0.98, -0.5}, {0.85, 0}, {0.98, 0.5}});
  paint.fill({{-0.25, -0.3}, {0.05, -0.68}, {0.3, -0.25}}, Shade::dark);
  paint.ellipse({-0.25, 0}, 0.72, 0.45);
  paint.ellipse({-0.62, -0.1}, 0.09, 0.09, Shade::dark);
}

void draw_boat(Painter& paint) {
  paint.line({0, -0.9}, {0, 0.4}, 0.1, Shade::dark);
  paint.fill({{0.1, -0.9}, {0.1, 0.22}, {0.8, 0.22}}, Shade::light);
  paint.fill({{-0.1, -0.65}, {-0.1, 0.22}, {-0.65, 0.22}}, Shade::light);
  paint.fill({{-0.95, 0.36}, {0.95, 0.36}, {0.6, 0.85}, {-0.6, 0.85}});
}

void draw_cup(Painter& paint) {
  paint.ring({0.5, 0}, 0.42, 0.16);
  paint.fill({{-0.8, -0.6}, {0.55, -0.6}, {0.42, 0.7}, {-0.67, 0.7}});
  paint.ellipse({-0.125, -0.6}, 0.67, 0.15, Shade::dark);
}

void draw(Painter& paint, Object object) {
  switch (object) {
    case Object::circle:
      return paint.ellipse({0, 0}, 0.92, 0.92);
    case Object::square:
      return paint.fill({{-0.8, -0.8}, {0.8, -0.8}, {0.8, 0.8}, {-0.8, 0.8}});
    case Object::triangle:
      return paint.fill({{0, -0.9}, {0.95, 0.75}, {-0.95, 0.75}});
    case Object::star:
      return paint.fill(star_outline());
    case Object::heart:
      return paint.fill(heart_outline());
    case Object::bicycle:
      return draw_bicycle(paint);
    case Object::car:
      return draw_car(paint);
    case Object::house:
      return draw_house(paint);
    case Object::tree:
      return draw_tree(paint);
    case Object::fish:
      return draw_fish(paint);
    case Object::boat:
      return draw_boat(paint);
    case Object::cup:
      return draw_cup(paint);
  }
}

}  // namespace

Image render(const Scene& scene, int image_size) {
  Image image{.width = image_size, .height = image_size, .rgb = {}};
  const auto pixels = static_cast<size_t>(image_size) * static_cast<size_t>(image_size);
  const Rgb ground = kBackgroundValues[static_cast<size_t>(scene.background)];
  image.rgb.reserve(pixels * 3);
  for (size_t i = 0; i < pixels; ++i) {
    for (double value : {ground.r, ground.g, ground.b}) image.rgb.push_back(static_cast<uint8_t>(value));
  }
  for (const Placed& placed : scene.placed) {
    Painter paint(image, placed);
    draw(paint, placed.object);
  }
  return image;
}

}  // namespace cuclip::shapes
