#include "train/data/drawing_captions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <optional>
#include <set>
#include <string_view>

#include "models/text/english.h"
#include "train/data/caption_words.h"

namespace cuclip {
namespace {

using Words = std::vector<std::string>;

bool contains(const Words& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// "a|b c|d" -> {"a", "b c", "d"}
std::set<std::string> set_of(std::string_view list) {
  std::set<std::string> words;
  for (size_t end; !list.empty(); list.remove_prefix(std::min(end + 1, list.size()))) {
    end = std::min(list.find('|'), list.size());
    words.emplace(list.substr(0, end));
  }
  return words;
}

// Keywords, as caption_key() has them, that say nothing about the picture: how it was filed, whose collection
// it is in.
bool is_useless_keyword(const std::string& key) {
  static const std::set<std::string> keys = set_of(
      "action|application|clip art|clipart|desktop|entertainment|etiquette theme|filesystem|flat "
      "theme|geometry|hash|"
      "lemon theme|lemon theme icon|magick|menu|mime "
      "type|mimetype|misc|miscellany|musicstuff|office|openclipart|outline|"
      "r|recreation|religholiday|remix|sign and symbol|simple|special|stock|study|theme|"
      "united nation member|unsorted|various|webpage|work");
  return keys.count(key) > 0;
}

// Keywords in a spelling that nobody would search for.
std::string respelled(const std::string& keyword) {
  static const std::map<std::string, std::string> words = {{"appicon", "icon"},
                                                           {"arrowshape", "arrow"},
                                                           {"bodypart", "body part"},
                                                           {"bullethole", "bullet hole"},
                                                           {"icecream", "ice cream"},
                                                           {"icons", "icon"},
                                                           {"mapsym", "map symbol"},
                                                           {"mimeicon", "icon"},
                                                           {"networksym", "network symbol"},
                                                           {"roadsign", "road sign"},
                                                           {"signalflag", "signal flag"},
                                                           {"stickmen", "stick figure"},
                                                           {"unitedstates", "united states"},
                                                           {"weathersym", "weather"}};
  const auto found = words.find(keyword);
  return found == words.end() ? keyword : found->second;
}

// File names of icon themes begin with where the icon is used.
bool is_prefix_of_icons(const std::string& word) {
  static const std::set<std::string> words = set_of("aiga|application|bb|dev|fs|gnome|mime|plastik|stock");
  return words.count(word) > 0;
}

bool is_hexadecimal(std::string_view word) { return word.size() > 4 && word.substr(0, 2) == "0x"; }

// "a", "01", "3b", "v2": numbers the drawings of a series.
bool is_serial(const std::string& word) {
  const auto digits =
      std::count_if(word.begin(), word.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
  return word.size() == 1 || (digits > 0 && std::ssize(word) - digits <= 1);
}

// Whether a (perhaps cut) word of a file name belongs to the author's name.
bool is_author(const std::string& word, const Words& author) {
  return std::any_of(author.begin(), author.end(), [&](const std::string& name) {
    return word.size() >= 2 && name.compare(0, word.size(), word) == 0;
  });
}

Words lower_words(std::string_view text) {
  Words words = caption_words(text);
  for (std::string& word : words) word = lower_utf8(word);
  return words;
}

std::string join(const Words& words, std::string_view separator = " ") {
  return fmt::format("{}", fmt::join(words, separator));
}

// Words separated by single spaces, without addresses.
std::string without_addresses(std::string_view text) {
  Words kept;
  std::string word;
  auto finish = [&] {
    const bool address = word.find('@') != std::string::npos || word.find("://") != std::string::npos ||
                         word.compare(0, 4, "www.") == 0;
    if (!word.empty() && !address) kept.push_back(word);
    word.clear();
  };
  for (char c : text) {
    if (c == '_' || std::isspace(static_cast<unsigned char>(c)) != 0) {
      finish();
    } else {
      word += c;
    }
  }
  finish();
  return join(kept);
}

std::string trimmed(std::string text) {
  constexpr std::string_view kPunctuation = " -.,;:#";
  const size_t first = text.find_first_not_of(kPunctuation);
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(kPunctuation) - first + 1);
}

// Replaces every "(B and W)", "B & W", "b&w" and "bw" that stands alone.
std::string spell_black_and_white(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    static constexpr std::array<std::string_view, 7> kForms = {"(b and w)", "b and w", "(b & w)", "b & w",
                                                               "(b&w)",     "b&w",     "bw"};
    const bool starts = i == 0 || std::isalnum(static_cast<unsigned char>(text[i - 1])) == 0;
    std::optional<size_t> length;
    for (std::string_view form : kForms) {
      const size_t end = i + form.size();
      const bool ends = end >= text.size() || std::isalnum(static_cast<unsigned char>(text[end])) == 0;
      if (starts && ends && lower_utf8(text.substr(i, form.size())) == form) length = form.size();
      if (length) break;
    }
    out += length ? std::string("black and white") : std::string(1, text[i]);
    i += length.value_or(1);
  }
  return out;
}

// "House by Jane Doe" -> "House", where Jane Doe drew it.
std::string without_author(const std::string& text, const Words& author) {
  const std::string lower = lower_utf8(text);
  const size_t by = lower.rfind(" by ");
  if (by == std::string::npos) return text;
  const Words after = lower_words(std::string_view(lower).substr(by + 4));
  return !after.empty() && contains(author, after[0]) ? text.substr(0, by) : text;
}

// "boat1", "Penny 02", "orange simple 3" without their numbers.
std::string without_serial(const std::string& text) {
  std::string out = text;
  while (!out.empty() && (std::isdigit(static_cast<unsigned char>(out.back())) != 0 || out.back() == ' ' ||
                          out.back() == '#')) {
    out.pop_back();
  }
  return out;
}

std::string clean_title(const DrawingMetadata& drawing) {
  const std::string lower = lower_utf8(drawing.title);
  if (lower.compare(0, 10, "clipart by") == 0) return "";
  std::string title = spell_black_and_white(without_addresses(drawing.title));
  title = without_author(title, lower_words(drawing.creator));
  return trimmed(without_serial(split_camel_case(title)));
}

}  // namespace

Words file_name_words(const std::string& path, const std::string& creator) {
  const Words author = lower_words(without_accents(creator));
  Words parts(1);
  for (char c : split_camel_case(std::filesystem::path(path).filename().string())) {
    if (c == '_' || c == '-' || c == '.' || c == ' ') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  for (std::string& part : parts) part = lower_utf8(part);
  // "clipart_by_nicu_buculei_-_baloon1_04_01": from a time when the title was the file's name.
  if (parts.size() > 1 && parts[0] == "clipart" && parts[1] == "by") return {};
  auto at_end = [&](const std::string& part) {
    return part.empty() || is_serial(part) || is_author(part, author);
  };
  while (!parts.empty() && at_end(parts.back())) parts.pop_back();
  Words words;
  for (const std::string& part : parts) {
    const std::string word = without_serial(part);
    if (word == "bw") {
      words.insert(words.end(), {"black", "and", "white"});
    } else if (!word.empty() && !is_serial(part) && !is_author(word, author) && !is_prefix_of_icons(word)) {
      words.push_back(word);
    }
  }
  return words;
}

DrawingCaptioner::DrawingCaptioner(const std::vector<DrawingMetadata>& collection) {
  for (const DrawingMetadata& drawing : collection) {
    ++titles_[lower_utf8(drawing.title)];
  }
}

std::string DrawingCaptioner::subject(const DrawingMetadata& drawing) const {
  const std::string title = clean_title(drawing);
  const Words file = file_name_words(drawing.path, drawing.creator);
  // "sm_007": an abbreviation says less than any title.
  const bool telling =
      std::any_of(file.begin(), file.end(), [](const std::string& word) { return word.size() > 2; });
  if (!telling && !title.empty()) return title;
  if (title.empty()) return join(file);
  const auto count = titles_.find(lower_utf8(drawing.title));
  if (count == titles_.end() || count->second < kShared) return title;
  // The title of a series: its file names, unless they only repeat the title.
  const Words title_words = folded_words(title);
  const bool repeats = std::all_of(file.begin(), file.end(), [&](const std::string& word) {
    return contains(title_words, fold_word(word));
  });
  return repeats ? title : join(file);
}

Words DrawingCaptioner::keywords(const DrawingMetadata& drawing, const std::string& subject) const {
  Words said = folded_words(subject);
  const std::string creator = lower_utf8(drawing.creator);
  Words kept, raw_keywords = drawing.keywords;
  // The folder serves where there are no keywords: "buildings/furniture/table_01".
  raw_keywords.push_back(caption_key(std::filesystem::path(drawing.path).parent_path().filename().string()));
  for (size_t i = 0; i < raw_keywords.size(); ++i) {
    const bool folder = i == drawing.keywords.size();
    if (folder && !kept.empty()) break;
    std::string keyword = lower_utf8(raw_keywords[i]);
    std::replace(keyword.begin(), keyword.end(), '_', ' ');
    std::replace(keyword.begin(), keyword.end(), '-', ' ');
    keyword = trimmed(keyword);
    keyword = respelled(keyword);
    const Words words = folded_words(keyword);
    const bool empty = words.empty() || std::all_of(words.begin(), words.end(), is_digits);
    const bool noise = keyword.compare(0, 5, "hash(") == 0 || is_hexadecimal(keyword) ||
                       is_useless_keyword(caption_key(keyword)) || creator.find(keyword) != std::string::npos;
    const bool new_words = std::any_of(words.begin(), words.end(),
                                       [&](const std::string& word) { return !contains(said, word); });
    if (empty || noise || !new_words || kept.size() == kMaxKeywords) continue;
    said.insert(said.end(), words.begin(), words.end());
    kept.push_back(keyword);
  }
  return kept;
}

std::string DrawingCaptioner::caption(const DrawingMetadata& drawing) const {
  const std::string what = subject(drawing);
  Words parts = keywords(drawing, what);
  if (!what.empty()) parts.insert(parts.begin(), what);
  return join(parts, ", ");
}

}  // namespace cuclip
