#include "train/data/font_collections.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include "core/file_io.h"
#include "train/data/caption_words.h"
#include "train/data/captions.h"
#include "train/data/drawing_captions.h"
#include "train/data/glyph_font.h"
#include "train/data/picture_names.h"

namespace cuclip {
namespace {

struct Ink {
  std::string_view name;  // in the caption; none for black, which is what everybody expects
  Colour colour;
};

// Those five apart are easily told from each other.
constexpr std::array<Ink, 10> kInks{{{"red", {220, 30, 30}},
                                     {"orange", {245, 130, 20}},
                                     {"yellow", {240, 205, 20}},
                                     {"pink", {245, 120, 175}},
                                     {"turquoise", {35, 185, 180}},
                                     {"blue", {30, 80, 210}},
                                     {"green", {30, 150, 50}},
                                     {"purple", {125, 45, 165}},
                                     {"brown", {125, 75, 35}},
                                     {"grey", {130, 130, 130}}}};
constexpr Ink kBlack{.name = "", .colour = {0, 0, 0}};

// What the character is drawn with, once with each.
std::vector<Ink> inks_of(const std::string& key, Inks inks) {
  const uint64_t hash = XXH64(key.data(), key.size(), 0);
  const Ink& first = kInks[hash / 10 % kInks.size()];
  const Ink& second = kInks[(hash / 10 + kInks.size() / 2) % kInks.size()];
  switch (inks) {
    case Inks::own:
      return {kBlack};
    case Inks::one:
      return {hash % 10 < 4 ? kBlack : first};
    case Inks::three:
      return {kBlack, first, second};
  }
  return {};
}

bool names_colour(const std::string& text) {
  const std::vector<std::string> words = folded_words(text);
  return std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return word == "black" || word == "white" ||
           std::any_of(kInks.begin(), kInks.end(), [&](const Ink& ink) { return word == ink.name; });
  });
}

std::vector<PictureName> read_names(const std::filesystem::path& file, std::string_view css_prefix) {
  const std::string text = read_file(file);
  return css_prefix.empty() ? names_from_cldr(text, file.string())
                            : names_from_css(text, file.string(), css_prefix);
}

}  // namespace

RawPairs list_font(const std::filesystem::path& folder, const FontCollection& collection) {
  RawPairs result;
  const bool in_colour = collection.inks == Inks::own;
  const bool is_icon = collection.css_prefix[0] != 0;
  const auto font = std::make_shared<const GlyphFont>(folder / collection.font, in_colour);
  for (PictureName& name : read_names(folder / collection.names, collection.css_prefix)) {
    const std::string key = std::string(collection.name) + "/" + name.id;
    if (!font->has(name.character)) {
      // CLDR names more than any one font has; a style sheet names what its font should have.
      if (is_icon) result.bad.add("no picture", key);
      continue;
    }
    if (!in_colour && names_colour(name.name)) {
      result.bad.add("named after a colour", key + ": " + name.name);
      continue;
    }
    if (!in_colour) std::erase_if(name.keywords, names_colour);
    const std::string icon_name = fmt::format("{} {}", name.name, fmt::join(name.keywords, " "));
    if (is_icon) name.keywords.emplace_back("icon");
    for (const Ink& ink : inks_of(key, collection.inks)) {
      const std::string of_colour = ink.name.empty() ? "" : std::string(ink.name) + " ";
      RawPair& pair = result.pairs.emplace_back();
      pair.key = ink.name.empty() || collection.inks == Inks::one ? key : key + "-" + std::string(ink.name);
      pair.original = name.name;
      if (is_icon) pair.icon_name = icon_name;
      pair.captions = {
          normalise_caption(
              DrawingCaptioner({}).caption(
                  {.path = {}, .title = of_colour + name.name, .creator = {}, .keywords = name.keywords}))
              .text};
      pair.drawing = true;
      pair.draw = [font, character = name.character, colour = ink.colour] {
        return font->draw(character, colour);
      };
    }
  }
  CUCLIP_CHECK(!result.pairs.empty(), "{}: {} has none of the characters that {} names", collection.name,
               (folder / collection.font).string(), (folder / collection.names).string());
  return result;
}

}  // namespace cuclip
