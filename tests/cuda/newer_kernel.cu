// A kernel of which there is PTX for sm_90 only (tests/CMakeLists.txt): older devices have no image of it.
#include "tests/cuda/device_headers.h"

namespace cuclip::test {
namespace {

__global__ void newer_kernel() {}

}  // namespace

const void* newer_than_sm_80() { return reinterpret_cast<const void*>(newer_kernel); }

}  // namespace cuclip::test
