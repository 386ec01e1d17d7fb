// CLIP's own merges file, which is fetched by tests/tools/fetch_clip_merges.sh and not kept in the
// repository.
#pragma once

#include <filesystem>
#include <optional>

#include "tests/support/paths.h"
#include "tests/support/skip.h"

namespace cuclip::test {

/// Where the file is, or nothing when it has not been fetched.
inline std::optional<std::filesystem::path> clip_merges() {
  const std::filesystem::path path = clip_merges_file();
  return std::filesystem::exists(path) ? std::optional(path) : std::nullopt;
}

}  // namespace cuclip::test

/// Leaves the test, saying why, when CLIP's merges file isn't there. `path` is then its path.
#define CUCLIP_NEEDS_CLIP_MERGES(path)                                                    \
  const auto found_merges = ::cuclip::test::clip_merges();                                \
  CUCLIP_SKIP_IF(!found_merges, "no merges file; run tests/tools/fetch_clip_merges.sh " + \
                                    ::cuclip::test::clip_merges_file());                  \
  const std::filesystem::path& path = *found_merges
