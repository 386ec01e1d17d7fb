// The gallery in a real browser: what a visitor sees of it.
#include <algorithm>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <sstream>

#include "models/image/image_decode.h"
#include "tests/support/command.h"
#include "tests/support/skip.h"
#include "tests/train/draw_fixtures.h"
#include "train/draw/gallery.h"

using namespace cuclip;
using namespace cuclip::draw;

namespace {

// Where a browser that can draw without a screen is.
std::optional<std::string> find_browser() {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    for (const char* name : {"chromium", "google-chrome"}) {
      const std::string file = folder + "/" + name;
      if (std::filesystem::exists(file)) return file;
    }
  }
  return std::nullopt;
}

Image screenshot(const std::string& browser, const std::string& html, int width, int height) {
  const test::TemporaryFolder folder;
  const auto page = folder.write("page.html", html);
  const auto file = folder / "page.png";
  // The limit ends the browser's other processes as well.
  const test::CommandResult result = test::run_program(
      "/usr/bin/timeout",
      {"--kill-after=5", "120", browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
       "--user-data-dir=" + (folder / "profile").string(), "--screenshot=" + file.string(),
       "--window-size=" + std::to_string(width) + "," + std::to_string(height), "file://" + page.string()});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  return load_image(file);
}

struct Box {
  int left = INT_MAX, top = INT_MAX, right = -1, bottom = -1, pixels = 0;
  int width() const { return right - left + 1; }
  int height() const { return bottom - top + 1; }
};

template <typename Counts>
Box box_of(const Image& image, int first_row, int last_row, Counts counts) {
  Box box;
  for (int y = first_row; y < last_row; ++y) {
    for (int x = 0; x < image.width; ++x) {
      if (!counts(x, y)) continue;
      box = {std::min(box.left, x), std::min(box.top, y), std::max(box.right, x), std::max(box.bottom, y),
             box.pixels + 1};
    }
  }
  return box;
}

Box box_of(const Image& image, Color color) {
  return box_of(image, 0, image.height, [&](int x, int y) { return is_color(image, x, y, color); });
}

}  // namespace

TEST_CASE("a browser shows the gallery's pictures whole, each above its caption") {
  const std::optional<std::string> browser = find_browser();
  CUCLIP_SKIP_IF(!browser, "there is no Chromium (scripts/install_packages.sh browser)");
  const int width = GENERATE(1000, 500);
  CAPTURE(width);
  constexpr Color kTall{200, 0, 0}, kWide{0, 0, 200}, kSmall{0, 160, 0};
  const std::vector<Image> images = {plain(50, 200, kTall), plain(1200, 300, kWide), plain(8, 8, kSmall)};
  const std::vector<std::string> captions = {"0.512\na red door", "0.498\n<b>a blue sea</b>",
                                             "0.401\n" + std::string(300, 'x')};
  const std::string html = gallery_html(
      {.title = "\"a red door\"", .subtitle = "the 3 best", .images = images, .captions = captions});
  const Image shown = screenshot(*browser, html, width, 900);
  REQUIRE(shown.width == width);

  const auto background = pixel(shown, 1, 1);
  const auto written = [&](int x, int y) { return pixel(shown, x, y) != background; };
  const Box tall = box_of(shown, kTall), wide = box_of(shown, kWide), small = box_of(shown, kSmall);
  // Whole and undistorted: a pixel or two are lost at edges that are not on whole pixels.
  CHECK(tall.height() == Approx(4 * tall.width()).margin(6));
  CHECK(wide.width() == Approx(4 * wide.height()).margin(6));
  CHECK(small.width() == Approx(small.height()).margin(2));
  CHECK(std::min(tall.height(), wide.width()) > 140);
  for (const Box& box : {tall, wide, small}) {
    CHECK(box.pixels > 0.95 * box.width() * box.height());  // rounded corners
    CHECK((box.left > 0 && box.right < width - 1));
  }
  // In the order given: all side by side, and in a narrow window the last one in a second row.
  CHECK(tall.right < wide.left);
  if (width > 500) {
    CHECK(wide.right < small.left);
  } else {
    CHECK(small.top > std::max(tall.bottom, wide.bottom));
  }
  // The title above the pictures and a caption below each, none wider than its column.
  CHECK(box_of(shown, 0, tall.top, written).pixels > 200);
  const int captions_top = std::max({tall.bottom, wide.bottom, small.bottom}) + 1;
  const Box text = box_of(shown, captions_top, shown.height, written);
  CHECK(text.pixels > 500);
  CHECK((text.left > 0 && text.right < width - 1));
}
