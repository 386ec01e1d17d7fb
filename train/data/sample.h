// One image-text pair as a source hands it out, and the record of those that could not be used.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kernels/common/check.h"
#include "models/image/image.h"

namespace cuclip {

struct Sample {
  std::string key;                           // unique in its source; only ever printed, never used as a path
  std::variant<std::string, Image> picture;  // the bytes of a picture file, or pixels that were rendered
  std::vector<std::string> captions;         // normalised, at least one, none empty
};

/// A sample that cannot be used. `reason` is one of a few fixed phrases ("no caption"), what() is the whole
/// story.
class SampleError : public InputError {
 public:
  SampleError(std::string reason, const std::string& message)
      : InputError(message), reason_(std::move(reason)) {}
  const std::string& reason() const { return reason_; }

 private:
  std::string reason_;
};

/// What was skipped: how many samples, for which reasons, and the first few messages; and what was used
/// although it is damaged.
struct BadSamples {
  static constexpr size_t kExamples = 5;

  int64_t count = 0;
  std::map<std::string, int64_t> by_reason;
  std::vector<std::string> examples;
  /// Pictures that were used although some of their pixels are a guess (Image::damage); not part of `count`.
  int64_t damaged = 0;
  std::string first_damaged;

  void add(std::string_view reason, std::string_view message, int64_t samples = 1);
  void add(const BadSamples& other);
  /// Takes note of a picture that is used; does nothing if `damage` is empty.
  void add_damaged(std::string_view damage);
  /// "3 (2 no caption, 1 unreadable picture), for example: ...", or "none".
  std::string summary() const;
  /// "2, the first: a.jpg: Corrupt JPEG data: ...", or "none".
  std::string damage_summary() const;
};

}  // namespace cuclip
