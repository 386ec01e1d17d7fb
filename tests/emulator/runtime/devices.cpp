// The virtual devices: what an A100 and an H100 say of themselves.
#include <cstring>

#include "runtime/runtime.h"

namespace emu {
namespace {

cudaDeviceProp make(bool hopper) {
  cudaDeviceProp p{};
  std::strcpy(p.name, hopper ? "NVIDIA H100 80GB HBM3 (emulated)" : "NVIDIA A100-SXM4-80GB (emulated)");
  p.totalGlobalMem = 80ull << 30;
  p.sharedMemPerBlock = 48 << 10;
  p.regsPerBlock = 65536;
  p.warpSize = 32;
  p.memPitch = 2147483647;
  p.maxThreadsPerBlock = 1024;
  const int threads[3] = {1024, 1024, 64}, grid[3] = {2147483647, 65535, 65535};
  for (int axis = 0; axis < 3; ++axis) {
    p.maxThreadsDim[axis] = threads[axis];
    p.maxGridSize[axis] = grid[axis];
  }
  p.totalConstMem = 64 << 10;
  p.major = hopper ? 9 : 8;
  p.textureAlignment = 512;
  p.texturePitchAlignment = 32;
  p.multiProcessorCount = hopper ? 132 : 108;
  p.canMapHostMemory = 1;
  p.concurrentKernels = 1;
  p.ECCEnabled = 1;
  p.asyncEngineCount = 3;
  p.unifiedAddressing = 1;
  p.memoryBusWidth = 5120;
  p.l2CacheSize = hopper ? 50 << 20 : 40 << 20;
  p.persistingL2CacheMaxSize = p.l2CacheSize * 5 / 8;
  p.maxThreadsPerMultiProcessor = 2048;
  p.streamPrioritiesSupported = 1;
  p.globalL1CacheSupported = 1;
  p.localL1CacheSupported = 1;
  p.sharedMemPerMultiprocessor = hopper ? 233472 : 167936;
  p.regsPerMultiprocessor = 65536;
  p.managedMemory = 1;
  p.hostNativeAtomicSupported = 0;
  p.concurrentManagedAccess = 1;
  p.computePreemptionSupported = 1;
  p.canUseHostPointerForRegisteredMem = 1;
  p.cooperativeLaunch = 1;
  p.sharedMemPerBlockOptin = hopper ? 232448 : 166912;
  p.maxBlocksPerMultiProcessor = 32;
  p.accessPolicyMaxWindowSize = 128 << 20;
  p.reservedSharedMemPerBlock = 1024;
  p.hostRegisterSupported = 1;
  p.memoryPoolsSupported = 1;
  p.clusterLaunch = 0;
  p.unifiedFunctionPointers = 1;
  return p;
}

}  // namespace

const cudaDeviceProp& device_properties() {
  static const cudaDeviceProp properties = make(Runtime::get().hopper);
  return properties;
}

cudaError_t device_attribute(cudaDeviceAttr attribute, int& value) {
  const cudaDeviceProp& p = device_properties();
  const bool hopper = Runtime::get().hopper;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      value = p.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxBlockDimX:
      value = p.maxThreadsDim[0];
      break;
    case cudaDevAttrMaxBlockDimY:
      value = p.maxThreadsDim[1];
      break;
    case cudaDevAttrMaxBlockDimZ:
      value = p.maxThreadsDim[2];
      break;
    case cudaDevAttrMaxGridDimX:
      value = p.maxGridSize[0];
      break;
    case cudaDevAttrMaxGridDimY:
      value = p.maxGridSize[1];
      break;
    case cudaDevAttrMaxGridDimZ:
      value = p.maxGridSize[2];
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      value = static_cast<int>(p.sharedMemPerBlock);
      break;
    case cudaDevAttrTotalConstantMemory:
      value = static_cast<int>(p.totalConstMem);
      break;
    case cudaDevAttrWarpSize:
      value = p.warpSize;
      break;
    case cudaDevAttrMaxPitch:
      value = static_cast<int>(p.memPitch);
      break;
    case cudaDevAttrMaxRegistersPerBlock:
      value = p.regsPerBlock;
      break;
    case cudaDevAttrClockRate:
      value = hopper ? 1980000 : 1410000;
      break;
    case cudaDevAttrTextureAlignment:
      value = static_cast<int>(p.textureAlignment);
      break;
    case cudaDevAttrMultiProcessorCount:
      value = p.multiProcessorCount;
      break;
    case cudaDevAttrKernelExecTimeout:
    case cudaDevAttrIntegrated:
    case cudaDevAttrTccDriver:
    case cudaDevAttrIsMultiGpuBoard:
    case cudaDevAttrMultiGpuBoardGroupID:
    case cudaDevAttrPageableMemoryAccessUsesHostPageTables:
    case cudaDevAttrDirectManagedMemAccessFromHost:
      value = 0;
      break;
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrGpuOverlap:
    case cudaDevAttrCanUseHostPointerForRegisteredMem:
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrEccEnabled:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrStreamPrioritiesSupported:
    case cudaDevAttrGlobalL1CacheSupported:
    case cudaDevAttrLocalL1CacheSupported:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrComputePreemptionSupported:
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrHostRegisterSupported:
    case cudaDevAttrConcurrentManagedAccess:
      value = 1;
      break;
    case cudaDevAttrComputeMode:
      value = 0;
      break;
    case cudaDevAttrMemoryClockRate:
      value = hopper ? 2619000 : 1593000;
      break;
    case cudaDevAttrGlobalMemoryBusWidth:
      value = p.memoryBusWidth;
      break;
    case cudaDevAttrL2CacheSize:
      value = p.l2CacheSize;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      value = p.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrAsyncEngineCount:
      value = p.asyncEngineCount;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      value = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      value = p.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      value = static_cast<int>(p.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      value = p.regsPerMultiprocessor;
      break;
    case cudaDevAttrSingleToDoublePrecisionPerfRatio:
      value = 2;
      break;
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrHostNativeAtomicSupported:
      value = 0;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      value = static_cast<int>(p.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      value = p.maxBlocksPerMultiProcessor;
      break;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      value = static_cast<int>(p.reservedSharedMemPerBlock);
      break;
    case cudaDevAttrClusterLaunch:
      value = 0;
      break;
    case cudaDevAttrMaxPersistingL2CacheSize:
      value = p.persistingL2CacheMaxSize;
      break;
    case cudaDevAttrPciBusId:
    case cudaDevAttrPciDeviceId:
    case cudaDevAttrPciDomainId:
      value = 0;
      break;
    default:
      return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}

}  // namespace emu
