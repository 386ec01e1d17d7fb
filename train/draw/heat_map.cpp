#include "train/draw/heat_map.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/common/check.h"

namespace cuclip::draw {
namespace {

constexpr double kMargin = 28;
constexpr double kTitleSize = 21;
constexpr double kSubtitleSize = 13;
constexpr double kLabelSize = 12;
constexpr double kLabelLine = 15;
constexpr double kGap = 2;  // between cells
constexpr double kScaleWidth = 12;
// A viewer of the SVG uses its own font, up to a fifth wider than the one that text is measured with here.
constexpr double kOwnLetters = 1.2;

// Where everything is, in pixels.
struct Layout {
  double cell = 0;
  double left = 0, top = 0;  // of the first cell
  double label_width = 0;    // of the rows' labels
  bool wrapped = false;      // column labels are wrapped above the cells, or slanted
  double header = 0;         // height of the column labels
  double overhang = 0;       // of the last slanted label to the right
};

double widest(std::span<const std::string> labels, double limit) {
  double width = 0;
  for (const std::string& label : labels) width = std::max(width, text_width(to_drawable(label), kLabelSize));
  return std::min(width, limit);
}

Layout make_layout(const HeatMap& map) {
  Layout l;
  const int largest = std::max(map.rows, map.columns);
  l.cell = std::clamp(720.0 / largest, 16.0, 112.0);
  l.label_width = !map.row_images.empty() ? l.cell + 10 : widest(map.row_labels, 260) + 10;
  if (map.row_images.empty() && map.row_labels.empty()) l.label_width = 0;
  l.left = kMargin + l.label_width;
  l.top = kMargin;
  l.wrapped = l.cell >= 84;
  if (l.wrapped) {
    size_t lines = 0;
    for (const std::string& label : map.column_labels) {
      lines = std::max(lines, wrap_text(label, kLabelSize, (l.cell - 8) / kOwnLetters, 5).size());
    }
    l.header = static_cast<double>(lines) * kLabelLine + 8;
  } else {
    l.overhang = widest(map.column_labels, 260) * std::sqrt(0.5);
    l.header = l.overhang + 18;
  }
  if (map.column_labels.empty()) l.header = l.overhang = 0;
  return l;
}

void add_column_labels(const HeatMap& map, const Layout& l, Scene& scene) {
  for (size_t j = 0; j < map.column_labels.size(); ++j) {
    const double middle = l.left + (static_cast<double>(j) + 0.5) * l.cell;
    if (!l.wrapped) {
      const auto line = wrap_text(map.column_labels[j], kLabelSize, 260, 1);
      if (line.empty()) continue;
      scene.add(Text{.x = middle + 3, .y = l.top - 7, .text = line[0], .size = kLabelSize, .angle = 45});
      continue;
    }
    const auto lines = wrap_text(map.column_labels[j], kLabelSize, (l.cell - 8) / kOwnLetters, 5);
    double y = l.top - 10 - kLabelLine * static_cast<double>(lines.size() - (lines.empty() ? 0 : 1));
    for (const std::string& line : lines) {
      scene.add(Text{.x = middle, .y = y, .text = line, .size = kLabelSize, .anchor = Anchor::middle});
      y += kLabelLine;
    }
  }
}

void add_row_labels(const HeatMap& map, const Layout& l, Scene& scene) {
  for (int i = 0; i < map.rows; ++i) {
    const double y = l.top + i * l.cell;
    const auto index = static_cast<size_t>(i);
    if (!map.row_images.empty()) {
      scene.add_framed(map.row_images[index], kMargin, y, l.cell - kGap, l.cell - kGap);
    } else if (!map.row_labels.empty()) {
      const auto line = wrap_text(map.row_labels[index], kLabelSize, 260, 1);
      if (line.empty()) continue;
      scene.add(Text{.x = l.left - 10,
                     .y = y + l.cell / 2 + 3.5,
                     .text = line[0],
                     .size = kLabelSize,
                     .anchor = Anchor::end});
    }
  }
}

// The bar at the right that explains the colours.
void add_scale(const HeatMap& map, const Layout& l, double low, double high, Scene& scene) {
  const double x = l.left + map.columns * l.cell + 18;
  const double height = std::min(map.rows * l.cell - kGap, 240.0);
  constexpr int kSteps = 60;
  for (int i = 0; i < kSteps; ++i) {
    // A little overlap, so that no seams show between the steps.
    scene.add(Rectangle{x, l.top + height * i / kSteps, kScaleWidth,
                        height / kSteps + (i + 1 < kSteps ? 0.5 : 0), heat_color(1 - (i + 0.5) / kSteps)});
  }
  const auto label = [&](double y, double value) {
    scene.add(Text{.x = x + kScaleWidth + 6,
                   .y = y,
                   .text = fmt::format("{:.{}f}", value, map.decimals),
                   .size = 11,
                   .color = kMuted});
  };
  label(l.top + 8, high);
  label(l.top + height, low);
}

void add_cells(const HeatMap& map, const Layout& l, double low, double high, Scene& scene) {
  for (int i = 0; i < map.rows; ++i) {
    for (int j = 0; j < map.columns; ++j) {
      const double value = static_cast<double>(map.values[static_cast<size_t>(i * map.columns + j)]);
      const bool finite = std::isfinite(value);
      const double share = !finite ? 0 : high > low ? (value - low) / (high - low) : 0.5;
      const double x = l.left + j * l.cell, y = l.top + i * l.cell;
      scene.add(Rectangle{x, y, l.cell - kGap, l.cell - kGap, finite ? heat_color(share) : kFaint});
      if (l.cell < 40) continue;
      const double size = std::min(14.0, l.cell * 0.26);
      scene.add(Text{.x = x + (l.cell - kGap) / 2,
                     .y = y + (l.cell - kGap) / 2 + size * 0.36,
                     .text = finite ? fmt::format("{:.{}f}", value, map.decimals) : "-",
                     .size = size,
                     .color = share > 0.55 ? kWhite : kInk,
                     .anchor = Anchor::middle});
    }
  }
}

}  // namespace

Color heat_color(double share) {
  // One hue from almost white to dark, with even steps of lightness.
  constexpr std::array<std::array<double, 3>, 6> kStops = {
      {{243, 246, 250}, {207, 221, 237}, {155, 187, 219}, {96, 147, 195}, {44, 102, 161}, {18, 56, 105}}};
  const double at = std::clamp(share, 0.0, 1.0) * (kStops.size() - 1);
  const size_t i = std::min(static_cast<size_t>(at), kStops.size() - 2);
  const double t = at - static_cast<double>(i);
  const auto mix = [&](size_t c) {
    return static_cast<uint8_t>(std::lround(kStops[i][c] * (1 - t) + kStops[i + 1][c] * t));
  };
  return {mix(0), mix(1), mix(2)};
}

Scene heat_map(const HeatMap& map) {
  const auto fits = [](size_t size, int expected) {
    return size == 0 || size == static_cast<size_t>(expected);
  };
  CUCLIP_CHECK(map.rows > 0 && map.columns > 0 &&
                   map.values.size() == static_cast<size_t>(map.rows) * static_cast<size_t>(map.columns),
               "heat map: {} values for {} rows and {} columns", map.values.size(), map.rows, map.columns);
  CUCLIP_CHECK(fits(map.row_images.size(), map.rows) && fits(map.row_labels.size(), map.rows) &&
                   fits(map.column_labels.size(), map.columns),
               "heat map: {} row pictures, {} row labels and {} column labels for {} rows and {} columns",
               map.row_images.size(), map.row_labels.size(), map.column_labels.size(), map.rows, map.columns);
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const float value : map.values) {
    if (!std::isfinite(value)) continue;
    low = std::min(low, static_cast<double>(value));
    high = std::max(high, static_cast<double>(value));
  }

  Layout l = make_layout(map);
  Scene scene;
  scene.width = l.left + map.columns * l.cell + std::max(l.overhang - 10, 70.0) + kMargin;
  const auto add_heading = [&](std::string_view text, double size, double line, Color color, bool bold) {
    for (const std::string& part : wrap_text(text, size, scene.width - 2 * kMargin, 2)) {
      scene.add(Text{
          .x = kMargin, .y = l.top + size * 0.75, .text = part, .size = size, .color = color, .bold = bold});
      l.top += line;
    }
  };
  add_heading(map.title, kTitleSize, 28, kInk, true);
  add_heading(map.subtitle, kSubtitleSize, 19, kMuted, false);
  if (l.top > kMargin) l.top += 12;
  l.top += l.header;
  add_column_labels(map, l, scene);
  add_row_labels(map, l, scene);
  add_cells(map, l, low, high, scene);
  if (high >= low) add_scale(map, l, low, high, scene);
  scene.height = l.top + map.rows * l.cell - kGap + kMargin;
  return scene;
}

}  // namespace cuclip::draw
