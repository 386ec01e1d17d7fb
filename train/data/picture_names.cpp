#include "train/data/picture_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>
#include <set>

#include "kernels/common/check.h"
#include "models/text/unicode.h"
#include "train/data/caption_words.h"
#include "train/data/captions.h"

namespace cuclip {
namespace {

using Words = std::vector<std::string>;

Words split(std::string_view text, char separator) {
  Words parts = split_parts(text, separator);
  for (std::string& part : parts) part = normalise_caption(part).text;
  return parts;
}

// Technical signs, shapes, dingbats, emoji; not the letters and digits in circles and squares, the arrows and
// the operators between them.
bool is_pictograph(char32_t c) {
  return (c >= 0x2300 && c < 0x2460) || (c >= 0x2580 && c < 0x27C0) || (c >= 0x2B00 && c < 0x2C00) ||
         (c >= 0x1F000 && c < 0x1F100) || c >= 0x1F300;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// "a", "regional indicator symbol letter a", "keycap digit one"
bool is_letter_or_digit(const std::string& name) {
  const Words words = folded_words(name);
  return std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return word == "keycap" || word == "letter" || word == "digit" || word == "ideograph";
  });
}

}  // namespace

std::vector<PictureName> names_from_cldr(const std::string& xml, const std::string& file) {
  pugi::xml_document document;
  const pugi::xml_parse_result parsed = document.load_buffer(xml.data(), xml.size());
  CUCLIP_CHECK(parsed, "{}: not XML: {} at byte {}", file, parsed.description(), parsed.offset);
  const pugi::xml_node root = document.child("ldml");
  const std::string language = root.child("identity").child("language").attribute("type").value();
  CUCLIP_CHECK(language == "en",
               "{}: expected CLDR's annotations in English (<language type=\"en\"/>), found \"{}\"", file,
               language);
  std::vector<PictureName> names;
  std::map<char32_t, size_t> index;
  for (const pugi::xml_node& annotation : root.child("annotations").children("annotation")) {
    const std::u32string characters = decode_utf8(annotation.attribute("cp").value());
    if (characters.size() != 1 || !is_pictograph(characters[0])) continue;
    const auto [found, is_new] = index.emplace(characters[0], names.size());
    if (is_new) {
      PictureName& name = names.emplace_back();
      name.character = characters[0];
      name.id = fmt::format("{:x}", static_cast<uint32_t>(characters[0]));
    }
    PictureName& name = names[found->second];
    if (std::string_view(annotation.attribute("type").value()) == "tts") {
      name.name = normalise_caption(annotation.text().get()).text;
    } else {
      name.keywords = split(annotation.text().get(), '|');
    }
  }
  std::erase_if(
      names, [](const PictureName& name) { return name.name.empty() || contains(name.name, "skin tone"); });
  CUCLIP_CHECK(!names.empty(),
               "{}: expected <annotation cp=\"...\" type=\"tts\"> with names of pictographs, found none",
               file);
  return names;
}

