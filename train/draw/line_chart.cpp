#include "train/draw/line_chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/common/check.h"

namespace cuclip::draw {
namespace {

constexpr double kMargin = 28;
constexpr double kTitleSize = 18;
constexpr double kTickSize = 12;
constexpr std::array<Color, 6> kPalette = {
    {{38, 98, 168}, {214, 118, 33}, {46, 139, 108}, {178, 62, 72}, {120, 88, 160}, {110, 118, 128}}};

// From data to pixels.
struct Axes {
  double left, right, top, bottom;  // of the plot, pixels
  double x_low, x_high, y_low, y_high;
  std::vector<double> x_ticks, y_ticks;

  Point at(double x, double y) const {
    return {left + (x - x_low) / (x_high - x_low) * (right - left),
            bottom - (y - y_low) / (y_high - y_low) * (bottom - top)};
  }
};

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void include(double v) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
  // Leaves something to draw even if there is no value, or only one.
  void open() {
    if (low > high) low = 0, high = 1;
    if (low == high) low -= 0.5, high += 0.5;
  }
};

std::string tick_label(double value, double step) {
  if (std::abs(value) >= 1e6 || (value != 0 && std::abs(step) < 1e-4)) return fmt::format("{:.3g}", value);
  const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  const std::string text = fmt::format("{:.{}f}", std::abs(value), decimals);
  // Thousands apart: 12 000
  std::string grouped;
  const size_t point = std::min(text.find('.'), text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (i > 0 && i < point && (point - i) % 3 == 0 && point > 4) grouped += ' ';
    grouped += text[i];
  }
  return fmt::format("{}{}", value < 0 ? "-" : "", grouped);
}

Axes make_axes(const LineChart& chart, double top) {
  Range x, y;
  for (const Series& s : chart.series) {
    for (size_t i = 0; i < s.x.size(); ++i) {
      if (!std::isfinite(s.x[i]) || !std::isfinite(s.y[i])) continue;
      x.include(s.x[i]);
      y.include(s.y[i]);
    }
  }
  if (chart.y_from_zero) y.include(0);
  x.open();
  y.open();
  // The y axis ends at ticks, the x axis with the data.
  const auto ticks = round_ticks(y.low, y.high, 6);
  y = {ticks.front(), ticks.back()};
  double label_width = 0;
  for (double tick : ticks) {
    label_width = std::max(label_width, text_width(tick_label(tick, ticks[1] - ticks[0]), kTickSize));
  }
  const double left = kMargin + label_width + 10 + (chart.y_label.empty() ? 0 : 22);
  const double bottom = chart.height - kMargin - 20 - (chart.x_label.empty() ? 0 : 20);
  return {left,   chart.width - kMargin,         top,  bottom, x.low, x.high, y.low,
          y.high, round_ticks(x.low, x.high, 8), ticks};
}

void add_grid(const LineChart& chart, const Axes& axes, Scene& scene) {
  for (double tick : axes.y_ticks) {
    const double y = axes.at(axes.x_low, tick).y;
    scene.add(Polyline{{{axes.left, y}, {axes.right, y}}, kFaint, 1, 1});
    scene.add(Text{.x = axes.left - 10,
                   .y = y + 4,
                   .text = tick_label(tick, axes.y_ticks[1] - axes.y_ticks[0]),
                   .size = kTickSize,
                   .color = kMuted,
                   .anchor = Anchor::end});
  }
  for (double tick : axes.x_ticks) {
    if (tick < axes.x_low || tick > axes.x_high) continue;
    const double x = axes.at(tick, axes.y_low).x;
    scene.add(Polyline{{{x, axes.bottom}, {x, axes.bottom + 5}}, kMuted, 1, 1});
    scene.add(Text{.x = x,
                   .y = axes.bottom + 19,
                   .text = tick_label(tick, axes.x_ticks[1] - axes.x_ticks[0]),
                   .size = kTickSize,
                   .color = kMuted,
                   .anchor = Anchor::middle});
  }
  scene.add(Polyline{{{axes.left, axes.bottom}, {axes.right, axes.bottom}}, kMuted, 1, 1});
  scene.add(Text{.x = (axes.left + axes.right) / 2,
                 .y = axes.bottom + 41,
                 .text = chart.x_label,
                 .size = kTickSize + 1,
                 .color = kInk,
                 .anchor = Anchor::middle});
  if (!chart.y_label.empty()) {
    scene.add(Text{.x = kMargin + 10,
                   .y = (axes.top + axes.bottom) / 2,
                   .text = chart.y_label,
                   .size = kTickSize + 1,
                   .color = kInk,
                   .anchor = Anchor::middle,
                   .angle = 90});
  }
}

void add_series(const Series& s, Color color, const Axes& axes, Scene& scene) {
  Polyline line{.points = {}, .color = color, .width = s.pale ? 1.0 : 2.0, .opacity = s.pale ? 0.4 : 1.0};
  const auto flush = [&] {
    if (!line.points.empty()) scene.add(line);
    line.points.clear();
  };
  for (size_t i = 0; i < s.x.size(); ++i) {
    if (std::isfinite(s.x[i]) && std::isfinite(s.y[i])) {
      line.points.push_back(axes.at(s.x[i], s.y[i]));
    } else {
      flush();
    }
  }
  flush();
}

}  // namespace

