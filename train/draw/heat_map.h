// A matrix as coloured cells: how well N pictures fit M captions.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "models/image/image.h"
#include "train/draw/scene.h"

namespace cuclip::draw {

struct HeatMap {
  std::string_view title;         // may be empty
  std::string_view subtitle;      // may be empty
  std::span<const float> values;  // [rows, columns]; NaN cells stay grey
  int rows = 0;
  int columns = 0;
  std::span<const Image> row_images;           // rows of them, or none
  std::span<const std::string> row_labels;     // rows of them, or none; shown where there are no images
  std::span<const std::string> column_labels;  // columns of them, or none
  int decimals = 2;  // of the values, which are written where the cells are large enough
};

/// Pale for the smallest value to dark blue for the largest. Throws InputError when a size does not fit.
Scene heat_map(const HeatMap& map);

/// The colour at 0 (smallest) to 1 (largest).
Color heat_color(double share);

}  // namespace cuclip::draw
