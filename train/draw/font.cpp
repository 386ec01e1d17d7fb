#include "train/draw/font.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <numbers>

#include "models/text/unicode.h"

namespace cuclip::draw {
namespace {

constexpr double kUnitsPerEm = 20;
constexpr double kPen = 1.5;  // units
constexpr double kBoldPen = 2.3;

struct Glyph {
  double advance;
  const char* path;
};

// The middle of the pen's stroke in units of 1/20 em, y upwards: baseline 0, height of "x" 9, of "H" 13,
// descenders -4.
//   M x y            lifts the pen and goes to a point
//   L x y            line
//   Q cx cy x y      quadratic Bezier curve
//   E x y rx ry a b  line to, and arc of, the ellipse around (x, y) from angle a to angle b (in degrees;
//                    b > a: anticlockwise)
//   A x y rx ry a b  the same, lifting the pen first
//   O x y rx ry      the whole ellipse
constexpr std::array<Glyph, 95> kGlyphs = {{
    {5.6, ""},
    {5.6, "M2.8 13 L2.8 4 M2.8 0 L2.8 .2"},
    {7.1, "M2.2 13 L2.2 9.4 M4.9 13 L4.9 9.4"},
    {11.1, "M4.3 12.6 L2.9 .4 M8.2 12.6 L6.8 .4 M1.4 8.6 L10 8.6 M1.1 4.4 L9.7 4.4"},
    {11.1, "A5.55 9.3 3.3 2.8 30 270 E5.55 3.5 3.7 3 90 -150 M5.55 14 L5.55 -1.2"},
    {17.8, "O4.3 10 2.6 3 O13.5 3 2.6 3 M13 13 L4.8 0"},
    {13.3,
     "M12.2 0 L4.2 8.8 Q2.9 10.2 3.4 11.4 Q4 13 5.8 13 Q8.3 13 8.3 10.7 Q8.3 8.8 5.2 7.2 Q1.5 5.4 1.5 3.3 "
     "Q1.5 0 5.2 0 Q9.6 0 11.3 5.8"},
    {3.8, "M1.9 13 L1.9 9.4"},
    {6.7, "M5 14 Q1.8 10 1.8 5 Q1.8 0 5 -4"},
    {6.7, "M1.7 14 Q4.9 10 4.9 5 Q4.9 0 1.7 -4"},
    {7.8, "M3.9 13 L3.9 8 M1.7 11.8 L6.1 9.2 M6.1 11.8 L1.7 9.2"},
    {11.7, "M5.85 9 L5.85 1 M1.8 5 L9.9 5"},
    {5.6, "M2.9 .2 L2.9 0 L2 -2.4"},
    {6.7, "M1.4 4.8 L5.3 4.8"},
    {5.6, "M2.8 0 L2.8 .2"},
    {5.6, "M5 13.4 L.6 -.6"},
    {11.1, "O5.55 6.5 3.9 6.5"},
    {11.1, "M2.4 10.6 L6.2 13 L6.2 0"},
    {11.1, "A5.5 9.5 3.6 3.5 170 -35 L1.7 0 L9.4 0"},
    {11.1, "A5.3 9.7 3.4 3.3 150 -90 E5.3 3.2 3.9 3.2 90 -155"},
    {11.1, "M7.3 0 L7.3 13 L1.2 3.9 L9.9 3.9"},
    {11.1, "M8.8 13 L2.9 13 L2.2 6.7 E5.3 4.1 4.05 4.1 140 -150"},
    {11.1, "O5.6 4 3.9 4 M1.7 4 Q1.7 11.5 7.8 13"},
    {11.1, "M1.6 13 L9.5 13 Q5.2 7 4.2 0"},
    {11.1, "O5.55 9.8 3.3 3.2 O5.55 3.3 3.9 3.3"},
    {11.1, "O5.5 9 3.9 4 M9.4 9 Q9.4 1.5 3.3 0"},
    {5.6, "M2.8 0 L2.8 .2 M2.8 7.8 L2.8 8"},
    {5.6, "M2.9 .2 L2.9 0 L2 -2.4 M2.8 7.8 L2.8 8"},
    {11.7, "M9.8 9 L1.9 5 L9.8 1"},
    {11.7, "M1.8 7 L9.9 7 M1.8 3 L9.9 3"},
    {11.7, "M1.9 9 L9.8 5 L1.9 1"},
    {11.1, "A5.4 9.6 3.5 3.4 165 -45 Q5.5 5.8 5.5 3.8 M5.5 0 L5.5 .2"},
    {20.3, "O10 4.8 3 3.2 M13 8 L13 3.8 Q13 1.7 15 1.7 Q18.6 2.2 18.6 5.6 E10.2 4.8 8.4 8.2 5 305"},
    {13.3, "M1 0 L6.65 13 L12.3 0 M3 4.4 L10.3 4.4"},
    {13.3, "M2.3 0 L2.3 13 L7.3 13 E7.3 9.9 3.2 3.1 90 -90 L2.3 6.8 M7.3 6.8 E7.6 3.4 3.6 3.4 90 -90 L2.3 0"},
    {14.4, "A7.6 6.5 5.9 6.5 50 310"},
    {14.4, "M2.3 0 L2.3 13 L6.5 13 E6.5 6.5 6 6.5 90 -90 L2.3 0"},
    {13.3, "M11.3 13 L2.3 13 L2.3 0 L11.5 0 M2.3 6.8 L10.3 6.8"},
    {12.2, "M11 13 L2.3 13 L2.3 0 M2.3 6.6 L9.8 6.6"},
    {15.6, "A7.6 6.5 6 6.5 48 360 L8.6 6.5"},
    {14.4, "M2.3 0 L2.3 13 M12.1 0 L12.1 13 M2.3 6.8 L12.1 6.8"},
    {5.6, "M2.8 0 L2.8 13"},
    {10, "M7.7 13 L7.7 3.4 E4.5 3.4 3.2 3.4 0 -170"},
    {13.3, "M2.3 0 L2.3 13 M11.8 13 L2.3 4.4 M5.6 7.4 L12.2 0"},
    {11.1, "M2.3 13 L2.3 0 L10.2 0"},
    {16.7, "M2.3 0 L2.3 13 L8.35 2.5 L14.4 13 L14.4 0"},
    {14.4, "M2.3 0 L2.3 13 L12.1 0 L12.1 13"},
    {15.6, "O7.8 6.5 6.2 6.5"},
    {13.3, "M2.3 0 L2.3 13 L7.6 13 E7.6 9.5 3.6 3.5 90 -90 L2.3 6"},
    {15.6, "O7.8 6.5 6.2 6.5 M9.2 3 L13.8 -1"},
    {14.4, "M2.3 0 L2.3 13 L7.9 13 E7.9 9.6 3.7 3.4 90 -90 L2.3 6.2 M8 6.2 L12.3 0"},
    {13.3, "A6.6 9.7 4.2 3.3 30 270 E6.6 3.2 4.6 3.2 90 -155"},
    {12.2, "M1 13 L11.2 13 M6.1 13 L6.1 0"},
    {14.4, "M2.2 13 L2.2 4.9 E7.2 4.9 5 4.9 180 360 L12.2 13"},
    {13.3, "M1 13 L6.65 0 L12.3 13"},
    {18.9, "M1 13 L5.2 0 L9.45 12.4 L13.7 0 L17.9 13"},
    {13.3, "M1.4 0 L11.9 13 M1.4 13 L11.9 0"},
    {13.3, "M1.1 13 L6.65 6.2 L12.2 13 M6.65 6.2 L6.65 0"},
    {12.2, "M1.5 13 L10.8 13 L1.3 0 L11 0"},
    {5.6, "M4.8 14 L2 14 L2 -4 L4.8 -4"},
    {5.6, "M.6 13.4 L5 -.6"},
    {5.6, "M.8 14 L3.6 14 L3.6 -4 L.8 -4"},
    {9.4, "M1.2 6.4 L4.7 13 L8.2 6.4"},
    {11.1, "M0 -3 L11.1 -3"},
    {6.7, "M2 13 L4.2 10.8"},
    {11.1,
     "M2 6.9 Q2.6 9 5.4 9 Q8.7 9 8.7 5.9 L8.7 0 M8.7 5.3 L4.6 5.3 E4.6 2.65 2.9 2.65 90 270 Q8 0 8.7 3.2"},
    {11.1, "M2 13 L2 0 O5.8 4.5 3.8 4.5"},
    {10, "A5.6 4.5 4 4.5 50 310"},
    {11.1, "M9.1 13 L9.1 0 O5.3 4.5 3.8 4.5"},
    {11.1, "M1.6 4.5 L9.5 4.5 E5.55 4.5 3.95 4.5 0 315"},
    {5.6, "M5.5 12.9 Q2.7 13.4 2.7 10.4 L2.7 0 M.7 9 L5.3 9"},
    {11.1, "O5.3 4.5 3.8 4.5 M9.1 9 L9.1 -.8 E5.5 -.8 3.6 3.3 0 -150"},
    {11.1, "M2 13 L2 0 M2 5.4 E5.55 5.4 3.55 3.6 180 0 L9.1 0"},
    {4.4, "M2.2 9 L2.2 0 M2.2 12.6 L2.2 12.8"},
    {4.4, "M2.5 9 L2.5 -2 Q2.5 -4.2 .4 -4.1 M2.5 12.6 L2.5 12.8"},
    {10, "M2 13 L2 0 M8.6 9 L2 2.9 M4.4 5.1 L9 0"},
    {4.4, "M2.2 13 L2.2 0"},
    {16.7, "M2 9 L2 0 M2 5.6 E5.2 5.6 3.2 3.4 180 0 L8.4 0 M8.4 5.6 E11.6 5.6 3.2 3.4 180 0 L14.8 0"},
    {11.1, "M2 9 L2 0 M2 5.4 E5.55 5.4 3.55 3.6 180 0 L9.1 0"},
    {11.1, "O5.55 4.5 4 4.5"},
    {11.1, "M2 9 L2 -4 O5.8 4.5 3.8 4.5"},
    {11.1, "M9.1 9 L9.1 -4 O5.3 4.5 3.8 4.5"},
    {6.7, "M2 9 L2 0 M2 5.2 Q2.4 8.9 6.2 8.8"},
    {10, "A5 6.75 3.2 2.25 30 270 E5 2.25 3.5 2.25 90 -150"},
    {5.6, "M2.8 12 L2.8 2.4 Q2.8 0 5.3 .1 M.7 9 L5.3 9"},
    {11.1, "M2 9 L2 3.6 E5.55 3.6 3.55 3.6 180 360 M9.1 9 L9.1 0"},
    {10, "M1 9 L5 0 L9 9"},
    {14.4, "M1 9 L4.2 0 L7.2 8.6 L10.2 0 L13.4 9"},
    {10, "M1.2 9 L8.8 0 M8.8 9 L1.2 0"},
    {10, "M1 9 L5 0 M9 9 L4.2 -2.4 Q3.6 -4.1 1.6 -4"},
    {10, "M1.3 9 L8.5 9 L1.2 0 L8.8 0"},
    {6.7, "M5.2 14 Q3.2 14 3.2 12 L3.2 7.4 Q3.2 5 1.4 5 Q3.2 5 3.2 2.6 L3.2 -2 Q3.2 -4 5.2 -4"},
    {5.2, "M2.6 14 L2.6 -4"},
    {6.7, "M1.5 14 Q3.5 14 3.5 12 L3.5 7.4 Q3.5 5 5.3 5 Q3.5 5 3.5 2.6 L3.5 -2 Q3.5 -4 1.5 -4"},
    {11.7, "M1.8 4.2 Q3 6.6 5.8 5 Q8.6 3.4 9.9 5.8"},
}};

const Glyph& glyph_of(char c) {
  const bool printable = c >= ' ' && c <= '~';
  return kGlyphs[static_cast<size_t>((printable ? c : '?') - ' ')];
}

// Follows a glyph's path and collects points at fixed steps along its curves.
class PathReader {
 public:
  explicit PathReader(const char* path) : at_(path) {}

