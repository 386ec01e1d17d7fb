// Lines over a common x axis: loss curves, scaling measurements.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "train/draw/scene.h"

namespace cuclip::draw {

struct Series {
  std::string name;                           // in the legend; "" leaves it out
  std::vector<double> x, y;                   // of one length; a value that is not finite interrupts the line
  std::optional<Color> color = std::nullopt;  // the next of the palette if not given
  bool pale = false;  // drawn behind the others: raw values under their smoothed curve
};

struct LineChart {
  std::string title, subtitle;  // may be empty
  std::string x_label, y_label;
  std::vector<Series> series;
  double width = 760, height = 420;
  bool y_from_zero = false;
};

/// Throws InputError if a series' x and y differ in length.
Scene line_chart(const LineChart& chart);

/// Round numbers (1, 2 or 5 times a power of ten apart) that cover low ... high, about `count` of them.
std::vector<double> round_ticks(double low, double high, int count);

/// Means over the neighbours on both sides, so that the curve does not lag: a neighbour k places away weighs
/// weight^k. Values that are not finite are left out.
std::vector<double> smoothed(const std::vector<double>& values, double weight);

}  // namespace cuclip::draw
