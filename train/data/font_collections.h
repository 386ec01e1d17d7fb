// Collections of pictures that are the characters of a font.
#pragma once

#include <filesystem>
#include <string>

#include "train/data/collections.h"

namespace cuclip {

/// In which colours a font's characters are drawn: their own, which they must have; black for two in five
/// and one of ten colours for the others; or three pictures of each, black and in two of the colours, so that
/// what a colour's name means shows. Which colours depends on the picture's key alone. Their names come
/// before the character's: "red bicycle".
enum class Inks { own, one, three };

struct FontCollection {
  const char* name;
  const char* font;        // below the collection's folder
  const char* names;       // below the collection's folder
  const char* css_prefix;  // of the icons in a style sheet; "" where the names are CLDR's
  Inks inks;
};

inline constexpr FontCollection kNotoEmoji{.name = "noto-emoji",
                                           .font = "fonts/truetype/noto/NotoColorEmoji.ttf",
                                           .names = "unicode/cldr/common/annotations/en.xml",
                                           .css_prefix = "",
                                           .inks = Inks::own};
inline constexpr FontCollection kSymbola{.name = "symbola",
                                         .font = "fonts/truetype/ancient-scripts/Symbola_hint.ttf",
                                         .names = "unicode/cldr/common/annotations/en.xml",
                                         .css_prefix = "",
                                         .inks = Inks::three};
inline constexpr FontCollection kNotoSymbols{.name = "noto-symbols",
                                             .font = "fonts/truetype/noto/NotoSansSymbols2-Regular.ttf",
                                             .names = "unicode/cldr/common/annotations/en.xml",
                                             .css_prefix = "",
                                             .inks = Inks::three};
inline constexpr FontCollection kGoogleIcons{
    .name = "google-icons",
    .font = "fonts/truetype/material-design-icons-iconfont/MaterialIcons-Regular.ttf",
    .names = "fonts-material-design-icons-iconfont/css/material-design-icons.css",
    .css_prefix = ".material-icons.",
    .inks = Inks::one};
inline constexpr FontCollection kMaterialIcons{
    .name = "material-icons",
    .font = "fonts/truetype/materialdesignicons-webfont/materialdesignicons-webfont.ttf",
    .names = "fonts-materialdesignicons-webfont/css/materialdesignicons.css",
    .css_prefix = ".mdi-",
    .inks = Inks::one};
inline constexpr FontCollection kFontAwesome{.name = "font-awesome",
                                             .font = "fonts/truetype/font-awesome/fontawesome-webfont.ttf",
                                             .names = "fonts-font-awesome/css/font-awesome.css",
                                             .css_prefix = ".fa-",
                                             .inks = Inks::one};

/// The characters that have a name and that the font has; those named by a style sheet have the keyword
/// "icon". Where the font has no colours of its own, characters named after a colour are left out. Throws
/// InputError where font or names cannot be used.
RawPairs list_font(const std::filesystem::path& folder, const FontCollection& collection);

}  // namespace cuclip
