#include "train/draw/contact_sheet.h"

#include <algorithm>

#include "kernels/common/check.h"

namespace cuclip::draw {
namespace {

constexpr double kMargin = 28;
constexpr double kGap = 18;
constexpr double kTitleSize = 21;
constexpr double kSubtitleSize = 13;
constexpr double kCaptionSize = 12;
constexpr double kCaptionLine = 16;

}  // namespace

Scene contact_sheet(const ContactSheet& sheet) {
  CUCLIP_CHECK(!sheet.images.empty(), "contact sheet: there is no picture to show");
  CUCLIP_CHECK(sheet.captions.size() == sheet.images.size(), "contact sheet: {} captions for {} pictures",
               sheet.captions.size(), sheet.images.size());
  CUCLIP_CHECK(sheet.columns > 0 && sheet.picture_size > 0, "contact sheet: {} columns of {} pixels",
               sheet.columns, sheet.picture_size);
  const int count = static_cast<int>(sheet.images.size());
  const int columns = std::min(sheet.columns, count);
  const int rows = (count + columns - 1) / columns;
  const double size = sheet.picture_size;
  const double row_height = size + 8 + sheet.caption_lines * kCaptionLine + kGap;

  Scene scene;
  scene.width = 2 * kMargin + columns * size + (columns - 1) * kGap;
  double y = kMargin;
  const auto add_heading = [&](std::string_view text, double font_size, double line, Color color, bool bold) {
    for (const std::string& part : wrap_text(text, font_size, scene.width - 2 * kMargin, 2)) {
      scene.add(Text{.x = kMargin,
                     .y = y + font_size * 0.75,
                     .text = part,
                     .size = font_size,
                     .color = color,
                     .bold = bold});
      y += line;
    }
  };
  add_heading(sheet.title, kTitleSize, 28, kInk, true);
  add_heading(sheet.subtitle, kSubtitleSize, 19, kMuted, false);
  if (y > kMargin) y += 12;

  for (int i = 0; i < count; ++i) {
    const double left = kMargin + i % columns * (size + kGap);
    const double top = y + i / columns * row_height;
    const auto index = static_cast<size_t>(i);
    scene.add_framed(sheet.images[index], left, top, size, size);
    double baseline = top + size + 8 + kCaptionSize * 0.8;
    for (const std::string& line :
         wrap_text(sheet.captions[index], kCaptionSize, size, sheet.caption_lines)) {
      scene.add(Text{.x = left, .y = baseline, .text = line, .size = kCaptionSize});
      baseline += kCaptionLine;
    }
  }
  scene.height = y + rows * row_height - kGap + kMargin;
  return scene;
}

}  // namespace cuclip::draw
