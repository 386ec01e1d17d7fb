// Pictures with their captions as one HTML page that needs nothing else: no network, no script.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "models/image/image.h"

namespace cuclip::draw {

struct Gallery {
  std::string_view title;
  std::string_view subtitle;
  std::span<const Image> images;
  std::span<const std::string> captions;  // as many as images; a newline breaks the line
};

/// A complete HTML document with the pictures embedded as PNG, large ones at a longer edge of 480 pixels.
/// Texts may be any bytes: control characters and invalid UTF-8 are shown as \x1b. Throws InputError if there
/// is no picture, or if the number of captions differs.
std::string gallery_html(const Gallery& gallery);

}  // namespace cuclip::draw
