// Where the build and the repository have what tests need, or the environment says it is (the GPU archive:
// tests/gpu_archive). Only paths.cpp is told: no other object depends on the place of the checkout, so that a
// compiler cache serves every checkout.
#pragma once

#include <string>

namespace cuclip::test {

/// The folder tests/data, without a slash at its end ($CUCLIP_TEST_DATA).
std::string test_data();

/// The executable `cuclip` that was built with the tests ($CUCLIP_EXECUTABLE).
std::string cuclip_executable();

/// The library of tests/cli/preloaded_ticks.cpp.
std::string preloaded_ticks();

/// Where tests/tools/fetch_clip_merges.sh puts CLIP's merges file, or $CUCLIP_CLIP_MERGES; it need not be
/// there.
std::string clip_merges_file();

/// The library of tests/faults/system_faults.cpp, to preload; not there in a build with sanitizers.
std::string system_faults_library();

}  // namespace cuclip::test
