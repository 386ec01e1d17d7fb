// The virtual devices: what an A100 and an H100 say of themselves. A T4 is there to be too old: what is below
// is its name, capability and memory, the rest an A100's.
#include <cstring>
#include <unordered_map>

#include "runtime/runtime.h"

namespace emu {
namespace {

cudaDeviceProp make(int capability, size_t memory) {
  const bool hopper = capability == 90;
  cudaDeviceProp p{};
  std::strcpy(p.name, hopper             ? "NVIDIA H100 80GB HBM3 (emulated)"
                      : capability == 75 ? "Tesla T4 (emulated)"
                                         : "NVIDIA A100-SXM4-80GB (emulated)");
  p.totalGlobalMem = memory;
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
  p.major = capability / 10;
  p.minor = capability % 10;
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

// Those of them that an attribute names, and what they do not hold.
std::unordered_map<int, int> make_attributes(const cudaDeviceProp& p, bool hopper) {
  std::unordered_map<int, int> table = {
      {cudaDevAttrMaxThreadsPerBlock, p.maxThreadsPerBlock},
      {cudaDevAttrMaxBlockDimX, p.maxThreadsDim[0]},
      {cudaDevAttrMaxBlockDimY, p.maxThreadsDim[1]},
      {cudaDevAttrMaxBlockDimZ, p.maxThreadsDim[2]},
      {cudaDevAttrMaxGridDimX, p.maxGridSize[0]},
      {cudaDevAttrMaxGridDimY, p.maxGridSize[1]},
      {cudaDevAttrMaxGridDimZ, p.maxGridSize[2]},
      {cudaDevAttrMaxSharedMemoryPerBlock, static_cast<int>(p.sharedMemPerBlock)},
      {cudaDevAttrTotalConstantMemory, static_cast<int>(p.totalConstMem)},
      {cudaDevAttrWarpSize, p.warpSize},
      {cudaDevAttrMaxPitch, static_cast<int>(p.memPitch)},
      {cudaDevAttrMaxRegistersPerBlock, p.regsPerBlock},
      {cudaDevAttrClockRate, hopper ? 1980000 : 1410000},
      {cudaDevAttrTextureAlignment, static_cast<int>(p.textureAlignment)},
      {cudaDevAttrMultiProcessorCount, p.multiProcessorCount},
      {cudaDevAttrMemoryClockRate, hopper ? 2619000 : 1593000},
      {cudaDevAttrGlobalMemoryBusWidth, p.memoryBusWidth},
      {cudaDevAttrL2CacheSize, p.l2CacheSize},
      {cudaDevAttrMaxThreadsPerMultiProcessor, p.maxThreadsPerMultiProcessor},
      {cudaDevAttrAsyncEngineCount, p.asyncEngineCount},
      {cudaDevAttrComputeCapabilityMajor, p.major},
      {cudaDevAttrComputeCapabilityMinor, p.minor},
      {cudaDevAttrMaxSharedMemoryPerMultiprocessor, static_cast<int>(p.sharedMemPerMultiprocessor)},
      {cudaDevAttrMaxRegistersPerMultiprocessor, p.regsPerMultiprocessor},
      {cudaDevAttrSingleToDoublePrecisionPerfRatio, 2},
      {cudaDevAttrMaxSharedMemoryPerBlockOptin, static_cast<int>(p.sharedMemPerBlockOptin)},
      {cudaDevAttrMaxBlocksPerMultiprocessor, p.maxBlocksPerMultiProcessor},
      {cudaDevAttrReservedSharedMemoryPerBlock, static_cast<int>(p.reservedSharedMemPerBlock)},
      {cudaDevAttrMaxPersistingL2CacheSize, p.persistingL2CacheMaxSize},
  };
  for (cudaDeviceAttr has_not :
       {cudaDevAttrKernelExecTimeout, cudaDevAttrIntegrated, cudaDevAttrTccDriver, cudaDevAttrIsMultiGpuBoard,
        cudaDevAttrMultiGpuBoardGroupID, cudaDevAttrPageableMemoryAccessUsesHostPageTables,
        cudaDevAttrDirectManagedMemAccessFromHost, cudaDevAttrComputeMode, cudaDevAttrPageableMemoryAccess,
        cudaDevAttrHostNativeAtomicSupported, cudaDevAttrClusterLaunch, cudaDevAttrPciBusId,
        cudaDevAttrPciDeviceId, cudaDevAttrPciDomainId})
    table[has_not] = 0;
  for (cudaDeviceAttr has :
       {cudaDevAttrCanMapHostMemory, cudaDevAttrGpuOverlap, cudaDevAttrCanUseHostPointerForRegisteredMem,
        cudaDevAttrConcurrentKernels, cudaDevAttrEccEnabled, cudaDevAttrUnifiedAddressing,
        cudaDevAttrStreamPrioritiesSupported, cudaDevAttrGlobalL1CacheSupported,
        cudaDevAttrLocalL1CacheSupported, cudaDevAttrManagedMemory, cudaDevAttrComputePreemptionSupported,
        cudaDevAttrCooperativeLaunch, cudaDevAttrMemoryPoolsSupported, cudaDevAttrHostRegisterSupported,
        cudaDevAttrConcurrentManagedAccess})
    table[has] = 1;
  return table;
}

}  // namespace

const cudaDeviceProp& device_properties() {
  static const cudaDeviceProp properties =
      make(Runtime::get().settings.capability, Runtime::get().heap().limit());
  return properties;
}

cudaError_t device_attribute(cudaDeviceAttr attribute, int& value) {
  static const auto attributes =
      make_attributes(device_properties(), Runtime::get().settings.capability == 90);
  const auto found = attributes.find(attribute);
  if (found == attributes.end()) return cudaErrorInvalidValue;
  value = found->second;
  return cudaSuccess;
}

}  // namespace emu
