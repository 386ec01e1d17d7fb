// Cleaning of captions step by step; expectations are Python's and ftfy's unless said otherwise.
#include "models/text/text_cleaning.h"

#include <catch2/catch.hpp>

#include "models/text/html_entities.h"
#include "models/text/mojibake.h"
#include "models/text/unicode.h"

namespace cuclip {
namespace {

std::string unescaped(const char* text) { return encode_utf8(unescape_html(decode_utf8(text))); }
std::string unescaped_strictly(const char* text) {
  return encode_utf8(unescape_html_strict(decode_utf8(text)));
}
std::string repaired(const char* text) { return encode_utf8(fix_mojibake(decode_utf8(text))); }
std::string lower(const char* text) { return encode_utf8(to_lower(decode_utf8(text))); }

TEST_CASE("every maximal ill-formed part of UTF-8 becomes one replacement character") {
  const std::pair<std::string, std::u32string> cases[] = {
      {"a\xFFz", U"a\uFFFDz"},
      {"\xC3", U"\uFFFD"},                                   // cut off
      {"\xE2\x82", U"\uFFFD"},                               // cut off after two of three bytes
      {"\xE2\x82z", U"\uFFFDz"},                             //
      {"\xF0\x9F\x98", U"\uFFFD"},                           //
      {"\xC0\x80", U"\uFFFD\uFFFD"},                         // over-long
      {"\xE0\x80\x80", U"\uFFFD\uFFFD\uFFFD"},               // over-long
      {"\xED\xA0\x80", U"\uFFFD\uFFFD\uFFFD"},               // a surrogate
      {"\xF4\x90\x80\x80", U"\uFFFD\uFFFD\uFFFD\uFFFD"},     // beyond U+10FFFF
      {"\xF0\x9F\x98\x80\xF4\x8F\xBF\xBF", U"😀\U0010FFFF"},  // well-formed
      {std::string("\0x", 2), std::u32string(U"\0x", 2)},    // NUL is a character
      {"\x80\xBF\xC2\xC2\xA9", U"\uFFFD\uFFFD\uFFFD\u00A9"},
  };
  for (const auto& [bytes, expected] : cases) CHECK(decode_utf8(bytes) == expected);
}

TEST_CASE("encoding and decoding UTF-8 are each other's reverse on all characters") {
  std::u32string all;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c < 0xD800 || c > 0xDFFF) all.push_back(c);
  }
  CHECK(decode_utf8(encode_utf8(all)) == all);
  CHECK(encode_utf8(std::u32string{0xD800, 0x110000}) == "\uFFFD\uFFFD");
}

TEST_CASE("lower case knows the final sigma and the dotted I") {
  CHECK(lower("ÀÉ ЖЩ ẞ K") == "àé жщ ß k");
  CHECK(lower("ΟΔΟΣ ΣΑΣ Σ") == "οδος σας σ");
  CHECK(lower("ΑΣ́ ΑΣ'Β ΑΣ.") == "ας́ ασ'β ας.");
  CHECK(lower("İI") == "i̇i");
}

