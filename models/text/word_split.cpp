#include "models/text/word_split.h"

#include <algorithm>
#include <initializer_list>

#include "models/text/unicode.h"

namespace cuclip {
namespace {

// Equal but for case, as regular expressions ignore it: the long s is an s. (No other character beyond ASCII
// folds to a letter of these words, the Kelvin sign being no k after lower-casing.)
bool starts_with_ignoring_case(std::u32string_view text, std::u32string_view word) {
  constexpr char32_t kLongS = 0x17F;
  if (text.size() < word.size()) return false;
  return std::equal(word.begin(), word.end(), text.begin(), [](char32_t w, char32_t c) {
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
    return c == w || (w == 's' && c == kLongS);
  });
}

size_t fixed_word(std::u32string_view text) {
  if (text[0] == '<') {
    for (const auto word : {kStartOfTextWord, kEndOfTextWord}) {
      if (starts_with_ignoring_case(text, word)) return word.size();
    }
  } else if (text[0] == '\'') {
    for (const std::u32string_view ending : {U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"}) {
      if (starts_with_ignoring_case(text, ending)) return ending.size();
    }
  }
  return 0;
}

enum class Kind { letter, number, other, none };

Kind kind_of(char32_t c) {
  // A mark whose capital is a letter. The regex module, ignoring case, counts it neither as a letter nor as
  // another character, so CLIP's tokeniser skips it.
  constexpr char32_t kIotaSubscript = 0x345;
  if (is_letter(c)) return Kind::letter;
  if (is_number(c)) return Kind::number;
  return is_space(c) || c == kIotaSubscript ? Kind::none : Kind::other;
}

}  // namespace

std::vector<std::u32string_view> split_words(std::u32string_view text) {
  std::vector<std::u32string_view> words;
  while (!text.empty()) {
    const Kind kind = kind_of(text[0]);
    size_t length = fixed_word(text);
    if (length == 0) {
      length = 1;
      if (kind == Kind::letter || kind == Kind::other) {
        while (length < text.size() && kind_of(text[length]) == kind) ++length;
      }
    }
    if (kind != Kind::none) words.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return words;
}

}  // namespace cuclip
