#include "kernels/common/launch.cuh"

#include <limits>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

constexpr size_t kSharedWithoutOptIn = 48 * 1024;

int device_attribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  CUCLIP_CUDA_CHECK(cudaGetDevice(&device));
  CUCLIP_CUDA_CHECK(cudaDeviceGetAttribute(&value, attribute, device));
  return value;
}

std::string describe(const LaunchConfig& c) {
  return fmt::format("{} with a grid of [{}, {}, {}], {} threads and {} bytes of shared memory", c.kernel,
                     c.grid.x, c.grid.y, c.grid.z, c.threads, c.shared_bytes);
}

// The runtime takes unsigned extents: what does not fit must not wrap around to something that does.
unsigned extent(const LaunchConfig& c, int64_t blocks) {
  if (blocks < 0 || blocks > std::numeric_limits<int32_t>::max()) fail("cannot launch {}", describe(c));
  return static_cast<unsigned>(blocks);
}

}  // namespace

size_t max_shared_bytes() {
  return static_cast<size_t>(device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
}

void launch_kernel(const LaunchConfig& c, const void* kernel, const ExecContext& ctx, void** arguments) {
  const dim3 grid(extent(c, c.grid.x), extent(c, c.grid.y), extent(c, c.grid.z));
  if (c.grid.x == 0 || c.grid.y == 0 || c.grid.z == 0) return;
  if (c.shared_bytes > kSharedWithoutOptIn) {
    const size_t most = max_shared_bytes();
    if (c.shared_bytes > most) fail("cannot launch {}: this device has {}", describe(c), most);
    CUCLIP_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                           static_cast<int>(c.shared_bytes)));
  }
  const cudaError_t status = cudaLaunchKernel(kernel, grid, dim3(static_cast<unsigned>(c.threads)), arguments,
                                              c.shared_bytes, static_cast<cudaStream_t>(ctx.stream));
  if (status != cudaSuccess) {
    (void)cudaGetLastError();
    fail("cannot launch {}: {} ({})", describe(c), cudaGetErrorString(status), cudaGetErrorName(status));
  }
}

}  // namespace cuclip
