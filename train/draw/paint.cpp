// Painting a scene: everything is blended by how much of a pixel it covers.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include "kernels/common/check.h"
#include "models/image/resample.h"
#include "train/draw/scene.h"

namespace cuclip::draw {
namespace {

constexpr double kMaxPixels = 1e8;

Point size_in_pixels(const Scene& scene, double scale) {
  return {std::ceil(scene.width * scale), std::ceil(scene.height * scale)};
}

int first_pixel(double from) { return static_cast<int>(std::max(0.0, std::floor(from))); }
int end_pixel(double to, int size) {
  return static_cast<int>(std::clamp(std::ceil(to), 0.0, static_cast<double>(size)));
}

// How much of each pixel a round pen covers, estimated from the distance between the pixel's centre and the
// nearest stroke. The shares of all strokes are collected before anything is blended, so that crossings are
// not painted twice.
class PenCoverage {
 public:
  PenCoverage(const std::vector<Stroke>& strokes, double width, int image_width, int image_height)
      : width_(width), reach_(width / 2 + 0.5), x1_(image_width), y1_(image_height) {
    double left = image_width, top = image_height, right = 0, bottom = 0;
    for (const Stroke& stroke : strokes) {
      for (const Point& p : stroke) {
        left = std::min(left, p.x - reach_);
        right = std::max(right, p.x + reach_);
        top = std::min(top, p.y - reach_);
        bottom = std::max(bottom, p.y + reach_);
      }
    }
    x0_ = first_pixel(left);
    y0_ = first_pixel(top);
    x1_ = std::max(x0_, end_pixel(right, image_width));
    y1_ = std::max(y0_, end_pixel(bottom, image_height));
    shares_.assign(static_cast<size_t>(x1_ - x0_) * static_cast<size_t>(y1_ - y0_), 0.0f);
    for (const Stroke& stroke : strokes) {
      if (stroke.size() == 1) add_segment(stroke[0], stroke[0]);
      for (size_t i = 1; i < stroke.size(); ++i) add_segment(stroke[i - 1], stroke[i]);
    }
  }

  /// Calls body(x, y, share) for every pixel that is touched.
  template <typename Body>
  void for_each(Body&& body) const {
    size_t i = 0;
    for (int y = y0_; y < y1_; ++y) {
      for (int x = x0_; x < x1_; ++x, ++i) {
        if (shares_[i] > 0) body(x, y, static_cast<double>(shares_[i]));
      }
    }
  }

 private:
  void add_segment(Point a, Point b) {
    const double dx = b.x - a.x, dy = b.y - a.y;
    const double length_squared = dx * dx + dy * dy;
    const double darkest = std::min(1.0, width_);  // a pen thinner than a pixel
    const int end_y = end_pixel(std::max(a.y, b.y) + reach_, y1_),
              end_x = end_pixel(std::max(a.x, b.x) + reach_, x1_);
    for (int y = std::max(y0_, first_pixel(std::min(a.y, b.y) - reach_)); y < end_y; ++y) {
      for (int x = std::max(x0_, first_pixel(std::min(a.x, b.x) - reach_)); x < end_x; ++x) {
        const double px = x + 0.5 - a.x, py = y + 0.5 - a.y;
        const double along =
            length_squared > 0 ? std::clamp((px * dx + py * dy) / length_squared, 0.0, 1.0) : 0;
        const double distance = std::hypot(px - along * dx, py - along * dy);
        float& share = shares_[static_cast<size_t>(y - y0_) * static_cast<size_t>(x1_ - x0_) +
                               static_cast<size_t>(x - x0_)];
        share = std::max(share, static_cast<float>(std::clamp(reach_ - distance, 0.0, darkest)));
      }
    }
  }

  double width_, reach_;
  int x0_ = 0, y0_ = 0, x1_, y1_;
  std::vector<float> shares_;
};

class Painter {
 public:
  Painter(Image& image, double scale) : image_(image), scale_(scale) {}

