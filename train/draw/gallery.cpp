#include "train/draw/gallery.h"

#include <algorithm>
#include <pugixml.hpp>
#include <sstream>

#include "kernels/common/check.h"
#include "models/files/names.h"
#include "models/image/resample.h"
#include "train/draw/png.h"

namespace cuclip::draw {
namespace {

constexpr int kLongestEdge = 480;  // sharp where a grid cell is half as wide

// A "<", ">" or "&" would be escaped, which HTML does not undo within <style>.
constexpr const char* kStyle =
    ":root{color-scheme:light dark}"
    "body{margin:1.5rem;font:15px/1.4 "
    "system-ui,Helvetica,Arial,sans-serif;background:Canvas;color:CanvasText}"
    "h1{margin:0;font-size:1.5rem;overflow-wrap:anywhere}"
    "header p{margin:.25rem 0 1.5rem;opacity:.7}"
    "main{display:grid;gap:1.25rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,9.5rem),1fr))}"
    "figure{margin:0;min-width:0}"
    "img{display:block;width:100%;aspect-ratio:1;object-fit:contain;border-radius:.4rem;background:#8882}"
    "figcaption{margin-top:.4rem;font-size:.85rem;white-space:pre-line;overflow-wrap:anywhere}";

std::string embedded(const Image& image) {
  const int longest = std::max(image.width, image.height);
  if (longest <= kLongestEdge) return png_data_uri(image);
  const auto shown = [&](int edge) {
    return std::max(1, static_cast<int>(int64_t{edge} * kLongestEdge / longest));
  };
  return png_data_uri(resize(image, shown(image.width), shown(image.height)));
}

void add_text(pugi::xml_node parent, const char* tag, std::string_view text) {
  parent.append_child(tag).text().set(escaped_text(text).c_str());
}

void add_meta(pugi::xml_node head, const char* name, const char* content) {
  pugi::xml_node meta = head.append_child("meta");
  meta.append_attribute("name") = name;
  meta.append_attribute("content") = content;
}

}  // namespace

std::string gallery_html(const Gallery& gallery) {
  CUCLIP_CHECK(!gallery.images.empty(), "gallery: there is no picture to show");
  CUCLIP_CHECK(gallery.captions.size() == gallery.images.size(), "gallery: {} captions for {} pictures",
               gallery.captions.size(), gallery.images.size());
  pugi::xml_document document;
  document.append_child(pugi::node_doctype).set_value("html");
  pugi::xml_node html = document.append_child("html");
  html.append_attribute("lang") = "en";
  pugi::xml_node head = html.append_child("head");
  head.append_child("meta").append_attribute("charset") = "utf-8";
  add_meta(head, "viewport", "width=device-width, initial-scale=1");
  add_text(head, "title", gallery.title);
  head.append_child("style").text().set(kStyle);
  pugi::xml_node body = html.append_child("body");
  pugi::xml_node header = body.append_child("header");
  add_text(header, "h1", gallery.title);
  add_text(header, "p", gallery.subtitle);
  pugi::xml_node grid = body.append_child("main");
  for (size_t i = 0; i < gallery.images.size(); ++i) {
    pugi::xml_node figure = grid.append_child("figure");
    pugi::xml_node picture = figure.append_child("img");
    picture.append_attribute("src") = embedded(gallery.images[i]).c_str();
    picture.append_attribute("alt") = escaped_text(gallery.captions[i]).c_str();
    add_text(figure, "figcaption", gallery.captions[i]);
  }
  std::ostringstream out;
  document.save(out, "", pugi::format_raw | pugi::format_no_declaration, pugi::encoding_utf8);
  return out.str() + "\n";
}

}  // namespace cuclip::draw