namespace {

// "checkbox-blank-circle-outline" -> "checkbox blank circle"; nothing where the icon is crossed out.
std::string icon_name(std::string id) {
  static const std::set<std::string> kHowDrawn = {"alt", "o", "outline", "outlined", "variant"};
  std::replace(id.begin(), id.end(), '_', '-');
  Words words = split(id, '-');
  if (std::find(words.begin(), words.end(), "off") != words.end()) return "";
  std::erase_if(words, [](const std::string& word) {
    return word.empty() || kHowDrawn.contains(word) || is_digits(word);
  });
  return fmt::format("{}", fmt::join(words, " "));
}

// The ids in ".fa-remove:before, .fa-close:before": what is between the prefix and the colon.
Words icon_ids(std::string_view selectors, std::string_view prefix) {
  Words ids;
  for (const std::string& selector : split(selectors, ',')) {
    const size_t colon = selector.find(':');
    if (selector.compare(0, prefix.size(), prefix) != 0 || colon == std::string::npos ||
        colon <= prefix.size())
      continue;
    ids.push_back(selector.substr(prefix.size(), colon - prefix.size()));
  }
  return ids;
}

// "content: \"\\F0A3\"" -> 0xF0A3, 0 for other declarations.
char32_t content_of(std::string_view declarations) {
  const size_t content = declarations.find("content:");
  if (content == std::string_view::npos) return 0;
  const size_t start = declarations.find_first_not_of(" \t\r\n", content + 8);
  if (start == std::string_view::npos || (declarations[start] != '"' && declarations[start] != '\''))
    return 0;
  if (start + 1 >= declarations.size() || declarations[start + 1] != '\\') return 0;
  const std::string digits(declarations.substr(start + 2, 6));
  char* end = nullptr;
  const unsigned long code = std::strtoul(digits.c_str(), &end, 16);
  return end != digits.c_str() && *end == declarations[start] && code <= 0x10FFFF
             ? static_cast<char32_t>(code)
             : 0;
}

// Unicode's old names say "black" for filled and "white" for hollow, whatever colours a picture has.
std::string without_fill(const std::string& name) {
  static const std::set<std::string> kFills = {"black", "heavy", "white"};
  Words words = split(name, ' ');
  std::erase_if(words, [](const std::string& word) { return kFills.contains(word); });
  return fmt::format("{}", fmt::join(words, " "));
}

// What EmojiOne's keywords say of moods and company, not of the picture.
bool is_useless_keyword(const std::string& keyword) {
  static const std::set<std::string> keywords = {
      "blue-square", "boys night", "diversity", "girls night", "hipster", "penis", "sex", "sexy", "vagina"};
  return keywords.contains(keyword);
}

}  // namespace

std::vector<PictureName> names_from_css(const std::string& css, const std::string& file,
                                        std::string_view prefix) {
  std::vector<PictureName> names;
  bool any = false;
  const std::string_view text = css;
  for (size_t at = 0; at < text.size();) {
    const size_t open = text.find('{', at), close = text.find('}', at);
    if (close == std::string_view::npos) break;
    if (open < close) {
      const Words ids = icon_ids(text.substr(at, open - at), prefix);
      const char32_t character = content_of(text.substr(open + 1, close - open - 1));
      if (!ids.empty() && character != 0) {
        any = true;
        PictureName name{.id = ids[0], .character = character, .name = icon_name(ids[0]), .keywords = {}};
        for (size_t i = 1; i < ids.size(); ++i) name.keywords.push_back(icon_name(ids[i]));
        if (!name.name.empty()) names.push_back(std::move(name));
      }
    }
    at = close + 1;
  }
  CUCLIP_CHECK(any, "{}: expected rules such as {}bike:before {{ content: \"\\F0A3\"; }}, found none", file,
               prefix);
  return names;
}

std::vector<PictureName> names_from_gemojione(const std::string& json, const std::string& file) {
  const nlohmann::json document = nlohmann::json::parse(json, nullptr, false);
  CUCLIP_CHECK(document.is_object(), "{}: expected a JSON object of pictures, found {}", file,
               document.is_discarded() ? "what is not JSON" : document.type_name());
  std::vector<PictureName> names;
  for (const auto& [key, entry] : document.items()) {
    const auto text = [&, &key = key, &entry = entry](const char* member) {
      CUCLIP_CHECK(entry.is_object() && entry.contains(member) && entry[member].is_string(),
                   "{}: expected a string \"{}\" of \"{}\"", file, member, key);
      return entry[member].get<std::string>();
    };
    const std::string category = text("category");
    PictureName name{
        .id = text("unicode"), .character = 0, .name = without_fill(text("name")), .keywords = {}};
    if (category == "modifier" || contains(key, "_tone") || is_letter_or_digit(name.name)) continue;
    if (category == "flags") name.name = "flag of " + name.name;
    for (const nlohmann::json& keyword : entry.value("keywords", nlohmann::json::array())) {
      if (keyword.is_string() && !is_useless_keyword(keyword.get<std::string>()))
        name.keywords.push_back(keyword.get<std::string>());
    }
    names.push_back(std::move(name));
  }
  CUCLIP_CHECK(!names.empty(), "{}: expected an object of pictures, found none", file);
  return names;
}

}  // namespace cuclip
