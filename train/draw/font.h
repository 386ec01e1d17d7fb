// A small stroke font: every glyph is a few lines and arcs, drawn with a round pen of any thickness at any
// size. Its advance widths are those of Helvetica, so that what is laid out with it also fits when a browser
// sets the text of an SVG in Helvetica or Arial.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cuclip::draw {

struct Point {
  double x = 0;
  double y = 0;
};

using Stroke = std::vector<Point>;

/// Printable ASCII; white space becomes a blank, curly quotation marks and dashes their plain forms, and
/// every other code point a '?'.
std::string to_drawable(std::string_view utf8);

/// The width of drawable text at a font size in pixels (the em).
double text_width(std::string_view text, double size);

/// The strokes of drawable text whose baseline begins at (0, 0), y downwards, in pixels.
std::vector<Stroke> text_strokes(std::string_view text, double size);

/// The pen's thickness at this size.
double pen_width(double size, bool bold);

/// Breaks at blanks (and at newlines) into lines at most `width` wide; words that are too long are cut. What
/// goes beyond max_lines is replaced by "..." at the end of the last line.
std::vector<std::string> wrap_text(std::string_view utf8, double size, double width, int max_lines);

}  // namespace cuclip::draw
