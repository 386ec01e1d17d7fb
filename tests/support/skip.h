// Test cases that cannot run here say so, instead of counting as passed: Catch2 2 has nothing for it. A
// program prints at its end how many cases were skipped and why, and one whose cases were all skipped exits
// with kAllSkipped, which ctest shows as "Skipped" (SKIP_RETURN_CODE in tests/CMakeLists.txt). A failure
// wins.
#pragma once

#include <string>

namespace cuclip::test {

inline constexpr int kAllSkipped = 4;  // Catch2 3's code for it

/// Counts the running test case as skipped; use the macro, which also leaves it.
void note_skipped(const std::string& reason);

}  // namespace cuclip::test

/// Leaves the test case as skipped if the condition holds.
#define CUCLIP_SKIP_IF(condition, reason)   \
  do {                                      \
    if (condition) {                        \
      ::cuclip::test::note_skipped(reason); \
      return;                               \
    }                                       \
  } while (false)
