#include "kernels/common/device.h"

#include <cstdlib>
#include <cstring>

#include "kernels/common/check.h"
#ifdef CUCLIP_WITH_CUDA
#include "kernels/common/cuda_check.cuh"
#endif

namespace cuclip {
namespace {

void* allocate_on_host(size_t bytes) {
  const size_t rounded = (bytes + kDeviceAlignment - 1) / kDeviceAlignment * kDeviceAlignment;
  void* memory = std::aligned_alloc(kDeviceAlignment, rounded);
  if (!memory) fail("out of memory: {} bytes were asked for", rounded);
  return memory;
}

}  // namespace

#ifdef CUCLIP_WITH_CUDA

bool built_with_cuda() { return true; }

void* device_allocate(Device device, size_t bytes, void* stream) {
  if (bytes == 0) return nullptr;
  if (device == Device::cpu) return allocate_on_host(bytes);
  void* memory = nullptr;
  CUCLIP_CUDA_CHECK(cudaMallocAsync(&memory, bytes, static_cast<cudaStream_t>(stream)));
  return memory;
}

void device_free(Device device, void* memory, void* stream) noexcept {
  if (device == Device::cpu) {
    std::free(memory);
  } else if (memory) {
    // Fails only after the device has failed, or at the end of the process: neither is the memory's business.
    (void)cudaFreeAsync(memory, static_cast<cudaStream_t>(stream));
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

void device_synchronize(Device device, void* stream) {
  if (device == Device::cuda) CUCLIP_CUDA_CHECK(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)));
}

DeviceStream::DeviceStream(Device device) {
  if (device == Device::cpu) return;
  cudaStream_t stream = nullptr;
  CUCLIP_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  handle_.reset(stream);
}

void DeviceStream::Destroy::operator()(void* stream) const {
  (void)cudaStreamDestroy(static_cast<cudaStream_t>(stream));  // as in device_free
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

void* device_allocate(Device device, size_t bytes, void*) {
  refuse_cuda(device);
  return bytes == 0 ? nullptr : allocate_on_host(bytes);
}

void device_free(Device, void* memory, void*) noexcept { std::free(memory); }

void device_copy(Device device, void* to, const void* from, size_t bytes, void*) {
  refuse_cuda(device);
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void device_synchronize(Device device, void*) { refuse_cuda(device); }

DeviceStream::DeviceStream(Device device) { refuse_cuda(device); }

void DeviceStream::Destroy::operator()(void*) const {}

#endif

}  // namespace cuclip