TEST_CASE("NFC composes and orders marks, also in runs that would make it quadratic") {
  CHECK(normalize_nfc(U"e\u0301 A\u030A \u1112\u1161\u11AB") == U"é Å 한");
  CHECK(normalize_nfc(U"q\u0307\u0323") == U"q\u0323\u0307");
  CHECK(normalize_nfc(U"\u0958 \u212B") == U"\u0915\u093C \u00C5");  // one is excluded from composition
  std::u32string marks = U"x";
  for (int i = 0; i < 200'000; ++i) marks += U"\u0307\u0323";
  const std::u32string ordered = normalize_nfc(marks);
  CHECK(ordered.substr(1, 199'999) == std::u32string(199'999, U'\u0323'));
}

TEST_CASE("HTML references are read as Python reads them") {
  CHECK(unescaped("&eacute;&#233;&#xE9;&#XE9;&#0233") == "ééééé");
  CHECK(unescaped("&notit; &notin; &not &ampere &copy2019") == "¬it; ∉ ¬ &ere ©2019");  // longest old name
  CHECK(unescaped("&CounterClockwiseContourIntegral;&nGt;") == "∳≫⃒");  // longest name; two characters
  CHECK(unescaped("&#150;&#x80;&#129;") == "–€\u0081");                // windows-1252
  CHECK(unescaped("&#0; &#xD800; &#x110000; &#99999999999999999999;") == "\uFFFD \uFFFD \uFFFD \uFFFD");
  CHECK(unescaped("[&#1;&#11;&#127;&#xFDD0;&#xFFFF;&#x1FFFE;]") == "[]");  // forbidden: dropped
  CHECK(unescaped("&#13;&#12;") == "\r\f");
  for (const char* text : {"&", "&;", "&unknown;", "&#;", "&#x;", "&#xg;", "& amp;", "&é;", "&a", "x&"}) {
    CHECK(unescaped(text) == text);
  }
}

TEST_CASE("in text that may not be HTML only sure references count") {
  CHECK(unescaped_strictly("caf&eacute; caf&eacute &ampere &#233; &#233") ==
        "café caf&eacute &ampere é &#233");
  CHECK(unescaped_strictly("P&EACUTE;REZ STRA&SZLIG;E &NTILDE; &nTILDE; &FFLIG;") ==
        "PÉREZ STRASSE Ñ &nTILDE; FF");
  CHECK(unescaped_strictly("&#59; &#12a; &#x; &#1;") == "&#59; &#12a; &#x; ");
}

TEST_CASE("UTF-8 that was read as windows-1252 or Latin-1 is repaired") {
  CHECK(repaired("cafÃ© crÃ¨me") == "café crème");
  CHECK(repaired("itâ€™s â€œfineâ€\u009D â€” yes") == "it’s “fine” — yes");
  CHECK(repaired("cafÃƒÂ©") == "café");  // twice
  CHECK(repaired("ÐºÐ¾Ñ\u0082") == "кот");
  CHECK(repaired("ð\u009F\u0098\u0080 ðŸ˜€") == "😀 😀");
  CHECK(repaired("voilÃ  le travail") == "voilà le travail");
  CHECK(repaired("dÃ©jÃ  日本") ==
        "déjà 日本");  // only the parts that convince, where not all can be decoded
}

TEST_CASE("what people write on purpose is not taken for broken text") {
  for (const char* text : {"CAFÉ” “À bientôt” É… FIANCÉ’S", "© 2019 Ångström® ™", "5 × 3 ÷ 2 = ½ ±",
                           "¿Qué? ¡Sí!", "«À» l’été — “déjà vu”…", "PŘÍŠTÍ TOMÁŠ", "AVÓ® É»", "é”… à» è“x”",
                           "ÂÂ ãÃ", "Ô Ö ÄÖÜ ß", "25 °C £5 €7 § 5", "Ó° Ò¬Ó"}) {
    CHECK(repaired(text) == text);
  }
}

TEST_CASE("typographic forms become plain ones") {
  CHECK(clean_caption("“Double” ‘single’ „low‟ it’s") == "\"double\" 'single' \"low\" it's");
  CHECK(clean_caption("ﬁnal oﬃce ŉ Ǆ Ĳ") == "final office 'n dž ij");
  CHECK(clean_caption("ＡＢＣ　１２３！ ﾊﾝｶｸ ｶﾞ") == "abc 123! ハンカク ガ");
  CHECK(clean_caption("e\u0301 \u212B \u1112\u1161\u11AB") == "é å 한");
}

TEST_CASE("controls and terminal escapes go, joiners stay") {
  CHECK(clean_caption(std::string("a\0b\x07"
                                  "c\x7F"
                                  "d\x1B[1;31mred\x1B[0m",
                                  22)) == "abcdred");
  CHECK(clean_caption("\uFEFFx\u206Ay\uFFF9z\uFFFC") == "xyz");
  CHECK(clean_caption("\u2066x\u200D\u200By") == "\u2066x\u200D\u200By");
  CHECK(clean_caption("\u0093q\u0094 \u0096 \u0085") == "\"q\" – …");  // C1 controls are read as windows-1252
}

TEST_CASE("all white space is one space, none at the ends") {
  CHECK(clean_caption(" \t a \r\n b\u00A0c\u3000\u2028d \v e\u0085 ") == "a b c d e…");
  CHECK(clean_caption("") == "");
  CHECK(clean_caption(" \n ") == "");
}

TEST_CASE("a line with a tag keeps its references until the last step, and so do the lines after it") {
  CHECK(clean_caption("&amp;amp;amp;amp; x") == "& x");                  // repaired until nothing changes
  CHECK(clean_caption("<b> &amp;amp;amp;amp; x") == "<b> &amp;amp; x");  // html.unescape twice
  CHECK(clean_caption("&amp;amp;amp;lt;\n<b>\n&amp;amp;amp;lt;") == "< <b> &amp;lt;");
}

TEST_CASE("cleaning a cleaned caption changes nothing") {
  for (const char* text : {"A Photo of a Fox", "“Café” &amp; Crème", "ＡＢＣ ﬁ É”", "ΟΔΟΣ", "cafÃ©"}) {
    const std::string once = clean_caption(text);
    CHECK(clean_caption(once) == once);
  }
}

TEST_CASE("a megabyte of anything is cleaned in linear time") {
  constexpr size_t kSize = 1 << 20;
  for (const std::string part :
       {"a",     " ",      "&", "&amp;",   "amp;", "&#",   "&#1", "Ã",    "Ã©", "Ã ", "ð",
        "\x1B[", "\x1B[1", "Σ", "Σ\u0301", "\n",   "&a\n", "<\n", "\xFF", "ﷺ",  "가", "\u0301\u0323"}) {
    std::string text = "&";
    while (text.size() < kSize) text += part;
    const std::string cleaned = clean_caption(text);  // a step of quadratic time would take minutes to hours
    CHECK(cleaned.size() <= 8 * text.size());
  }
}

}  // namespace
}  // namespace cuclip
