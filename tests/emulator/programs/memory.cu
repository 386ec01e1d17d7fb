// run:
// The runtime API: boxes, host and managed memory, streams, attributes, symbols, pools, limits, and what must
// fail.
#include <cstring>

#include <cuda_profiler_api.h>

#include "programs/check.h"

#define FAILS(call, error)                                             \
  do {                                                                 \
    const cudaError_t got = (call);                                    \
    EXPECT(got == error, "%s gives %s", #call, cudaGetErrorName(got)); \
    cudaGetLastError();                                                \
  } while (0)

struct Big {
  int a[100];
  double d;
};
__constant__ float coefficients[16];
__device__ float big[1000];

__global__ void increment(int* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i]++;
}
__global__ void __launch_bounds__(128, 2) bounded(int* x) { x[threadIdx.x] = threadIdx.x; }
__global__ void reverse(float* out) {
  extern __shared__ float cells[];
  cells[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[threadIdx.x] = cells[blockDim.x - 1 - threadIdx.x];
}
__global__ void big_argument(Big b, int* out) { out[threadIdx.x] = b.a[threadIdx.x] + static_cast<int>(b.d); }
void CUDART_CB note_call(cudaStream_t, cudaError_t, void* p) { *static_cast<int*>(p) = 77; }

void test_device() {
  int value = 0, count = 0;
  cudaDeviceProp properties;
  CUDA(cudaSetDeviceFlags(cudaDeviceScheduleAuto));
  CUDA(cudaGetDeviceProperties(&properties, 0));
  CUDA(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, 0));
  EXPECT(count == properties.multiProcessorCount, "%d", count);
  CUDA(cudaDriverGetVersion(&value));
  CUDA(cudaProfilerStart());
  CUDA(cudaProfilerStop());
  char bus[32];
  CUDA(cudaDeviceGetPCIBusId(bus, sizeof bus, 0));
  CUDA(cudaDeviceGetByPCIBusId(&value, bus));
  EXPECT(value == 0, "%d", value);
  size_t limit = 0, available = 0, total = 0;
  CUDA(cudaDeviceSetLimit(cudaLimitPrintfFifoSize, 1 << 22));
  CUDA(cudaDeviceGetLimit(&limit, cudaLimitPrintfFifoSize));
  EXPECT(limit == 1 << 22, "%zu", limit);
  CUDA(cudaMemGetInfo(&available, &total));
  EXPECT(available <= total, "%zu %zu", available, total);
  FAILS(cudaSetDevice(50), cudaErrorInvalidDevice);
  EXPECT(std::strcmp(cudaGetErrorString(cudaErrorInvalidValue), "invalid argument") == 0, "text");
  EXPECT(std::strcmp(cudaGetErrorName(cudaErrorLaunchTimeout), "cudaErrorLaunchTimeout") == 0, "name");
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult result;
  FAILS(cudaGetDriverEntryPointByVersion("cuMemAlloc", &entry, 12000, cudaEnableDefault, &result),
        cudaErrorNotSupported);
}

void test_boxes() {
  const cudaExtent extent = make_cudaExtent(64, 8, 4);
  cudaPitchedPtr box;
  CUDA(cudaMalloc3D(&box, extent));
  CUDA(cudaMemset3D(box, 0, extent));
  std::vector<unsigned char> sent(64 * 8 * 4), back(sent.size());
  for (unsigned char& x : sent) x = static_cast<unsigned char>(rng()());
  cudaMemcpy3DParms there{}, here{};
  there.srcPtr = make_cudaPitchedPtr(sent.data(), 64, 64, 8);
  there.dstPtr = here.srcPtr = box;
  there.extent = here.extent = extent;
  there.kind = cudaMemcpyHostToDevice;
  here.dstPtr = make_cudaPitchedPtr(back.data(), 64, 64, 8);
  here.kind = cudaMemcpyDeviceToHost;
  CUDA(cudaMemcpy3D(&there));
  CUDA(cudaMemcpy3DAsync(&here, nullptr));
  CUDA(cudaDeviceSynchronize());
  EXPECT(sent == back, "box");
  here.extent.depth = 5;
  FAILS(cudaMemcpy3D(&here), cudaErrorInvalidValue);
  CUDA(cudaFree(box.ptr));
  size_t pitch = 0;
  char* rows = nullptr;
  CUDA(cudaMallocPitch(&rows, &pitch, 100, 7));
  CUDA(cudaMemset2D(rows, pitch, 3, 100, 7));
  std::vector<char> packed(700);
  CUDA(cudaMemcpy2D(packed.data(), 100, rows, pitch, 100, 7, cudaMemcpyDeviceToHost));
  EXPECT(packed[0] == 3 && packed[699] == 3, "%d", packed[699]);
  CUDA(cudaFree(rows));
}

