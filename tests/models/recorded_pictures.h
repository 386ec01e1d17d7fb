// The picture files in tests/data/pictures, and decoding what a test has in memory.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>

#include "models/image/image_decode.h"
#include "tests/support/paths.h"

namespace cuclip::test {

inline const std::filesystem::path kPictures = std::filesystem::path(test_data()) / "pictures";

/// Messages begin with "picture".
inline Image decode(std::string_view bytes, const DecodeOptions& options = {}) {
  return decode_image(std::as_bytes(std::span<const char>(bytes)), "picture", options);
}

}  // namespace cuclip::test