  void operator()(const Rectangle& r) {
    const double left = r.x * scale_, right = (r.x + r.width) * scale_;
    const double top = r.y * scale_, bottom = (r.y + r.height) * scale_;
    const auto overlap = [](double low, double high, int pixel) {
      return std::clamp(std::min(high, pixel + 1.0) - std::max(low, static_cast<double>(pixel)), 0.0, 1.0);
    };
    for (int y = first_pixel(top); y < end_pixel(bottom, image_.height); ++y) {
      for (int x = first_pixel(left); x < end_pixel(right, image_.width); ++x) {
        blend(x, y, r.fill, overlap(left, right, x) * overlap(top, bottom, y));
      }
    }
  }

  void operator()(const Polyline& line) {
    Stroke points = line.points;
    for (Point& p : points) p = {p.x * scale_, p.y * scale_};
    draw_strokes({points}, line.width * scale_, line.color, line.opacity);
  }

  void operator()(const Text& t) {
    const std::string text = to_drawable(t.text);
    const double size = t.size * scale_;
    const double shift = text_width(text, size) * (t.anchor == Anchor::start    ? 0
                                                   : t.anchor == Anchor::middle ? 0.5
                                                                                : 1);
    const double angle = -t.angle * std::numbers::pi / 180;
    const double cosine = std::cos(angle), sine = std::sin(angle);
    std::vector<Stroke> strokes = text_strokes(text, size);
    for (Stroke& stroke : strokes) {
      for (Point& p : stroke) {
        const double x = p.x - shift;
        p = {t.x * scale_ + x * cosine - p.y * sine, t.y * scale_ + x * sine + p.y * cosine};
      }
    }
    draw_strokes(strokes, pen_width(size, t.bold), t.color, 1);
  }

  void operator()(const Picture& p) {
    const int left = static_cast<int>(std::lround(p.x * scale_)),
              top = static_cast<int>(std::lround(p.y * scale_));
    const int width = std::max(1, static_cast<int>(std::lround(p.width * scale_)));
    const int height = std::max(1, static_cast<int>(std::lround(p.height * scale_)));
    const Image fitted = resize(p.image, width, height);
    for (int y = std::max(0, -top); y < std::min(height, image_.height - top); ++y) {
      const uint8_t* row = ImageView(fitted).row(y);
      for (int x = std::max(0, -left); x < std::min(width, image_.width - left); ++x) {
        std::copy(row + 3 * x, row + 3 * x + 3, pixel(left + x, top + y));
      }
    }
  }

 private:
  uint8_t* pixel(int x, int y) {
    return &image_.rgb[(static_cast<size_t>(y) * static_cast<size_t>(image_.width) + static_cast<size_t>(x)) *
                       3];
  }

  void blend(int x, int y, Color color, double share) {
    uint8_t* p = pixel(x, y);
    const uint8_t channels[3] = {color.r, color.g, color.b};
    for (int c = 0; c < 3; ++c) p[c] = static_cast<uint8_t>(std::lround(p[c] + (channels[c] - p[c]) * share));
  }

  void draw_strokes(const std::vector<Stroke>& strokes, double width, Color color, double opacity) {
    PenCoverage(strokes, width, image_.width, image_.height).for_each([&](int x, int y, double share) {
      blend(x, y, color, share * opacity);
    });
  }

  Image& image_;
  double scale_;
};

}  // namespace

void check_paintable(const Scene& scene, double scale) {
  const auto [width, height] = size_in_pixels(scene, scale);
  CUCLIP_CHECK(width >= 1 && height >= 1, "a drawing of {:.0f} x {:.0f} pixels is empty", width, height);
  CUCLIP_CHECK(width * height <= kMaxPixels,
               "a drawing of {:.0f} x {:.0f} pixels is too large to paint, expected at most {:.0f} pixels in "
               "all; draw it as .svg, or draw less",
               width, height, kMaxPixels);
}

Image paint(const Scene& scene, double scale) {
  check_paintable(scene, scale);
  const auto [width, height] = size_in_pixels(scene, scale);
  Image image{.width = static_cast<int>(width), .height = static_cast<int>(height), .rgb = {}};
  image.rgb.assign(size_t{3} * static_cast<size_t>(image.width) * static_cast<size_t>(image.height), 255);
  for (const auto& item : scene.items) std::visit(Painter(image, scale), item);
  return image;
}

}  // namespace cuclip::draw
