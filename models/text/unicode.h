// The little of Unicode that text needs here: UTF-8 in and out, character classes, lower case, NFC.
// Classes and mappings come from utf8proc (Unicode 15 in 2.8).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cuclip {

constexpr char32_t kReplacementCharacter = 0xFFFD;

/// Decodes UTF-8. Every maximal ill-formed part becomes one U+FFFD (Unicode 15, section 3.9, "U+FFFD
/// Substitution of Maximal Subparts"; what Python's errors="replace" does). Never fails.
std::u32string decode_utf8(std::string_view text);

/// Encodes; surrogates and values beyond U+10FFFF become U+FFFD.
std::string encode_utf8(std::u32string_view text);
void append_utf8(std::string& out, char32_t c);

bool is_letter(char32_t c);  ///< general category L*
bool is_number(char32_t c);  ///< general category N*
bool is_digit(char32_t c);   ///< general category Nd
/// White space as Python's str.isspace() has it: White_Space and the separators U+001C to U+001F.
bool is_space(char32_t c);

/// Full lower-casing without a language, as Python's str.lower(): U+0130 becomes two characters, and a
/// capital sigma at the end of a word becomes the final sigma (Unicode 15, section 3.13, Final_Sigma).
std::u32string to_lower(std::u32string_view text);

/// Normalization Form C, in O(n log n) whatever the text.
std::u32string normalize_nfc(std::u32string_view text);

/// Normalization Form KC of one character.
std::u32string normalize_nfkc(char32_t c);

}  // namespace cuclip