std::vector<double> round_ticks(double low, double high, int count) {
  const double rough = (high - low) / std::max(1, count);
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double fraction = rough / power;
  const double step = power * (fraction <= 1 ? 1 : fraction <= 2 ? 2 : fraction <= 5 ? 5 : 10);
  std::vector<double> ticks;
  // The small margins keep a bound that is a tick except for rounding from adding another.
  const double first = std::floor(low / step + 1e-9), last = std::ceil(high / step - 1e-9);
  for (double k = first; k <= last; ++k) ticks.push_back(k * step);
  return ticks;
}

std::vector<double> smoothed(const std::vector<double>& values, double weight) {
  const size_t n = values.size();
  std::vector<double> out(n, 0), weights(n, 0);
  double sum = 0, total = 0;
  for (size_t i = 0; i < n; ++i) {  // the value itself and those before it
    const bool finite = std::isfinite(values[i]);
    sum = weight * sum + (finite ? values[i] : 0);
    total = weight * total + (finite ? 1 : 0);
    out[i] = sum;
    weights[i] = total;
  }
  sum = total = 0;
  for (size_t i = n; i-- > 0;) {  // those after it
    out[i] += weight * sum;
    weights[i] += weight * total;
    const bool finite = std::isfinite(values[i]);
    sum = weight * sum + (finite ? values[i] : 0);
    total = weight * total + (finite ? 1 : 0);
  }
  for (size_t i = 0; i < n; ++i)
    out[i] = weights[i] > 0 ? out[i] / weights[i] : std::numeric_limits<double>::quiet_NaN();
  return out;
}

Scene line_chart(const LineChart& chart) {
  for (const Series& s : chart.series) {
    CUCLIP_CHECK(s.x.size() == s.y.size(), "line chart: series '{}' has {} x and {} y values", s.name,
                 s.x.size(), s.y.size());
  }
  Scene scene{.width = chart.width, .height = chart.height, .items = {}};
  double y = kMargin;
  if (!chart.title.empty()) {
    scene.add(Text{.x = kMargin, .y = y + 13, .text = chart.title, .size = kTitleSize, .bold = true});
    y += 26;
  }
  if (!chart.subtitle.empty()) {
    scene.add(Text{.x = kMargin, .y = y + 8, .text = chart.subtitle, .size = 13, .color = kMuted});
    y += 20;
  }

  // The legend: one line above the plot.
  std::vector<Color> colors;
  double legend_x = kMargin;
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const Series& s = chart.series[i];
    colors.push_back(s.color.value_or(kPalette[i % kPalette.size()]));
    if (s.name.empty()) continue;
    scene.add(Polyline{
        {{legend_x, y + 10}, {legend_x + 18, y + 10}}, colors.back(), s.pale ? 1.5 : 2.5, s.pale ? 0.5 : 1});
    scene.add(Text{.x = legend_x + 25, .y = y + 14, .text = s.name, .size = 13});
    legend_x += 25 + text_width(to_drawable(s.name), 13) + 24;
  }
  if (legend_x > kMargin) y += 22;

  const Axes axes = make_axes(chart, y + 12);
  add_grid(chart, axes, scene);
  for (const bool pale : {true, false}) {
    for (size_t i = 0; i < chart.series.size(); ++i) {
      if (chart.series[i].pale == pale) add_series(chart.series[i], colors[i], axes, scene);
    }
  }
  return scene;
}

}  // namespace cuclip::draw