void test_host_memory() {
  int *pinned = nullptr, *mapped = nullptr, *managed = nullptr;
  unsigned flags = 0;
  CUDA(cudaHostAlloc(&pinned, 4096, cudaHostAllocMapped | cudaHostAllocPortable));
  CUDA(cudaHostGetDevicePointer(&mapped, pinned, 0));
  CUDA(cudaHostGetFlags(&flags, pinned));
  EXPECT(flags == (cudaHostAllocMapped | cudaHostAllocPortable), "%u", flags);
  std::memset(pinned, 0, 4096);
  increment<<<4, 256>>>(mapped, 1024);
  CUDA(cudaDeviceSynchronize());
  EXPECT(pinned[1023] == 1, "%d", pinned[1023]);
  std::vector<int> own(1024, 5);
  CUDA(cudaHostRegister(own.data(), 4096, cudaHostRegisterDefault));
  CUDA(cudaHostGetDevicePointer(&mapped, own.data(), 0));
  increment<<<4, 256>>>(mapped, 1024);
  CUDA(cudaDeviceSynchronize());
  EXPECT(own[5] == 6, "%d", own[5]);
  FAILS(cudaHostRegister(own.data(), 4096, 0), cudaErrorHostMemoryAlreadyRegistered);
  CUDA(cudaHostUnregister(own.data()));
  CUDA(cudaMallocManaged(&managed, 4096));
  const cudaMemLocation place{cudaMemLocationTypeDevice, 0};
  CUDA(cudaMemPrefetchAsync(managed, 4096, place, 0, nullptr));
  CUDA(cudaMemAdvise(managed, 4096, cudaMemAdviseSetReadMostly, place));
  std::memset(managed, 0, 4096);
  increment<<<4, 256>>>(managed, 1024);
  CUDA(cudaDeviceSynchronize());
  EXPECT(managed[0] == 1, "%d", managed[0]);
  cudaPointerAttributes attributes;
  CUDA(cudaPointerGetAttributes(&attributes, managed));
  EXPECT(attributes.type == cudaMemoryTypeManaged, "%d", attributes.type);
  CUDA(cudaPointerGetAttributes(&attributes, pinned));
  EXPECT(attributes.type == cudaMemoryTypeHost && attributes.hostPointer == pinned, "%d", attributes.type);
  CUDA(cudaPointerGetAttributes(&attributes, own.data()));
  EXPECT(attributes.type == cudaMemoryTypeUnregistered, "%d", attributes.type);
  CUDA(cudaFree(managed));
  CUDA(cudaFreeHost(pinned));
}

