// Character references of HTML ("&eacute;", "&#233;", "&#xE9;") as the characters they stand for.
#pragma once

#include <string>
#include <string_view>

namespace cuclip {

/// As browsers and Python's html.unescape() read them: numbers below U+00A0 as windows-1252, "&ampere" as "&"
/// + "ere" for the old names that need no semicolon (the longest such name counts), everything unknown left
/// alone. HTML standard, section 13.2.5.72 and the following ones.
std::u32string unescape_html(std::u32string_view text);

/// Only what is surely meant as a reference, for text that may not be HTML: names and numbers that end in a
/// semicolon, and names that somebody turned into capitals ("P&EACUTE;REZ").
std::u32string unescape_html_strict(std::u32string_view text);

}  // namespace cuclip
