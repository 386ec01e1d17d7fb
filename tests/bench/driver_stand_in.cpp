// Stands in for NVIDIA's driver, libcuda.so.1, where there is none: what cuDNN asks while it makes plans for
// a GPU that is described to it. Kernels are loaded in name only; nothing can be run.
#include <cuda.h>

extern "C" {

CUresult cuDriverGetVersion(int* version) {
  *version = CUDA_VERSION;
  return CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult, const char** text) {
  *text = "the driver is a stand-in";
  return CUDA_SUCCESS;
}
CUresult cuLibraryLoadData(CUlibrary* library, const void*, CUjit_option*, void**, unsigned, CUlibraryOption*,
                           void**, unsigned) {
  *library = reinterpret_cast<CUlibrary>(1);
  return CUDA_SUCCESS;
}
CUresult cuLibraryGetKernel(CUkernel* kernel, CUlibrary, const char*) {
  *kernel = reinterpret_cast<CUkernel>(1);
  return CUDA_SUCCESS;
}
CUresult cuLibraryUnload(CUlibrary) { return CUDA_SUCCESS; }

}  // extern "C"

// What is looked up and not needed for plans: whoever calls it all the same learns that there is no driver.
// Their parameters do not matter, so that they are defined under other names than cuda.h's.
#define CUCLIP_ABSENT(name)                           \
  extern "C" CUresult absent_##name() __asm__(#name); \
  CUresult absent_##name() { return CUDA_ERROR_STUB_LIBRARY; }
CUCLIP_ABSENT(cuCtxGetCurrent)
CUCLIP_ABSENT(cuCtxGetLimit)
CUCLIP_ABSENT(cuCtxPopCurrent)
CUCLIP_ABSENT(cuCtxPushCurrent)
CUCLIP_ABSENT(cuDeviceGet)
CUCLIP_ABSENT(cuDeviceGetCount)
CUCLIP_ABSENT(cuGetErrorName)
CUCLIP_ABSENT(cuKernelGetAttribute)
CUCLIP_ABSENT(cuKernelSetAttribute)
CUCLIP_ABSENT(cuLaunchCooperativeKernel)
CUCLIP_ABSENT(cuLaunchKernel)
CUCLIP_ABSENT(cuLaunchKernelEx)
CUCLIP_ABSENT(cuLibraryLoadFromFile)
CUCLIP_ABSENT(cuLinkAddData)
CUCLIP_ABSENT(cuLinkComplete)
CUCLIP_ABSENT(cuLinkCreate)
CUCLIP_ABSENT(cuLinkDestroy)
CUCLIP_ABSENT(cuOccupancyMaxPotentialClusterSize)
CUCLIP_ABSENT(cuStreamGetCtx)
