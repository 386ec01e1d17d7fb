// Names and keywords of pictures that come in a list apart from the pictures.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cuclip {

struct PictureName {
  std::string id;          // what the picture goes by in its collection: "1f6b2", "bike"
  char32_t character = 0;  // of a font; 0 where the picture is a file
  std::string name;        // "bicycle"
  std::vector<std::string> keywords;
};

/// The annotations of CLDR (common/annotations/en.xml): names of pictographs and emoji of a single code
/// point, in its order; not those of letters, punctuation, arrows and operators, and not the modifiers for
/// skin. `file` is for messages. Throws InputError for what is not such a file, and for another language than
/// English.
std::vector<PictureName> names_from_cldr(const std::string& xml, const std::string& file);

/// The style sheet of a font of icons: with the prefix ".mdi-", `.mdi-bike:before { content: "\F0A3"; }` is
/// the icon "bike". Several names of an icon give its name and keywords. What only says how an icon is drawn
/// ("outline", "variant", a trailing "o") is left out of its name; icons that are crossed out ("-off") are
/// left out. Throws InputError where there is no such rule.
std::vector<PictureName> names_from_css(const std::string& css, const std::string& file,
                                        std::string_view prefix);

/// EmojiOne's index.json, as the Ruby gem gemojione has it: {"bike": {"unicode": "1F6B2", "name": "bicycle",
/// "category": "travel", "keywords": ["bike", ...]}, ...}; `id` is "unicode". Left out are variants of the
/// skin's colour, and letters and digits. Throws InputError for anything else.
std::vector<PictureName> names_from_gemojione(const std::string& json, const std::string& file);

}  // namespace cuclip
