#include "kernels/common/launch.cuh"

#include <limits>
#include <map>
#include <mutex>
#include <utility>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

constexpr size_t kSharedWithoutOptIn = 48 * 1024;

int current_device() {
  int device = 0;
  CUCLIP_CUDA_CHECK(cudaGetDevice(&device));
  return device;
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

// The limit belongs to the function: a launch by another thread may depend on what was set, so it only grows.
void allow_shared_bytes(const LaunchConfig& c, const void* kernel) {
  static std::mutex mutex;
  static std::map<std::pair<int, const void*>, size_t> allowed;  // by device and kernel
  const std::lock_guard lock(mutex);
  size_t& limit = allowed.try_emplace({current_device(), kernel}, kSharedWithoutOptIn).first->second;
  if (c.shared_bytes <= limit) return;
  const size_t most = max_shared_bytes();
  if (c.shared_bytes > most) fail("cannot launch {}: this device has {}", describe(c), most);
  CUCLIP_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         static_cast<int>(c.shared_bytes)));
  limit = c.shared_bytes;
}

__global__ void image_probe_kernel() {}

}  // namespace

size_t max_shared_bytes() {
  int bytes = 0;
  CUCLIP_CUDA_CHECK(
      cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, current_device()));
  return static_cast<size_t>(bytes);
}

void launch_kernel(const LaunchConfig& c, const void* kernel, const ExecContext& ctx, void** arguments) {
  const dim3 grid(extent(c, c.grid.x), extent(c, c.grid.y), extent(c, c.grid.z));
  if (c.grid.x == 0 || c.grid.y == 0 || c.grid.z == 0) return;
  if (c.shared_bytes > kSharedWithoutOptIn) allow_shared_bytes(c, kernel);
  const cudaError_t status = cudaLaunchKernel(kernel, grid, dim3(static_cast<unsigned>(c.threads)), arguments,
                                              c.shared_bytes, static_cast<cudaStream_t>(ctx.stream));
  if (status != cudaSuccess) {
    (void)cudaGetLastError();
    fail("cannot launch {}: {} ({})", describe(c), cudaGetErrorString(status), cudaGetErrorName(status));
  }
}

std::string image_problem(const void* kernel) {
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, kernel);
  if (status == cudaSuccess) return "";
  (void)cudaGetLastError();  // it is reported here
  const bool nothing_fits = status == cudaErrorNoKernelImageForDevice;
  if (!nothing_fits && status != cudaErrorUnsupportedPtxVersion && status != cudaErrorInvalidPtx &&
      status != cudaErrorJitCompilerNotFound && status != cudaErrorJitCompilationDisabled) {
    // The first call that needs a context: the GPU may be full, or another process may have it to itself.
    return fmt::format("no GPU can be used: {}", cudaGetErrorString(status));
  }
  cudaDeviceProp device{};
  CUCLIP_CUDA_CHECK(cudaGetDeviceProperties(&device, current_device()));
  const std::string missing =
      nothing_fits
          ? "kernels for it"
          : fmt::format("machine code for it, and its PTX cannot be used ({})", cudaGetErrorString(status));
  return fmt::format(
      "{} is sm_{}{}, but this program has no {}; build it with -DCMAKE_CUDA_ARCHITECTURES={}{}", device.name,
      device.major, device.minor, missing, device.major, device.minor);
}

std::string image_problem() { return image_problem(reinterpret_cast<const void*>(image_probe_kernel)); }

}  // namespace cuclip