void test_device_memory() {
  Device<int> cells(1024);
  int* d = cells;
  std::vector<int> host(2000);
  cudaPointerAttributes attributes;
  CUDA(cudaPointerGetAttributes(&attributes, d + 5));
  EXPECT(attributes.type == cudaMemoryTypeDevice && attributes.devicePointer == d + 5, "%d", attributes.type);
  FAILS(cudaMemcpy(d, host.data(), 5000, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  FAILS(cudaFree(reinterpret_cast<char*>(d) + 4), cudaErrorInvalidValue);
  FAILS(cudaMemcpy(d, host.data(), 16, static_cast<cudaMemcpyKind>(9)), cudaErrorInvalidMemcpyDirection);
  FAILS(cudaMalloc(nullptr, 5), cudaErrorInvalidValue);
  FAILS(cudaMemset(d, 0, 1 << 20), cudaErrorInvalidValue);
  float values[16], back[16];
  for (int i = 0; i < 16; ++i) values[i] = static_cast<float>(i);
  CUDA(cudaMemcpyToSymbol(coefficients, values, sizeof values));
  CUDA(cudaMemcpyToSymbol(coefficients, values + 5, 4, 8));
  CUDA(cudaMemcpyFromSymbol(back, coefficients, sizeof back));
  EXPECT(back[1] == 1 && back[2] == 5, "%g %g", back[1], back[2]);
  FAILS(cudaMemcpyToSymbol(coefficients, values, 100), cudaErrorInvalidValue);
  void* address = nullptr;
  size_t size = 0;
  CUDA(cudaGetSymbolAddress(&address, big));
  CUDA(cudaGetSymbolSize(&size, big));
  EXPECT(size == sizeof big, "%zu", size);
  CUDA(cudaMemset(address, 0, size));
}

void test_streams() {
  Device<int> cells(std::vector<int>(32, 0));
  cudaStream_t first, second;
  cudaEvent_t start, end;
  CUDA(cudaStreamCreateWithPriority(&first, cudaStreamNonBlocking, -1));
  CUDA(cudaStreamCreate(&second));
  CUDA(cudaEventCreate(&start));
  CUDA(cudaEventCreateWithFlags(&end, cudaEventDisableTiming));
  CUDA(cudaEventRecord(start, first));
  increment<<<1, 32, 0, first>>>(cells, 32);
  CUDA(cudaEventRecord(end, first));
  CUDA(cudaStreamWaitEvent(second, end));
  CUDA(cudaEventSynchronize(end));
  float milliseconds = 0;
  FAILS(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
  int called = 0, priority = 0;
  CUDA(cudaStreamAddCallback(second, note_call, &called, 0));
  CUDA(cudaStreamSynchronize(second));
  EXPECT(called == 77, "%d", called);
  CUDA(cudaStreamGetPriority(first, &priority));
  cudaStreamAttrValue attribute{};
  CUDA(cudaStreamGetAttribute(first, cudaStreamAttributePriority, &attribute));
  EXPECT(priority == -1 && attribute.priority == -1, "%d %d", priority, attribute.priority);
  FAILS(cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(0x1234567)), cudaErrorInvalidResourceHandle);
  CUDA(cudaEventDestroy(start));
  CUDA(cudaEventDestroy(end));
  CUDA(cudaStreamDestroy(first));
  CUDA(cudaStreamDestroy(second));
}

void test_launches() {
  Device<int> cells(1024);
  Device<float> reals(1024);
  cudaFuncAttributes attributes;
  CUDA(cudaFuncGetAttributes(&attributes, bounded));
  EXPECT(attributes.maxThreadsPerBlock == 128, "%d", attributes.maxThreadsPerBlock);
  bounded<<<1, 256>>>(cells);
  EXPECT(cudaGetLastError() != cudaSuccess, "more threads than __launch_bounds__");
  increment<<<0, 32>>>(cells, 1);
  FAILS(cudaGetLastError(), cudaErrorInvalidConfiguration);
  int grid = 0, block = 0;
  CUDA(cudaOccupancyMaxPotentialBlockSize(&grid, &block, increment, 0, 0));
  EXPECT(block == 1024 && grid > 0, "%d %d", block, grid);
  CUDA(cudaOccupancyMaxPotentialBlockSize(&grid, &block, bounded));
  EXPECT(block == 128, "%d", block);
  CUDA(cudaFuncSetAttribute(reverse, cudaFuncAttributeMaxDynamicSharedMemorySize, 65536));
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = 1;
  config.blockDim = 64;
  config.dynamicSmemBytes = 60000;
  config.attrs = &overlap;
  config.numAttrs = 1;
  CUDA(cudaLaunchKernelEx(&config, reverse, reals.data));
  EXPECT(reals.host()[0] == 63, "%g", reals.host()[0]);
  Big argument;
  for (int i = 0; i < 100; ++i) argument.a[i] = i;
  argument.d = 10.5;
  big_argument<<<1, 100>>>(argument, cells);
  EXPECT(cells.host()[99] == 109, "%d", cells.host()[99]);
  size_t offset = 0, size = 0;
  CUDA(cudaFuncGetParamInfo(reinterpret_cast<const void*>(increment), 1, &offset, &size));
  EXPECT(offset == 8 && size == 4, "%zu %zu", offset, size);
}

void test_pools() {
  cudaMemPool_t pool, own;
  unsigned long long threshold = 123456, back = 0;
  CUDA(cudaDeviceGetDefaultMemPool(&pool, 0));
  CUDA(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold));
  CUDA(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &back));
  EXPECT(back == threshold, "%llu", back);
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location = {cudaMemLocationTypeDevice, 0};
  CUDA(cudaMemPoolCreate(&own, &properties));
  int *first = nullptr, *second = nullptr;
  CUDA(cudaMallocAsync(&first, 1000, nullptr));
  CUDA(cudaMemsetAsync(first, 1, 1000, nullptr));
  CUDA(cudaMallocFromPoolAsync(reinterpret_cast<void**>(&second), 100, own, nullptr));
  CUDA(cudaFreeAsync(first, nullptr));
  CUDA(cudaFreeAsync(second, nullptr));
  CUDA(cudaMemPoolDestroy(own));
}

int main() {
  test_device();
  test_boxes();
  test_host_memory();
  test_device_memory();
  test_streams();
  test_launches();
  test_pools();
  return finish();
}