  std::vector<Stroke> read() {
    for (; *at_ != '\0'; skip_blanks()) {
      const char command = *at_++;
      switch (command) {
        case 'M':
          strokes_.push_back({point()});
          break;
        case 'L':
          strokes_.back().push_back(point());
          break;
        case 'Q':
          curve();
          break;
        case 'A':
          strokes_.emplace_back();
          arc(true);
          break;
        case 'E':
          arc(true);
          break;
        default:  // 'O'
          strokes_.emplace_back();
          arc(false);
          break;
      }
    }
    return std::move(strokes_);
  }

 private:
  void skip_blanks() {
    while (*at_ == ' ') ++at_;
  }

  double number() {
    char* end = nullptr;
    const double value = std::strtod(at_, &end);
    at_ = end;
    return value;
  }

  Point point() {
    const double x = number();
    return {x, number()};
  }

  void curve() {
    const Point from = strokes_.back().back(), control = point(), to = point();
    constexpr int kSteps = 8;
    for (int i = 1; i <= kSteps; ++i) {
      const double t = static_cast<double>(i) / kSteps, s = 1 - t;
      strokes_.back().push_back({s * s * from.x + 2 * s * t * control.x + t * t * to.x,
                                 s * s * from.y + 2 * s * t * control.y + t * t * to.y});
    }
  }

