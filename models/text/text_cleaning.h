// Captions as CLIP sees them: repaired, unescaped, on one line, in lower case.
//
// CLIP cleans with ftfy.fix_text, then html.unescape twice, strip, white space collapsed, lower-cased. All of
// it is done here. Differences from ftfy 6.3:
//   - Mojibake is repaired where UTF-8 was read as windows-1252 or Latin-1 (models/text/mojibake.h), by rules
//     of our own. Left alone: the other code pages that ftfy tries (windows-1250, -1251, -1253, -1254, -1257,
//     ISO 8859-2, MacRoman, CP437), UTF-8 that has lost bytes (it contains U+FFFD), CESU-8.
//   - ftfy's line breaks and surrogates need no step: every line break becomes a space in the end, and UTF-8
//     has no surrogates.
//   - Repairs repeat until nothing changes, at most 32 times ("&amp;amp;amp;…" nested deeper stays as it is
//     by then).
//   - Bytes that are not UTF-8 become U+FFFD first; Python would have refused them.
#pragma once

#include <string>
#include <string_view>

namespace cuclip {

/// The cleaned caption. Time is linear in the length, except for sorting runs of combining marks.
std::u32string clean_caption_utf32(std::string_view text);
std::string clean_caption(std::string_view text);

/// ftfy's part alone: HTML references (unless the line has a "<"), mojibake, Latin ligatures, full-width
/// forms, curly quotes, terminal escapes and control characters, then NFC; line by line.
std::u32string fix_text(std::u32string_view text);

}  // namespace cuclip
