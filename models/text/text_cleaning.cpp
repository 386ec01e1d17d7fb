#include "models/text/text_cleaning.h"

#include <algorithm>

#include "models/text/html_entities.h"
#include "models/text/mojibake.h"
#include "models/text/unicode.h"
#include "models/text/windows_1252.h"

namespace cuclip {
namespace {

// The letters of a Latin ligature or digraph; empty if c is not one.
std::u32string_view split_ligature(char32_t c) {
  static constexpr std::u32string_view kDigraphs[] = {
      // U+01C4 to U+01CC
      U"DŽ", U"Dž", U"dž", U"LJ", U"Lj", U"lj", U"NJ", U"Nj", U"nj"};
  static constexpr std::u32string_view kTypographic[] = {// U+FB00 to U+FB06
                                                         U"ff", U"fi", U"fl", U"ffi", U"ffl", U"ſt", U"st"};
  if (c >= 0x1C4 && c <= 0x1CC) return kDigraphs[c - 0x1C4];
  if (c >= 0xFB00 && c <= 0xFB06) return kTypographic[c - 0xFB00];
  switch (c) {
    case 0x132:
      return U"IJ";
    case 0x133:
      return U"ij";
    case 0x149:
      return U"'n";
    case 0x1F1:
      return U"DZ";
    case 0x1F2:
      return U"Dz";
    case 0x1F3:
      return U"dz";
    default:
      return {};
  }
}

char32_t straighten_quote(char32_t c) {
  if (c == 0x2BC || (c >= 0x2018 && c <= 0x201B)) return '\'';
  if (c >= 0x201C && c <= 0x201F) return '"';
  return c;
}

void append_plain_form(std::u32string& out, char32_t c) {
  if (c < 0x80) {
    out.push_back(c);
  } else if (c <= 0x9F) {  // C1 controls: what browsers show for them
    out.push_back(straighten_quote(kWindows1252High[c - 0x80]));
  } else if (c == 0x3000) {
    out.push_back(' ');
  } else if (c >= 0xFF01 && c <= 0xFFEF) {  // half- and full-width forms
    out += normalize_nfkc(c);
  } else if (const auto letters = split_ligature(c); !letters.empty()) {
    out += letters;
  } else {
    out.push_back(straighten_quote(c));
  }
}

// The length of a terminal escape such as "\x1B[1;31m" at the start of text, or 0.
size_t terminal_escape(std::u32string_view text) {
  if (text.size() < 3 || text[0] != 0x1B || text[1] != '[') return 0;
  size_t end = 2;
  while (end < text.size() && (text[end] == ';' || is_digit(text[end]))) ++end;
  return end < text.size() && text[end] < 0x80 && is_letter(text[end]) ? end + 1 : 0;
}

// Controls without an effect on the text. Joiners and direction marks stay: scripts and emoji need them.
bool is_useless_control(char32_t c) {
  if (c < 0x20) return c != '\t' && c != '\n' && c != '\f' && c != '\r';
  return c == 0x7F || (c >= 0x206A && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFC);
}

std::u32string drop_controls(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t escape = terminal_escape(text.substr(i));
    if (escape == 0 && !is_useless_control(text[i])) out.push_back(text[i]);
    i += std::max<size_t>(escape, 1);
  }
  return out;
}

std::u32string fix_line(std::u32string_view line, bool unescape) {
  constexpr int kMaxPasses = 32;
  std::u32string text(line);
  for (int pass = 0; pass < kMaxPasses; ++pass) {
    std::u32string next = fix_mojibake(unescape ? unescape_html_strict(text) : text);
    std::u32string plain;
    plain.reserve(next.size());
    for (const char32_t c : next) append_plain_form(plain, c);
    next = normalize_nfc(drop_controls(plain));
    if (next == text) break;
    text = std::move(next);
  }
  return text;
}

std::u32string collapse_spaces(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (const char32_t c : text) {
    if (!is_space(c)) {
      out.push_back(c);
    } else if (!out.empty() && out.back() != ' ') {
      out.push_back(' ');
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

// Nearly all captions: nothing to repair or to unescape.
bool is_plain_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~' && c != '&'; });
}

}  // namespace

std::u32string fix_text(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  bool unescape = true;
  while (!text.empty()) {
    const size_t line_feed = text.find(U'\n');
    const size_t length = line_feed == std::u32string_view::npos ? text.size() : line_feed + 1;
    const std::u32string_view line = text.substr(0, length);
    // A "<" says that this is HTML itself; its references then stay, in the lines after it too.
    if (line.find(U'<') != std::u32string_view::npos) unescape = false;
    out += fix_line(line, unescape);
    text.remove_prefix(length);
  }
  return out;
}

std::u32string clean_caption_utf32(std::string_view text) {
  if (is_plain_ascii(text)) return to_lower(collapse_spaces(std::u32string(text.begin(), text.end())));
  const std::u32string fixed = fix_text(decode_utf8(text));
  return to_lower(collapse_spaces(unescape_html(unescape_html(fixed))));
}

std::string clean_caption(std::string_view text) { return encode_utf8(clean_caption_utf32(text)); }

}  // namespace cuclip
