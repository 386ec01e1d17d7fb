#include "kernels/common/device.h"

#include <cstdlib>
#include <cstring>

#include "kernels/common/check.h"
#include "kernels/common/rounding.h"
#ifdef CUCLIP_WITH_CUDA
#include "kernels/common/launch.cuh"
#endif

namespace cuclip {
namespace {

void* allocate_on_host(size_t bytes) {
  const size_t rounded = round_up(bytes, kDeviceAlignment);
  return std::aligned_alloc(kDeviceAlignment, rounded);
}

#ifdef CUCLIP_WITH_CUDA

constexpr int kOldestMajor = 8;  // of the compute capability: cp.async and bf16 products came with it

cudaDeviceProp current_device_properties() {
  int device = 0;
  CUCLIP_CUDA_CHECK(cudaGetDevice(&device));
  cudaDeviceProp properties{};
  CUCLIP_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  return properties;
}

#endif

}  // namespace

void* device_allocate(Device device, size_t bytes) {
  void* memory = device_try_allocate(device, bytes);
  if (!memory && bytes > 0)
    fail("out of memory on device {}: {} bytes were asked for", name_of(device), bytes);
  return memory;
}

#ifdef CUCLIP_WITH_CUDA

bool built_with_cuda() { return true; }

std::string cuda_problem() {
  int count = 0, runtime = 0, driver = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  (void)cudaGetLastError();  // the failure is reported here
  CUCLIP_CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "this machine has no CUDA driver";
  if (status == cudaErrorInsufficientDriver) {
    return fmt::format("the driver supports CUDA {}.{}, CUDA {}.{} or newer is needed", driver / 1000,
                       driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  }
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) return "this machine has no GPU";
  if (status != cudaSuccess) return fmt::format("no GPU can be used: {}", cudaGetErrorString(status));
  const cudaDeviceProp properties = current_device_properties();
  if (properties.major < kOldestMajor) {
    return fmt::format("{} is sm_{}{}, sm_{}0 or newer is needed", properties.name, properties.major,
                       properties.minor, kOldestMajor);
  }
  return image_problem();
}

std::string cuda_description() {
  const cudaDeviceProp properties = current_device_properties();
  return fmt::format("{} (sm_{}{}, {} GiB)", properties.name, properties.major, properties.minor,
                     (properties.totalGlobalMem + (size_t{1} << 29)) >> 30);
}

void* device_try_allocate(Device device, size_t bytes) {
  if (bytes == 0) return nullptr;
  if (device == Device::cpu) return allocate_on_host(bytes);
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    return nullptr;
  }
  CUCLIP_CUDA_CHECK(status);
  return memory;
}

void device_free(Device device, void* memory) noexcept {
  if (device == Device::cpu) {
    std::free(memory);
  } else if (memory) {
    // Fails only after the device has failed, or at the end of the process: neither is this function's
    // concern.
    (void)cudaFree(memory);
  }
}

void device_copy(Device device, void* to, const void* from, size_t bytes, void* stream) {
  if (bytes == 0) return;
  if (device == Device::cpu) {
    std::memcpy(to, from, bytes);
  } else {
    CUCLIP_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, static_cast<cudaStream_t>(stream)));
  }
}

void device_zero(Device device, void* memory, size_t bytes, void* stream) {
  if (bytes == 0) return;
  if (device == Device::cpu) {
    std::memset(memory, 0, bytes);
  } else {
    CUCLIP_CUDA_CHECK(cudaMemsetAsync(memory, 0, bytes, static_cast<cudaStream_t>(stream)));
  }
}

void device_synchronize(Device device, void* stream) {
  if (device == Device::cuda) CUCLIP_CUDA_CHECK(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)));
}

void check_cuda(cudaError_t status, const char* expression, const char* file, int line) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();
  fail("{} failed at {}:{}: {} ({})", expression, file, line, cudaGetErrorString(status),
       cudaGetErrorName(status));
}

#else

namespace {

void refuse_cuda(Device device) {
  CUCLIP_CHECK(device == Device::cpu, "device cuda: this cuclip was built without CUDA");
}

}  // namespace

bool built_with_cuda() { return false; }

std::string cuda_problem() { return "this cuclip was built without CUDA"; }

std::string cuda_description() { fail("{}", cuda_problem()); }

void* device_try_allocate(Device device, size_t bytes) {
  refuse_cuda(device);
  return bytes == 0 ? nullptr : allocate_on_host(bytes);
}

void device_free(Device, void* memory) noexcept { std::free(memory); }

void device_copy(Device device, void* to, const void* from, size_t bytes, void*) {
  refuse_cuda(device);
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void device_zero(Device device, void* memory, size_t bytes, void*) {
  refuse_cuda(device);
  if (bytes > 0) std::memset(memory, 0, bytes);
}

void device_synchronize(Device device, void*) { refuse_cuda(device); }

#endif

}  // namespace cuclip
