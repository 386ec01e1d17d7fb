#include "kernels/common/current_gpu.h"

#include "kernels/common/check.h"
#ifdef CUCLIP_WITH_CUDA
#include "kernels/common/cuda_check.cuh"
#endif

namespace cuclip {

#ifdef CUCLIP_WITH_CUDA

int gpu_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  (void)cudaGetLastError();
  return 0;
}

int current_gpu() {
  int gpu = kCurrentGpu;
  if (cudaGetDevice(&gpu) == cudaSuccess) return gpu;
  (void)cudaGetLastError();
  return kCurrentGpu;
}

void make_gpu_current(int gpu) {
  if (gpu != kCurrentGpu) CUCLIP_CUDA_CHECK(cudaSetDevice(gpu));
}

GpuScope::~GpuScope() {
  if (before_ == kCurrentGpu || current_gpu() == before_) return;
  if (cudaSetDevice(before_) != cudaSuccess) (void)cudaGetLastError();  // the device has failed
}

#else

int gpu_count() { return 0; }

int current_gpu() { return kCurrentGpu; }

void make_gpu_current(int gpu) {
  if (gpu != kCurrentGpu) fail("GPU {}: this cuclip was built without CUDA", gpu);
}

GpuScope::~GpuScope() = default;

#endif

}  // namespace cuclip
