#include "models/text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

namespace cuclip {
namespace {

utf8proc_int32_t raw(char32_t c) { return static_cast<utf8proc_int32_t>(c); }
uint8_t byte_at(std::string_view text, size_t i) { return static_cast<uint8_t>(text[i]); }

// What a lead byte promises: how many continuation bytes, and the range of the first of them (Unicode 15,
// table 3-7: the narrowed ranges keep out over-long forms, surrogates and values beyond U+10FFFF).
struct Lead {
  int continuations;
  uint8_t low;
  uint8_t high;
};

Lead classify_lead(uint8_t byte) {
  if (byte >= 0xC2 && byte <= 0xDF) return {1, 0x80, 0xBF};
  if (byte >= 0xE0 && byte <= 0xEF) {
    return {2, static_cast<uint8_t>(byte == 0xE0 ? 0xA0 : 0x80),
            static_cast<uint8_t>(byte == 0xED ? 0x9F : 0xBF)};
  }
  if (byte >= 0xF0 && byte <= 0xF4) {
    return {3, static_cast<uint8_t>(byte == 0xF0 ? 0x90 : 0x80),
            static_cast<uint8_t>(byte == 0xF4 ? 0x8F : 0xBF)};
  }
  return {0, 0, 0};
}

bool is_case_ignorable(char32_t c) {
  // Word_Break = MidLetter, MidNumLet or Single_Quote; utf8proc has no such property.
  static constexpr std::array<char32_t, 17> kInsideWords = {0x27,   0x2E,   0x3A,   0xB7,   0x387,  0x55F,
                                                            0x5F4,  0x2018, 0x2019, 0x2024, 0x2027, 0xFE13,
                                                            0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
  switch (utf8proc_category(raw(c))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return std::find(kInsideWords.begin(), kInsideWords.end(), c) != kInsideWords.end();
  }
}

bool is_cased(char32_t c) {
  return utf8proc_islower(raw(c)) || utf8proc_isupper(raw(c)) ||
         utf8proc_category(raw(c)) == UTF8PROC_CATEGORY_LT;
}

// A letter before, none after, where characters such as accents and apostrophes are looked through.
bool is_final_sigma(std::u32string_view text, size_t at) {
  size_t before = at;
  while (before > 0 && is_case_ignorable(text[before - 1])) --before;
  if (before == 0 || !is_cased(text[before - 1])) return false;
  size_t after = at + 1;
  while (after < text.size() && is_case_ignorable(text[after])) ++after;
  return after == text.size() || !is_cased(text[after]);
}

using Codepoints = std::vector<utf8proc_int32_t>;

void append_decomposed(Codepoints& out, char32_t c, int options) {
  std::array<utf8proc_int32_t, 32> buffer;  // the longest decomposition in Unicode has 18 characters
  int last_class = UTF8PROC_BOUNDCLASS_START;
  const auto n = utf8proc_decompose_char(raw(c), buffer.data(), static_cast<utf8proc_ssize_t>(buffer.size()),
                                         static_cast<utf8proc_option_t>(options), &last_class);
  if (n < 0 || n > static_cast<utf8proc_ssize_t>(buffer.size())) {
    out.push_back(raw(c));
    return;
  }
  out.insert(out.end(), buffer.begin(), buffer.begin() + n);
}

int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

// The canonical order. utf8proc_decompose sorts by exchanging neighbours, quadratic in a long run of marks.
void order_marks(Codepoints& text) {
  auto begin = text.begin();
  while (begin != text.end()) {
    if (combining_class(*begin) == 0) {
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, text.end(), [](auto c) { return combining_class(c) == 0; });
    std::stable_sort(begin, end, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
}

std::u32string compose(Codepoints text) {
  order_marks(text);
  const auto n = utf8proc_normalize_utf32(text.data(), static_cast<utf8proc_ssize_t>(text.size()),
                                          static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  return std::u32string(text.begin(), text.begin() + std::max<utf8proc_ssize_t>(n, 0));
}

}  // namespace

std::u32string decode_utf8(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  size_t i = 0;
  while (i < text.size()) {
    const uint8_t first = byte_at(text, i++);
    if (first < 0x80) {
      out.push_back(first);
      continue;
    }
    Lead lead = classify_lead(first);
    if (lead.continuations == 0) {
      out.push_back(kReplacementCharacter);
      continue;
    }
    char32_t value = first & (0x3F >> lead.continuations);
    int left = lead.continuations;
    for (; left > 0 && i < text.size(); --left, ++i) {
      const uint8_t next = byte_at(text, i);
      if (next < lead.low || next > lead.high) break;
      value = value << 6 | (next & 0x3F);
      lead.low = 0x80;
      lead.high = 0xBF;
    }
    out.push_back(left == 0 ? value : kReplacementCharacter);
  }
  return out;
}

void append_utf8(std::string& out, char32_t c) {
  if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) c = kReplacementCharacter;
  const auto tail = [&](int shift) { out.push_back(static_cast<char>(0x80 | (c >> shift & 0x3F))); };
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xC0 | c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | c >> 12));
    tail(6), tail(0);
  } else {
    out.push_back(static_cast<char>(0xF0 | c >> 18));
    tail(12), tail(6), tail(0);
  }
}

std::string encode_utf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char32_t c : text) append_utf8(out, c);
  return out;
}

bool is_letter(char32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  const auto category = utf8proc_category(raw(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_number(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto category = utf8proc_category(raw(c));
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool is_digit(char32_t c) { return utf8proc_category(raw(c)) == UTF8PROC_CATEGORY_ND; }

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::u32string to_lower(std::u32string_view text) {
  constexpr char32_t kCapitalSigma = 0x3A3, kSigma = 0x3C3, kFinalSigma = 0x3C2;
  constexpr char32_t kCapitalDottedI = 0x130, kDotAbove = 0x307;
  std::u32string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (c < 0x80) {
      out.push_back(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    } else if (c == kCapitalSigma) {
      out.push_back(is_final_sigma(text, i) ? kFinalSigma : kSigma);
    } else if (c == kCapitalDottedI) {
      out.push_back('i');
      out.push_back(kDotAbove);
    } else {
      out.push_back(static_cast<char32_t>(utf8proc_tolower(raw(c))));
    }
  }
  return out;
}

std::u32string normalize_nfc(std::u32string_view text) {
  constexpr char32_t kFirstAffected = 0x300;  // everything before the combining marks is in NFC already
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < kFirstAffected; })) {
    return std::u32string(text);
  }
  Codepoints decomposed;
  decomposed.reserve(text.size());
  for (const char32_t c : text) append_decomposed(decomposed, c, UTF8PROC_DECOMPOSE | UTF8PROC_STABLE);
  return compose(std::move(decomposed));
}

std::u32string normalize_nfkc(char32_t c) {
  Codepoints decomposed;
  append_decomposed(decomposed, c, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_STABLE);
  return compose(std::move(decomposed));
}

}  // namespace cuclip
