// Turns captions as they come into what the tokeniser expects.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/text/normalise_caption.h"

namespace cuclip {

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
