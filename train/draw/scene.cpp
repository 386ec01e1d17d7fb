#include "train/draw/scene.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "models/image/resample.h"
#include "models/text/unicode.h"
#include "train/draw/png.h"

namespace cuclip::draw {
namespace {

constexpr const char* kFontFamily = "Helvetica, Arial, 'Liberation Sans', sans-serif";

// For attributes and text. What XML does not allow, above all control characters, becomes U+FFFD.
std::string escape(std::string_view utf8) {
  std::string out;
  for (char32_t c : decode_utf8(utf8)) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (c == '\t' || c == '\n') {
      out += ' ';
    } else {
      append_utf8(out, c < 0x20 || c == 0xfffe || c == 0xffff ? kReplacementCharacter : c);
    }
  }
  return out;
}

std::string number(double value) {
  std::string text = fmt::format("{:.2f}", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  if (text == "-0") text.erase(0, 1);
  return text;
}

std::string hex(Color c) { return fmt::format("#{:02x}{:02x}{:02x}", c.r, c.g, c.b); }

std::string place(double x, double y, double width, double height) {
  return fmt::format("x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"", number(x), number(y), number(width),
                     number(height));
}

struct SvgWriter {
  std::string& out;

  void operator()(const Rectangle& r) {
    out += fmt::format("<rect {} fill=\"{}\"/>\n", place(r.x, r.y, r.width, r.height), hex(r.fill));
  }

  void operator()(const Text& t) {
    out += fmt::format("<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{}\"", number(t.x), number(t.y),
                       number(t.size), hex(t.color));
    if (t.anchor != Anchor::start) {
      out += fmt::format(" text-anchor=\"{}\"", t.anchor == Anchor::middle ? "middle" : "end");
    }
    if (t.bold) out += " font-weight=\"600\"";
    if (t.angle != 0) {
      out += fmt::format(" transform=\"rotate({} {} {})\"", number(-t.angle), number(t.x), number(t.y));
    }
    out += fmt::format(">{}</text>\n", escape(t.text));
  }

  void operator()(const Polyline& line) {
    out += fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\" ",
                       hex(line.color), number(line.width));
    if (line.opacity < 1) out += fmt::format("stroke-opacity=\"{}\" ", number(line.opacity));
    out += "points=\"";
    for (const Point& p : line.points) out += number(p.x) + ',' + number(p.y) + ' ';
    out += "\"/>\n";
  }

  void operator()(const Picture& p) {
    out += fmt::format("<image {} preserveAspectRatio=\"none\" href=\"{}\"/>\n",
                       place(p.x, p.y, p.width, p.height), png_data_uri(p.image));
  }
};

}  // namespace

void Scene::add_fitted(const ImageView& image, double x, double y, double box_width, double box_height) {
  if (image.width <= 0 || image.height <= 0) return;
  const double scale = std::min(box_width / image.width, box_height / image.height);
  const double width = image.width * scale, height = image.height * scale;
  Image kept;
  if (scale < 0.5) {
    kept = resize(image, std::max(1, static_cast<int>(2 * width)), std::max(1, static_cast<int>(2 * height)));
  } else {
    kept = resize(image, image.width, image.height);
  }
  add(Picture{x + (box_width - width) / 2, y + (box_height - height) / 2, width, height, std::move(kept)});
}

void Scene::add_framed(const ImageView& image, double x, double y, double box_width, double box_height) {
  add(Rectangle{x, y, box_width, box_height, kSurface});
  add_fitted(image, x, y, box_width, box_height);
  const double left = x + 0.5, top = y + 0.5, right = x + box_width - 0.5, bottom = y + box_height - 0.5;
  add(Polyline{{{left, top}, {right, top}, {right, bottom}, {left, bottom}, {left, top}}, kFaint, 1, 1});
}

std::string to_svg(const Scene& scene) {
  const std::string w = number(scene.width), h = number(scene.height);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"{2}\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n",
      w, h, kFontFamily);
  for (const auto& item : scene.items) std::visit(SvgWriter{out}, item);
  return out + "</svg>\n";
}

void write_scene(const std::filesystem::path& path, const Scene& scene, double scale) {
  const std::string extension = path.extension().string();
  CUCLIP_CHECK(extension == ".svg" || extension == ".png",
               "cannot draw {}: expected a name that ends in .svg or .png", path.string());
  if (extension == ".svg") {
    write_file_atomic(path, to_svg(scene));
  } else {
    write_png(path, paint(scene, scale));
  }
}

}  // namespace cuclip::draw
