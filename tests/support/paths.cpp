#include "tests/support/paths.h"

#include <cstdlib>

namespace cuclip::test {
namespace {

std::string given_or(const char* variable, const char* of_the_build) {
  const char* given = std::getenv(variable);
  return given ? given : of_the_build;
}

}  // namespace

std::string test_data() { return given_or("CUCLIP_TEST_DATA", CUCLIP_TEST_DATA); }

std::string cuclip_executable() { return given_or("CUCLIP_EXECUTABLE", CUCLIP_EXECUTABLE); }

std::string preloaded_ticks() { return CUCLIP_PRELOADED_TICKS; }

std::string clip_merges_file() { return given_or("CUCLIP_CLIP_MERGES", CUCLIP_CLIP_MERGES); }

std::string system_faults_library() { return CUCLIP_SYSTEM_FAULTS; }

}  // namespace cuclip::test
