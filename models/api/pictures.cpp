// Pictures and texts as users give them.
#include <fmt/core.h>

#include <cstdint>

#include "models/api/clip_impl.h"
#include "models/image/image_decode.h"
#include "models/inference/encode.h"
#include "models/text/normalise_caption.h"

namespace cuclip {
namespace {

void check_view(const RgbView& view, size_t place) {
  const auto most = static_cast<size_t>(DecodeOptions{}.max_pixels);
  CUCLIP_CHECK(view.data, "picture {}: there are no pixels, data is null", place);
  CUCLIP_CHECK(view.width >= 1 && view.height >= 1 && view.width <= most && view.height <= most / view.width,
               "picture {}: expected from 1 to {} pixels, got {} x {}", place, most, view.width, view.height);
  CUCLIP_CHECK(view.stride >= 3 * view.width,
               "picture {}: expected a stride of at least {} bytes for rows of {} pixels, got {}", place,
               3 * view.width, view.width, view.stride);
  CUCLIP_CHECK(
      view.stride <= static_cast<size_t>(PTRDIFF_MAX) / view.height,
      "picture {}: a stride of {} bytes for {} rows reaches beyond all memory; rows must follow each "
      "other downwards (a negative stride, of rows from bottom to top, is not supported)",
      place, view.stride, view.height);
}

Image image_of(const RgbView& view) {
  Image image{.width = static_cast<int>(view.width), .height = static_cast<int>(view.height), .rgb = {}};
  image.rgb.reserve(3 * view.width * view.height);
  for (size_t y = 0; y < view.height; ++y) {
    const uint8_t* row = view.data + y * view.stride;
    image.rgb.insert(image.rgb.end(), row, row + 3 * view.width);
  }
  return image;
}

// To open it says what is the matter with it.
void check_is_there(const std::filesystem::path& file, int64_t place, int64_t count) {
  if (path_exists(file)) return;
  try {
    read_file(file);
  } catch (const InputError& error) {
    fail_unreadable(count, {.index = place, .reason = error.what()});
  }
}

}  // namespace

Pictures::Pictures(std::span<const std::filesystem::path> files)
    : count(std::ssize(files)),
      load([files](int64_t i) { return load_image(files[static_cast<size_t>(i)]); }) {
  for (int64_t i = 0; i < count; ++i) check_is_there(files[static_cast<size_t>(i)], i, count);
}

Pictures::Pictures(std::span<const RgbView> views)
    : count(std::ssize(views)), load([views](int64_t i) { return image_of(views[static_cast<size_t>(i)]); }) {
  for (size_t i = 0; i < views.size(); ++i) check_view(views[i], i);
}

void require_texts(std::span<const std::string> texts, const char* what) {
  for (size_t i = 0; i < texts.size(); ++i) require_text(texts[i], fmt::format("{} {}", what, i));
}

}  // namespace cuclip