  void arc(bool partial) {
    const Point center = point(), radius = point();
    const Point range = partial ? point() : Point{0, 360};
    const int steps = static_cast<int>(std::ceil(std::abs(range.y - range.x) / 12));
    for (int i = 0; i <= steps; ++i) {
      const double angle = (range.x + (range.y - range.x) * i / steps) * std::numbers::pi / 180;
      strokes_.back().push_back(
          {center.x + radius.x * std::cos(angle), center.y + radius.y * std::sin(angle)});
    }
  }

  const char* at_;
  std::vector<Stroke> strokes_;
};

// As much of the text as fits with "..." after it.
// Typographic punctuation as typewriters had it, since captions are full of it.
char drawable(char32_t c) {
  switch (c) {
    case U'\u2018':
    case U'\u2019':
      return '\'';
    case U'\u201C':
    case U'\u201D':
      return '"';
    case U'\u2013':
    case U'\u2014':
      return '-';
    default:
      return c <= ' ' ? ' ' : c < 0x7f ? static_cast<char>(c) : '?';
  }
}

std::string with_ellipsis(std::string text, double size, double width) {
  while (!text.empty() && (text.back() == ' ' || text_width(text + "...", size) > width)) text.pop_back();
  return text + "...";
}

}  // namespace

std::string to_drawable(std::string_view utf8) {
  std::string text;
  for (const char32_t c : decode_utf8(utf8)) text += drawable(c);
  return text;
}

double text_width(std::string_view text, double size) {
  double units = 0;
  for (const char c : text) units += glyph_of(c).advance;
  return units * size / kUnitsPerEm;
}

std::vector<Stroke> text_strokes(std::string_view text, double size) {
  const double unit = size / kUnitsPerEm;
  std::vector<Stroke> all;
  double x = 0;
  for (const char c : text) {
    for (Stroke& stroke : PathReader(glyph_of(c).path).read()) {
      // Half a pen up, so that the baseline is where the ink ends.
      for (Point& p : stroke) p = {(x + p.x) * unit, -(p.y + kPen / 2) * unit};
      all.push_back(std::move(stroke));
    }
    x += glyph_of(c).advance;
  }
  return all;
}

double pen_width(double size, bool bold) { return (bold ? kBoldPen : kPen) * size / kUnitsPerEm; }

std::vector<std::string> wrap_text(std::string_view utf8, double size, double width, int max_lines) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin <= utf8.size();) {
    const size_t newline = std::min(utf8.find('\n', begin), utf8.size());
    const std::string paragraph = to_drawable(utf8.substr(begin, newline - begin)) + ' ';
    begin = newline + 1;
    std::string line;
    for (size_t at = 0; at < paragraph.size();) {
      const size_t blank = paragraph.find(' ', at);
      std::string word = paragraph.substr(at, blank - at);
      at = blank + 1;
      if (word.empty()) continue;
      if (!line.empty() && text_width(line + ' ' + word, size) > width) {
        lines.push_back(std::move(line));
        line.clear();
      }
      line += line.empty() ? word : ' ' + word;
      while (line.size() > 1 && text_width(line, size) > width) {  // a word too long for a line of its own
        size_t fits = 1;
        while (text_width(std::string_view(line).substr(0, fits + 1), size) <= width) ++fits;
        lines.push_back(line.substr(0, fits));
        line.erase(0, fits);
      }
    }
    lines.push_back(std::move(line));
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  if (static_cast<int>(lines.size()) > max_lines) {
    lines.resize(static_cast<size_t>(max_lines));
    if (max_lines > 0) lines.back() = with_ellipsis(lines.back(), size, width);
  }
  return lines;
}

}  // namespace cuclip::draw
