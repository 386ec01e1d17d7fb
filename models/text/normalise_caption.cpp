#include "models/text/normalise_caption.h"

#include <utf8proc.h>

#include <algorithm>

#include "kernels/common/check.h"
#include "models/files/names.h"
#include "models/text/text_cleaning.h"

namespace cuclip {
namespace {

enum class CharacterKind { keep, space, drop };

bool is_noncharacter(utf8proc_int32_t c) { return (c >= 0xfdd0 && c <= 0xfdef) || (c & 0xfffe) == 0xfffe; }

CharacterKind kind_of(utf8proc_int32_t c) {
  constexpr utf8proc_int32_t kZeroWidthNonJoiner = 0x200c, kZeroWidthJoiner = 0x200d;
  if (c > 0x20 && c < 0x7f) return CharacterKind::keep;
  if (is_noncharacter(c)) return CharacterKind::drop;
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return CharacterKind::space;
    case UTF8PROC_CATEGORY_CF: {
      const bool joiner = c == kZeroWidthNonJoiner || c == kZeroWidthJoiner;
      const bool tag = c >= 0xe0020 && c <= 0xe007f;  // spells the flags of England, Scotland and Wales
      return joiner || tag ? CharacterKind::keep : CharacterKind::drop;
    }
    default:
      return CharacterKind::keep;
  }
}

// Shortens text to at most max_bytes, preferably between two words.
void cut(std::string& text, size_t max_bytes) {
  size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // not inside a code point
  const size_t space = text.rfind(' ', end);
  if (space != std::string::npos && space >= max_bytes - max_bytes / 4) end = space;
  text.resize(end);
  while (!text.empty() && text.back() == ' ') text.pop_back();
}

}  // namespace

NormalisedCaption normalise_caption(std::string_view text, int64_t max_bytes) {
  const auto limit = static_cast<size_t>(std::max<int64_t>(max_bytes, 1));
  NormalisedCaption result;
  std::string& out = result.text;
  bool pending_space = false;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t length = utf8proc_iterate(bytes, left, &c);
    if (length <= 0) return {.text = "", .state = CaptionState::invalid_utf8};
    const CharacterKind kind = kind_of(c);
    if (kind == CharacterKind::space) pending_space = true;
    // Beyond the limit only validity still matters.
    if (kind == CharacterKind::keep && out.size() <= limit) {
      if (pending_space && !out.empty()) out += ' ';
      pending_space = false;
      out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
    }
    bytes += length;
    left -= length;
  }
  if (out.size() > limit) {
    cut(out, limit);
    result.state = CaptionState::cut;
  }
  if (out.empty()) result.state = CaptionState::empty;
  return result;
}

void require_text(std::string_view text, std::string_view what) {
  const CaptionState state = normalise_caption(text).state;
  CUCLIP_CHECK(state != CaptionState::invalid_utf8, "{}: expected UTF-8, found \"{}\"", what,
               escaped_name(text));
  CUCLIP_CHECK(!text.empty(), "{} must not be empty", what);
  CUCLIP_CHECK(state != CaptionState::empty, "{}: expected text, found only blanks", what);
  CUCLIP_CHECK(!clean_caption(text).empty(),
               "{}: expected text, found \"{}\", of which cleaning leaves nothing", what, escaped_name(text));
}

}  // namespace cuclip
