#include "train/data/glyph_font.h"

#include <ft2build.h>
#include FT_FREETYPE_H

#include <algorithm>
#include <mutex>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "train/data/sample.h"

namespace cuclip {
namespace {

constexpr int kSmallest = 96;  // bitmaps smaller than this say too little

// How much of the pixel at (x, y) is ink, of 255.
int coverage(const FT_Bitmap& bitmap, int x, int y) {
  const uint8_t* row = bitmap.buffer + std::ptrdiff_t{y} * bitmap.pitch;
  if (bitmap.pixel_mode == FT_PIXEL_MODE_GRAY) return row[x];
  return ((row[x / 8] >> (7 - x % 8)) & 1) * 255;  // FT_PIXEL_MODE_MONO
}

// On white.
Colour pixel_of(const FT_Bitmap& bitmap, int x, int y, const Colour& ink) {
  Colour out{};
  if (bitmap.pixel_mode == FT_PIXEL_MODE_BGRA) {  // the colours are multiplied with alpha already
    const uint8_t* bgra = bitmap.buffer + std::ptrdiff_t{y} * bitmap.pitch + std::ptrdiff_t{4} * x;
    for (size_t c = 0; c < 3; ++c) out[c] = static_cast<uint8_t>(std::min(bgra[2 - c] + 255 - bgra[3], 255));
    return out;
  }
  const int covered = coverage(bitmap, x, y);
  for (size_t c = 0; c < 3; ++c)
    out[c] = static_cast<uint8_t>((ink[c] * covered + 255 * (255 - covered)) / 255);
  return out;
}

}  // namespace

struct GlyphFont::Face {
  std::string name, bytes;
  FT_Library library = nullptr;
  FT_Face face = nullptr;
  std::mutex mutex;  // FreeType draws one character of a face at a time

  ~Face() {
    if (face != nullptr) FT_Done_Face(face);
    if (library != nullptr) FT_Done_FreeType(library);
  }
};

GlyphFont::GlyphFont(const std::filesystem::path& file, bool in_colour) : face_(std::make_unique<Face>()) {
  Face& f = *face_;
  f.name = file.string();
  f.bytes = read_file(file);
  if (FT_Init_FreeType(&f.library) != 0) fail("{}: FreeType does not start", f.name);
  const FT_Error error = FT_New_Memory_Face(f.library, reinterpret_cast<const FT_Byte*>(f.bytes.data()),
                                            static_cast<FT_Long>(f.bytes.size()), 0, &f.face);
  if (error != 0) f.face = nullptr;
  CUCLIP_CHECK(error == 0,
               "{}: expected a font, found {} bytes that FreeType does not read as one (error {})", f.name,
               f.bytes.size(), error);
  CUCLIP_CHECK(!in_colour || FT_HAS_COLOR(f.face),
               "{}: expected a font with colour bitmaps, found one without", f.name);
  if (!in_colour && FT_IS_SCALABLE(f.face)) {
    CUCLIP_CHECK(FT_Set_Pixel_Sizes(f.face, 0, kSize) == 0, "{}: FreeType cannot scale it to {} pixels",
                 f.name, kSize);
    return;
  }
  int largest = -1, height = 0;
  for (int i = 0; i < f.face->num_fixed_sizes; ++i) {
    if (f.face->available_sizes[i].height > height) {
      largest = i;
      height = f.face->available_sizes[i].height;
    }
  }
  CUCLIP_CHECK(largest >= 0 && height >= kSmallest && FT_Select_Size(f.face, largest) == 0,
               "{}: expected outlines, or bitmaps of at least {} pixels; the largest are {} pixels high",
               f.name, kSmallest, height);
}

GlyphFont::~GlyphFont() = default;

bool GlyphFont::has(char32_t character) const {
  const std::lock_guard lock(face_->mutex);
  return FT_Get_Char_Index(face_->face, character) != 0;
}

Image GlyphFont::draw(char32_t character, Colour ink) const {
  const std::lock_guard lock(face_->mutex);
  const FT_Face face = face_->face;
  const FT_UInt glyph = FT_Get_Char_Index(face, character);
  const auto code = static_cast<uint32_t>(character);
  if (glyph == 0) throw SampleError("no picture", fmt::format("{} has no U+{:04X}", face_->name, code));
  // Hinting is for small sizes.
  FT_Error error = FT_Load_Glyph(face, glyph, FT_LOAD_COLOR | FT_LOAD_NO_HINTING);
  if (error == 0) error = FT_Render_Glyph(face->glyph, FT_RENDER_MODE_NORMAL);
  const FT_Bitmap& bitmap = face->glyph->bitmap;
  const bool known = bitmap.pixel_mode == FT_PIXEL_MODE_GRAY || bitmap.pixel_mode == FT_PIXEL_MODE_MONO ||
                     bitmap.pixel_mode == FT_PIXEL_MODE_BGRA;
  if (error != 0 || !known) {
    throw SampleError("no picture", fmt::format("{}: FreeType cannot draw U+{:04X} (error {}, pixel mode {})",
                                                face_->name, code, error, bitmap.pixel_mode));
  }
  const int width = static_cast<int>(bitmap.width), height = static_cast<int>(bitmap.rows);
  if (width == 0 || height == 0)
    throw SampleError("blank picture", fmt::format("{}: U+{:04X} draws nothing", face_->name, code));
  const int side = std::max(width, height);
  Image image{.width = side, .height = side, .rgb = {}};
  image.rgb.assign(static_cast<size_t>(side) * static_cast<size_t>(side) * 3, 255);
  for (int y = 0; y < height; ++y) {
    const int64_t row = (side - height) / 2 + y;
    for (int x = 0; x < width; ++x) {
      const int64_t at = (row * side + (side - width) / 2 + x) * 3;
      std::ranges::copy(pixel_of(bitmap, x, y, ink), image.rgb.begin() + at);
    }
  }
  return image;
}

}  // namespace cuclip
