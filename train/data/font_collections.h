// Collections of pictures that are the characters of a font.
#pragma once

#include <filesystem>
#include <string>

#include "train/data/collections.h"

namespace cuclip {

enum class FontNames { cldr, css };  // where the characters' names are

struct FontCollection {
  const char* name;
  const char* font;   // below the collection's folder
  const char* names;  // below the collection's folder
  FontNames kind;
  bool in_colour;       // its characters have colours of their own
  const char* keyword;  // of every picture, or ""
};

inline constexpr FontCollection kNotoEmoji{.name = "noto-emoji",
                                           .font = "fonts/truetype/noto/NotoColorEmoji.ttf",
                                           .names = "unicode/cldr/common/annotations/en.xml",
                                           .kind = FontNames::cldr,
                                           .in_colour = true,
                                           .keyword = ""};
inline constexpr FontCollection kSymbola{.name = "symbola",
                                         .font = "fonts/truetype/ancient-scripts/Symbola_hint.ttf",
                                         .names = "unicode/cldr/common/annotations/en.xml",
                                         .kind = FontNames::cldr,
                                         .in_colour = false,
                                         .keyword = ""};
inline constexpr FontCollection kMaterialIcons{
    .name = "material-icons",
    .font = "fonts/truetype/materialdesignicons-webfont/materialdesignicons-webfont.ttf",
    .names = "fonts-materialdesignicons-webfont/css/materialdesignicons.css",
    .kind = FontNames::css,
    .in_colour = false,
    .keyword = "icon"};
inline constexpr FontCollection kFontAwesome{.name = "font-awesome",
                                             .font = "fonts/truetype/font-awesome/fontawesome-webfont.ttf",
                                             .names = "fonts-font-awesome/css/font-awesome.css",
                                             .kind = FontNames::css,
                                             .in_colour = false,
                                             .keyword = "icon"};

/// The characters that have a name and that the font has, one picture of each. Where the font has no colours,
/// two in five are black, and the others have one of ten colours, whose name precedes the character's: "red
/// bicycle"; which one depends on the picture's key alone. A character named after a colour is left out
/// there. Throws InputError where font or names cannot be used.
RawPairs list_font(const std::filesystem::path& folder, const FontCollection& collection);

}  // namespace cuclip
