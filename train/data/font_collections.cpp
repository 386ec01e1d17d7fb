#include "train/data/font_collections.h"

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

constexpr std::array<Ink, 10> kInks{{{"red", {220, 30, 30}},
                                     {"orange", {245, 130, 20}},
                                     {"yellow", {240, 205, 20}},
                                     {"green", {30, 150, 50}},
                                     {"blue", {30, 80, 210}},
                                     {"purple", {125, 45, 165}},
                                     {"pink", {245, 120, 175}},
                                     {"brown", {125, 75, 35}},
                                     {"grey", {130, 130, 130}},
                                     {"turquoise", {35, 185, 180}}}};

Ink ink_of(const std::string& key) {
  const uint64_t hash = XXH64(key.data(), key.size(), 0);
  if (hash % 10 < 4) return {.name = "", .colour = {0, 0, 0}};
  return kInks[(hash / 10) % kInks.size()];
}

bool names_colour(const std::string& text) {
  const std::vector<std::string> words = folded_words(text);
  return std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return word == "black" || word == "white" ||
           std::any_of(kInks.begin(), kInks.end(), [&](const Ink& ink) { return word == ink.name; });
  });
}

std::vector<PictureName> read_names(const std::filesystem::path& file, FontNames kind) {
  const std::string text = read_file(file);
  return kind == FontNames::cldr ? names_from_cldr(text, file.string()) : names_from_css(text, file.string());
}

}  // namespace

RawPairs list_font(const std::filesystem::path& folder, const FontCollection& collection) {
  RawPairs result;
  const auto font = std::make_shared<const GlyphFont>(folder / collection.font, collection.in_colour);
  for (const PictureName& name : read_names(folder / collection.names, collection.kind)) {
    RawPair pair;
    pair.key = std::string(collection.name) + "/" + name.id;
    if (!font->has(name.character)) {
      result.bad.add("no picture", pair.key);
      continue;
    }
    DrawingMetadata drawing{.path = {}, .title = name.name, .creator = {}, .keywords = name.keywords};
    Ink ink{.name = "", .colour = {0, 0, 0}};
    if (!collection.in_colour) {
      if (names_colour(name.name)) {
        result.bad.add("named after a colour", pair.key + ": " + name.name);
        continue;
      }
      std::erase_if(drawing.keywords, names_colour);
      ink = ink_of(pair.key);
      if (!ink.name.empty()) drawing.title = std::string(ink.name) + " " + name.name;
    }
    drawing.keywords.emplace_back(collection.keyword);
    pair.original = name.name;
    pair.captions = {normalise_caption(DrawingCaptioner({}).caption(drawing)).text};
    pair.drawing = true;
    pair.draw = [font, character = name.character, colour = ink.colour] {
      return font->draw(character, colour);
    };
    if (pair.captions[0].empty()) {
      result.bad.add("no caption", pair.key);
    } else {
      result.pairs.push_back(std::move(pair));
    }
  }
  return result;
}

}  // namespace cuclip
