// CLIP's pre-tokeniser: cleaned text into the words that BPE works on.
#pragma once

#include <string_view>
#include <vector>

namespace cuclip {

inline constexpr std::u32string_view kStartOfTextWord = U"<|startoftext|>";
inline constexpr std::u32string_view kEndOfTextWord = U"<|endoftext|>";

/// The matches, in order, of CLIP's pattern (case-insensitive):
///   <\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
/// The views point into `text`.
std::vector<std::u32string_view> split_words(std::u32string_view text);

}  // namespace cuclip
