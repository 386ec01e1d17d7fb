// Pictures in a grid with their captions: search results, samples of a dataset.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "models/image/image.h"
#include "train/draw/scene.h"

namespace cuclip::draw {

struct ContactSheet {
  std::string_view title;     // may be empty
  std::string_view subtitle;  // may be empty
  std::span<const Image> images;
  std::span<const std::string> captions;  // UTF-8, as many as images; a newline breaks the line
  int columns = 5;
  double picture_size = 168;  // pixels of a picture's longer edge
  int caption_lines = 2;
};

/// Throws InputError if there is no picture, or if the number of captions differs.
Scene contact_sheet(const ContactSheet& sheet);

}  // namespace cuclip::draw
