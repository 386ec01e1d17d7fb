// Pictures of a font's characters.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>

#include "models/image/image.h"

namespace cuclip {

using Colour = std::array<uint8_t, 3>;

/// A font whose characters are drawn one at a time, as its file maps code points to them, without shaping.
class GlyphFont {
 public:
  /// Characters are at least this high in pixels.
  static constexpr int kSize = 128;

  /// Throws InputError where the file is no font, has no outlines and no bitmaps of 96 pixels or more, or,
  /// with `in_colour`, no colour bitmaps.
  GlyphFont(const std::filesystem::path& file, bool in_colour);
  ~GlyphFont();
  GlyphFont(const GlyphFont&) = delete;
  GlyphFont& operator=(const GlyphFont&) = delete;

  bool has(char32_t character) const;

  /// The character in the middle of a white square, in its own colours, or in `ink` where it has none. For
  /// several threads at once. Throws SampleError("no picture") where the font has no such character or cannot
  /// draw it, SampleError("blank picture") where it draws nothing.
  Image draw(char32_t character, Colour ink) const;

 private:
  struct Face;
  std::unique_ptr<Face> face_;
};

}  // namespace cuclip
