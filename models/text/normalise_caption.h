// One text as a caption, a query or a label: on one line, without what cannot be seen.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cuclip {

/// Longer captions are cut. CLIP's context is 77 tokens, some 300 bytes of English: nothing is lost by this.
constexpr int64_t kMaxCaptionBytes = 1024;

/// What became of one caption.
enum class CaptionState { ok, cut, empty, invalid_utf8 };

struct NormalisedCaption {
  std::string text;  // empty when the state is `empty` or `invalid_utf8`
  CaptionState state = CaptionState::ok;
};

/// Every run of Unicode white space and control characters becomes one space, invisible format characters
/// (byte order mark, zero-width space, soft hyphen, bidirectional marks; not the joiners, which emoji need)
/// and noncharacters vanish, both ends are trimmed. A text longer than max_bytes is cut at the last space
/// (or, where there is none in its last quarter, between two code points). Text that is not valid UTF-8 is
/// refused entirely: to guess an encoding would be to train on rubbish.
NormalisedCaption normalise_caption(std::string_view text, int64_t max_bytes = kMaxCaptionBytes);

/// Throws InputError for a text with nothing in it that a model could read (white space of any kind,
/// zero-width and control characters), and for bytes that are not valid UTF-8. `what` is what the message
/// calls it: "search: the words".
void require_text(std::string_view text, std::string_view what);

}  // namespace cuclip
