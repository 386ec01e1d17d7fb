#include "train/data/caption_words.h"

#include <algorithm>
#include <cctype>

#include "models/text/english.h"

namespace cuclip {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || (c & 0x80) != 0; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower(char c) { return is_letter(c) && !is_upper(c); }

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

std::vector<std::string> caption_words(std::string_view text) {
  std::vector<std::string> words;
  size_t i = 0;
  while (i < text.size()) {
    const size_t start = i;
    if (is_digit(text[i])) {
      while (i < text.size() && is_digit(text[i])) ++i;
    } else if (is_letter(text[i])) {
      auto apostrophe = [&] { return text[i] == '\'' && i + 1 < text.size() && is_letter(text[i + 1]); };
      while (i < text.size() && (is_letter(text[i]) || apostrophe())) ++i;
    } else {
      ++i;
      continue;
    }
    words.emplace_back(text.substr(start, i - start));
  }
  return words;
}

std::vector<std::string> split_parts(std::string_view text, char separator) {
  constexpr std::string_view kBlanks = " \t\r\n";
  std::vector<std::string> parts;
  while (true) {
    const size_t end = std::min(text.find(separator), text.size());
    const std::string_view part = text.substr(0, end);
    const size_t first = std::min(part.find_first_not_of(kBlanks), part.size());
    parts.emplace_back(part.substr(first, part.find_last_not_of(kBlanks) + 1 - first));
    if (end == text.size()) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string split_camel_case(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i > 0 && is_lower(text[i - 1]) && is_upper(text[i])) out += ' ';
    out += text[i];
  }
  return out;
}

bool is_digits(std::string_view word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), is_digit);
}

std::string fold_word(std::string_view word) {
  std::string folded = lower_utf8(word);
  if (folded.size() > 3 && ends_with(folded, "ies")) return folded.replace(folded.size() - 3, 3, "y");
  if (folded.size() > 3 && ends_with(folded, "s") && !ends_with(folded, "ss")) folded.pop_back();
  return folded;
}

std::vector<std::string> folded_words(std::string_view text) {
  std::vector<std::string> words = caption_words(text);
  for (std::string& word : words) word = fold_word(word);
  return words;
}

std::string caption_key(std::string_view caption, Numbers numbers) {
  std::string key;
  for (const std::string& word : folded_words(caption)) {
    if (numbers == Numbers::leave_out && is_digits(word)) continue;
    if (!key.empty()) key += ' ';
    key += word;
  }
  return key;
}

}  // namespace cuclip
