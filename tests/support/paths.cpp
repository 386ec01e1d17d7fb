#include "tests/support/paths.h"

namespace cuclip::test {

std::string test_data() { return CUCLIP_TEST_DATA; }

std::string cuclip_executable() { return CUCLIP_EXECUTABLE; }

std::string preloaded_ticks() { return CUCLIP_PRELOADED_TICKS; }

std::string fetched_clip_merges() { return CUCLIP_CLIP_MERGES; }

std::string system_faults_library() { return CUCLIP_SYSTEM_FAULTS; }

}  // namespace cuclip::test
