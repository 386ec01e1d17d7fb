// Turns captions as they come into what the tokeniser expects.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

/// Captions, and what became of each.
struct CaptionList {
  std::vector<std::string> captions;  // normalised, none empty, no two equal, in order of first appearance
  int64_t cut = 0;
  int64_t empty = 0;
  int64_t invalid_utf8 = 0;

  void add(std::string_view text, int64_t max_bytes = kMaxCaptionBytes);
};

/// A .txt file: its whole text is one caption.
CaptionList captions_from_text(std::string_view text, int64_t max_bytes = kMaxCaptionBytes);

/// A .json file: `{"caption": "..."}`, `{"captions": ["...", ...]}` (both may be there; null counts as
/// missing; other keys are ignored), a string, or a list of strings. NaN, Infinity and -Infinity, which
/// Python writes for such numbers, are read as null. Throws InputError saying what was found instead.
CaptionList captions_from_json(std::string_view text, std::string_view name,
                               int64_t max_bytes = kMaxCaptionBytes);

/// The caption files of one picture; either may be missing.
struct CaptionFiles {
  std::optional<std::string> json, text;
};

/// The .json file's captions or, if it is missing or holds none, the .txt file's. Throws SampleError saying
/// why there are none.
std::vector<std::string> read_caption_files(const CaptionFiles& files, std::string_view name,
                                            int64_t max_bytes);

/// The captions of `list`. Throws SampleError saying why there are none.
std::vector<std::string> take_captions(CaptionList&& list, std::string_view name);

}  // namespace cuclip
