#include "models/text/mojibake.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "models/text/unicode.h"
#include "models/text/windows_1252.h"

namespace cuclip {
namespace {

// The byte that windows-1252 or Latin-1 reads as c; 0 when there is none or when it is ASCII.
uint8_t byte_of(char32_t c) {
  if (c < 0x80) return 0;
  if (c <= 0xFF) return static_cast<uint8_t>(c);
  const auto found = std::find(kWindows1252High.begin(), kWindows1252High.end(), c);
  return found == kWindows1252High.end() ? 0
                                         : static_cast<uint8_t>(0x80 + (found - kWindows1252High.begin()));
}

bool is_one_of(char32_t c, std::u32string_view set) { return set.find(c) != std::u32string_view::npos; }
bool is_ascii_lower(char32_t c) { return c >= 'a' && c <= 'z'; }
bool is_assigned(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category != UTF8PROC_CATEGORY_CN && category != UTF8PROC_CATEGORY_CO &&
         category != UTF8PROC_CATEGORY_CS;
}

// Marks that may follow any word: their presence proves nothing.
constexpr std::u32string_view kUsualAfterWord = U"\u00A0\u00AD\u00B7\u00B4\u2013\u2014\u2026\u2019";
// Quotes, brackets and signs that are normal after a word but not between it and a letter.
constexpr std::u32string_view kPunctuation = U"¡«¿©‘‚“„•‹®»”›™";
constexpr std::u32string_view kCurrency = U"¢£¥€";
// After a capital letter with an accent these are never meant.
constexpr std::u32string_view kOdd = U"¤¦§¨¬¯¶¸ªº°±²³µ¹¼½¾ƒˆ˜†‡‰";

// Letters that make faces ("Ò¬Ó"): a mark behind a single one says nothing.
constexpr std::u32string_view kFaces = U"ÒÓÔÕÖÙÚÛÞ";

// Characters [at, at + length) that spell one character of UTF-8.
struct Sequence {
  size_t length = 0;
  char32_t character = 0;
};

Sequence read_sequence(std::u32string_view text, size_t at) {
  const uint8_t lead = byte_of(text[at]);
  if (lead < 0xC2 || lead > 0xF4) return {};
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  std::string bytes;
  for (size_t i = at; i < std::min(at + length, text.size()); ++i) {
    bytes.push_back(static_cast<char>(byte_of(text[i])));
  }
  // The no-break space of "à" and of some more letters is often lost as a plain space.
  const bool lost_space = length == 2 && at + 1 < text.size() && text[at + 1] == ' ';
  if (lost_space && is_one_of(text[at], U"ÂÃÅÎÐÙ")) bytes.back() = '\xA0';
  const std::u32string decoded = decode_utf8(bytes);
  if (decoded.size() != 1 || decoded[0] == kReplacementCharacter || !is_assigned(decoded[0])) return {};
  return {length, decoded[0]};
}

// Would nobody have written these two characters, the first a capital letter with an accent?
bool convinces_as_pair(std::u32string_view text, size_t at) {
  const char32_t lead = text[at];
  const char32_t mark = text[at + 1];
  const char32_t before = at > 0 ? text[at - 1] : ' ';
  const char32_t after = at + 2 < text.size() ? text[at + 2] : ' ';
  if (mark == ' ') {
    const bool after_word =
        is_ascii_lower(before) || (before == ' ' && at > 1 && is_ascii_lower(text[at - 2]));
    return (lead == U'Ã' || lead == U'Â') && (at == 0 || after_word);
  }
  if (mark >= 0x80 && mark <= 0x9F) return true;
  if (is_one_of(lead, kFaces)) return false;
  if (is_one_of(mark, kOdd)) return true;
  if (is_one_of(lead, U"ÂÃÎÐ") && !is_one_of(mark, U"…’ŒŽ")) return true;
  if (is_ascii_lower(before)) return !is_one_of(mark, kUsualAfterWord);
  if (is_one_of(mark, kPunctuation)) return is_letter(after) || is_number(after);
  if (is_one_of(mark, kCurrency)) return is_space(before);
  return is_one_of(mark, U"Œœ") && !is_letter(after);
}

bool convinces(std::u32string_view text, size_t at, size_t length) {
  if (length == 2) return convinces_as_pair(text, at);
  for (size_t i = at + 1; i < at + length; ++i) {
    if (!is_one_of(text[i], kUsualAfterWord) && !is_one_of(text[i], kPunctuation)) return true;
  }
  return false;
}

// Sequences without a gap.
struct Run {
  size_t begin = 0;
  size_t end = 0;
  std::u32string decoded;
  bool convincing = false;
};

Run read_run(std::u32string_view text, size_t at) {
  constexpr size_t kConvincingCount = 3;  // letter, mark, letter, mark, letter, mark: nobody writes that
  Run run{at, at, {}, false};
  for (Sequence next; run.end < text.size(); run.end += next.length) {
    next = read_sequence(text, run.end);
    if (next.length == 0) break;
    run.decoded.push_back(next.character);
    run.convincing = run.convincing || convinces(text, run.end, next.length);
    if (text[run.end + next.length - 1] != ' ') continue;
    // "Ã la": the space was both the letter's second half and the gap between words.
    const std::u32string_view rest = text.substr(run.end + next.length);
    const bool within_word = rest.starts_with(U"quele") || rest.starts_with(U"quela") ||
                             rest.starts_with(U"quilo") || rest.starts_with(U"s ") || rest.starts_with(U" ");
    if (next.character == U'à' && !within_word) run.decoded.push_back(' ');
  }
  run.convincing = run.convincing || run.decoded.size() >= kConvincingCount;
  return run;
}

// One decoding; the text itself when nothing convinces.
std::u32string decode_again(const std::u32string& text) {
  std::vector<Run> runs;
  bool consistent = true;  // everything beyond ASCII is part of a sequence
  bool convincing = false;
  for (size_t i = 0; i < text.size();) {
    if (text[i] < 0x80) {
      ++i;
      continue;
    }
    Run run = read_run(text, i);
    if (run.end == i) {
      consistent = false;
      ++i;
      continue;
    }
    i = run.end;
    convincing = convincing || run.convincing;
    runs.push_back(std::move(run));
  }
  if (!convincing) return text;
  std::u32string out;
  size_t copied = 0;
  for (const Run& run : runs) {
    if (!consistent && !run.convincing) continue;
    out.append(text, copied, run.begin - copied);
    out += run.decoded;
    copied = run.end;
  }
  out.append(text, copied, text.size() - copied);
  return out;
}

}  // namespace

std::u32string fix_mojibake(std::u32string text) {
  constexpr int kMaxLayers = 8;
  for (int layer = 0; layer < kMaxLayers; ++layer) {
    std::u32string decoded = decode_again(text);
    if (decoded == text) break;
    text = std::move(decoded);
  }
  return text;
}

}  // namespace cuclip
