// Pictures whose data is damaged but can be used.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

#include "tests/support/generated_picture.h"
#include "tests/train/data_fixtures.h"
#include "train/data/prepared_picture.h"

namespace cuclip::test {

inline const std::string kJpegWarning = "Corrupt JPEG data: premature end of data segment";

inline std::string jpeg(uint32_t seed) { return encode_jpeg(generated_picture(40, 30, 0, seed)); }

inline std::string damaged_jpeg(uint32_t seed) {
  const std::string whole = jpeg(seed);
  return whole.substr(0, whole.size() - 60) + "\xFF\xD9";
}

/// A folder of 10 pairs, of which 2 are damaged.
inline void write_damaged_pairs(const TemporaryFolder& folder) {
  const char* words[] = {"red", "green", "blue", "grey", "pink", "black", "white", "brown", "gold", "teal"};
  for (uint32_t i = 0; i < 10; ++i) {
    const std::string name = fmt::format("in/{}", i);
    folder.write(name + ".jpg", i % 5 == 3 ? damaged_jpeg(i) : jpeg(i));
    folder.write(name + ".txt", fmt::format("a {} picture", words[i]));
  }
}

}  // namespace cuclip::test
