// run: --devices 2
// run: --check full --threads 2 --devices 2
// The runtime API: errors and limits, streams and events, graphs, symbols, cooperative launches, warp
// operations, atomics, libraries, several devices.
#include <cooperative_groups.h>

#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>

#include "programs/check.h"

namespace cg = cooperative_groups;

__device__ int scale = 2;
__managed__ int shared_count = 5;
__global__ void multiply(const int* in, int* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = in[i] * scale;
}
__global__ void increment(int* out) { out[threadIdx.x] += 1; }
__global__ void big_shared(int* out) {
  extern __shared__ int cells[];
  cells[threadIdx.x] = threadIdx.x;
  cells[20000 + threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = cells[threadIdx.x] + cells[20000 + threadIdx.x];
}
__global__ void faulty(int* p) { p[1 << 28] = 1; }
__global__ void count_managed() { atomicAdd(&shared_count, 1); }

#define FAILS(call, error)                                             \
  do {                                                                 \
    const cudaError_t got = (call);                                    \
    EXPECT(got == error, "%s gives %s", #call, cudaGetErrorName(got)); \
    cudaGetLastError();                                                \
  } while (0)

void test_limits() {
  EXPECT(std::strcmp(cudaGetErrorName(cudaErrorNvlinkUncorrectable), "cudaErrorNvlinkUncorrectable") == 0,
         "its name");
  Device<int> out(4096);
  increment<<<1, 1025>>>(out);
  FAILS(cudaGetLastError(), cudaErrorInvalidConfiguration);
  increment<<<dim3(1, 70000), 32>>>(out);
  FAILS(cudaGetLastError(), cudaErrorInvalidConfiguration);
  const int bytes = 100000;
  big_shared<<<1, 64, bytes>>>(out);
  FAILS(cudaGetLastError(), cudaErrorInvalidValue);
  CUDA(cudaFuncSetAttribute(big_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  big_shared<<<1, 64, bytes>>>(out);
  CUDA(cudaGetLastError());
  EXPECT(out.host()[63] == 64, "%d", out.host()[63]);
  FAILS(cudaFuncSetAttribute(big_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 300000),
        cudaErrorInvalidValue);
  int blocks = 0;
  CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, big_shared, 1024, 0));
  EXPECT(blocks == 2, "%d", blocks);
  void* huge;
  FAILS(cudaMalloc(&huge, 1ull << 50), cudaErrorMemoryAllocation);
  FAILS(cudaMemcpy(out, out, 1 << 20, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  FAILS(cudaSetDevice(7), cudaErrorInvalidDevice);
  cudaDeviceProp properties;
  CUDA(cudaGetDeviceProperties(&properties, 0));
  EXPECT(properties.major == 8 && properties.multiProcessorCount == 108 &&
             properties.sharedMemPerBlockOptin == 166912,
         "%s", properties.name);
}

void test_symbols() {
  int value = 0;
  CUDA(cudaMemcpyFromSymbol(&value, scale, sizeof value));
  EXPECT(value == 2, "%d", value);
  value = 3;
  CUDA(cudaMemcpyToSymbol(scale, &value, sizeof value));
  Device<int> in(std::vector<int>{1, 2, 3}), out(3);
  multiply<<<1, 32>>>(in, out, 3);
  EXPECT(out.host()[2] == 9, "%d", out.host()[2]);
  count_managed<<<2, 32>>>();
  CUDA(cudaDeviceSynchronize());
  EXPECT(shared_count == 69, "%d", shared_count);
}

void test_graphs() {
  cudaStream_t main_stream, side;
  cudaEvent_t fork, join;
  CUDA(cudaStreamCreate(&main_stream));
  CUDA(cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking));
  CUDA(cudaEventCreate(&fork));
  CUDA(cudaEventCreate(&join));
  Device<int> a(32), b(32);
  CUDA(cudaMemset(b, 0, 128));
  CUDA(cudaStreamBeginCapture(main_stream, cudaStreamCaptureModeGlobal));
  CUDA(cudaMemsetAsync(a, 0, 128, main_stream));
  CUDA(cudaEventRecord(fork, main_stream));
  CUDA(cudaStreamWaitEvent(side, fork, 0));
  increment<<<1, 32, 0, side>>>(b);
  increment<<<1, 32, 0, main_stream>>>(a);
  CUDA(cudaEventRecord(join, side));
  CUDA(cudaStreamWaitEvent(main_stream, join, 0));
  cudaGraph_t graph;
  CUDA(cudaStreamEndCapture(main_stream, &graph));
  size_t nodes = 0;
  CUDA(cudaGraphGetNodes(graph, nullptr, &nodes));
  EXPECT(nodes == 3, "%zu nodes", nodes);
  EXPECT(b.host()[0] == 0, "capturing must not execute");
  cudaGraphExec_t exec;
  CUDA(cudaGraphInstantiate(&exec, graph, 0));
  for (int i = 0; i < 3; ++i) CUDA(cudaGraphLaunch(exec, main_stream));
  CUDA(cudaStreamSynchronize(main_stream));
  EXPECT(a.host()[31] == 1 && b.host()[31] == 3, "%d %d", a.host()[31], b.host()[31]);
  CUDA(cudaGraphExecDestroy(exec));
  CUDA(cudaGraphDestroy(graph));
  // Work left on a joined stream is an error.
  CUDA(cudaStreamBeginCapture(main_stream, cudaStreamCaptureModeGlobal));
  CUDA(cudaEventRecord(fork, main_stream));
  CUDA(cudaStreamWaitEvent(side, fork, 0));
  increment<<<1, 32, 0, side>>>(b);
  FAILS(cudaStreamEndCapture(main_stream, &graph), cudaErrorStreamCaptureUnjoined);
  float milliseconds = -1;
  CUDA(cudaEventRecord(fork));
  CUDA(cudaEventRecord(join));
  CUDA(cudaEventElapsedTime(&milliseconds, fork, join));
  EXPECT(milliseconds >= 0, "%g", milliseconds);
  CUDA(cudaEventDestroy(fork));
  CUDA(cudaEventDestroy(join));
  CUDA(cudaStreamDestroy(main_stream));
  CUDA(cudaStreamDestroy(side));
}

__global__ void across_grid(int* cells, int* sum) {
  cg::grid_group grid = cg::this_grid();
  const int i = grid.thread_rank();
  cells[i] = i;
  grid.sync();
  const int other = cells[grid.size() - 1 - i];
  grid.sync();
  cells[i] = other;
  grid.sync();
  if (i == 0) {
    for (int k = 0; k < grid.size(); ++k) *sum += cells[k] * (k % 3);
  }
}
void test_cooperative() {
  Device<int> cells(20 * 64), sum(std::vector<int>{0});
  int *c = cells, *s = sum;
  void* arguments[] = {&c, &s};
  CUDA(cudaLaunchCooperativeKernel(reinterpret_cast<void*>(across_grid), dim3(20), dim3(64), arguments, 0,
                                   nullptr));
  int expected = 0;
  for (int k = 0; k < 1280; ++k) expected += (1279 - k) * (k % 3);
  EXPECT(sum.host()[0] == expected, "%d %d", sum.host()[0], expected);
  FAILS(cudaLaunchCooperativeKernel(reinterpret_cast<void*>(across_grid), dim3(100000), dim3(64), arguments,
                                    0, nullptr),
        cudaErrorCooperativeLaunchTooLarge);
}

__global__ void warp_operations(unsigned* out) {
  const unsigned lane = threadIdx.x;
  unsigned* mine = out + lane * 12;
  mine[0] = __ballot_sync(~0u, lane % 3 == 0);
  mine[1] = __any_sync(~0u, lane == 5) + 2 * __all_sync(~0u, lane < 32);
  mine[2] = __match_any_sync(~0u, lane / 4);
  mine[3] = __reduce_add_sync(~0u, lane) + __reduce_max_sync(~0u, lane * 100);
  mine[4] = __shfl_up_sync(~0u, lane, 3) + 100 * __shfl_down_sync(~0u, lane, 3, 16);
  mine[5] = __shfl_sync(~0u, lane, lane + 1, 8);
  if (lane % 2) {
    mine[6] = __activemask();
    mine[7] = __shfl_xor_sync(0xaaaaaaaau, lane, 2);
  } else {
    mine[6] = 0;
    mine[7] = __popc(__ballot_sync(0x55555555u, lane > 15));
  }
  __syncwarp();
  typedef cub::BlockReduce<int, 32> Reduce;
  typedef cub::BlockScan<int, 32> Scan;
  __shared__ union {
    typename Reduce::TempStorage reduce;
    typename Scan::TempStorage scan;
  } storage;
  const int total = Reduce(storage.reduce).Sum(static_cast<int>(lane));
  __syncthreads();
  int prefix;
  Scan(storage.scan).ExclusiveSum(static_cast<int>(lane), prefix);
  mine[8] = lane == 0 ? total : 0;
  mine[9] = prefix;
  auto tile = cg::tiled_partition<8>(cg::this_thread_block());
  mine[10] = tile.shfl_xor(lane, 1) + tile.meta_group_rank() * 1000;
  mine[11] = __any_sync(~0u, lane == 40);
}
void test_warp() {
  Device<unsigned> out(32 * 12);
  warp_operations<<<1, 32>>>(out);
  const auto o = out.host();
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned* mine = &o[lane * 12];
    EXPECT(mine[0] == 0x49249249u, "%x", mine[0]);
    EXPECT(mine[1] == 3, "%u", mine[1]);
    EXPECT(mine[2] == 0xfu << lane / 4 * 4, "%x", mine[2]);
    EXPECT(mine[3] == 496 + 3100, "%u", mine[3]);
    EXPECT(mine[4] == (lane < 3 ? lane : lane - 3) + 100 * (lane % 16 < 13 ? lane + 3 : lane), "%u", mine[4]);
    EXPECT(mine[5] == lane / 8 * 8 + (lane + 1) % 8, "%u", mine[5]);
    EXPECT(mine[6] == (lane % 2 ? 0xaaaaaaaau : 0), "%x", mine[6]);
    EXPECT(mine[7] == (lane % 2 ? lane ^ 2 : 8), "%u", mine[7]);
    EXPECT(mine[8] == (lane == 0 ? 496u : 0), "%u", mine[8]);
    EXPECT(mine[9] == lane * (lane - 1) / 2, "%u", mine[9]);
    EXPECT(mine[10] == (lane ^ 1) + lane / 8 * 1000, "%u", mine[10]);
    EXPECT(mine[11] == 0, "%u", mine[11]);
  }
}

__global__ void atomics(int* i, unsigned* u, unsigned long long* w, float* f, double* d) {
  const int t = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(&i[0], t);
  atomicMin(&i[1], -t);
  atomicMax(&i[2], t);
  atomicSub(&i[3], 1);
  atomicOr(&u[0], 1u << t % 32);
  atomicXor(&u[1], t);
  atomicInc(&u[2], 9);
  atomicAdd(&w[0], 1ull << 33);
  atomicMax(&w[1], 1ull << t % 64);
  atomicAdd(&f[0], 0.5f);
  atomicAdd(&d[0], 0.25);
  __shared__ int sum;
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  atomicAdd(&sum, 1);
  __syncthreads();
  if (threadIdx.x == 0) atomicAdd(&i[4], sum);
}
void test_atomics() {
  Device<int> i(std::vector<int>(5, 0));
  Device<unsigned> u(std::vector<unsigned>(3, 0));
  Device<unsigned long long> w(std::vector<unsigned long long>(2, 0));
  Device<float> f(std::vector<float>{0});
  Device<double> d(std::vector<double>{0});
  atomics<<<9, 96>>>(i, u, w, f, d);
  const int n = 9 * 96;
  unsigned parity = 0;
  for (int t = 0; t < n; ++t) parity ^= t;
  const auto hi = i.host();
  const auto hu = u.host();
  EXPECT(hi[0] == n * (n - 1) / 2 && hi[1] == 1 - n && hi[2] == n - 1 && hi[3] == -n && hi[4] == n,
         "%d %d %d %d %d", hi[0], hi[1], hi[2], hi[3], hi[4]);
  EXPECT(hu[0] == ~0u && hu[1] == parity && hu[2] == n % 10, "%x %x %u", hu[0], hu[1], hu[2]);
  EXPECT(w.host()[0] == (1ull << 33) * n && w.host()[1] == 1ull << 63, "wide");
  EXPECT(f.host()[0] == n / 2.0f && d.host()[0] == n / 4.0, "real");
}

void test_library() {
  const char* ptx = R"(
.version 8.0
.target sm_80
.address_size 64
.visible .entry answer(.param .u64 p) { .reg .b64 %rd<2>; ld.param.u64 %rd1, [p]; st.global.u32 [%rd1], 42; ret; }
)";
  cudaLibrary_t library;
  cudaKernel_t kernel;
  CUDA(cudaLibraryLoadData(&library, ptx, nullptr, nullptr, 0, nullptr, nullptr, 0));
  CUDA(cudaLibraryGetKernel(&kernel, library, "answer"));
  Device<int> out(1);
  int* pointer = out;
  void* arguments[] = {&pointer};
  CUDA(cudaLaunchKernel(reinterpret_cast<void*>(kernel), dim3(1), dim3(1), arguments, 0, nullptr));
  EXPECT(out.host()[0] == 42, "%d", out.host()[0]);
  FAILS(cudaLibraryGetKernel(&kernel, library, "question"), cudaErrorSymbolNotFound);
  FAILS(cudaLibraryLoadData(&library, ".version 8.0\n.target sm_80\n.address_size 64\n.entry x() { add.s32 }",
                            nullptr, nullptr, 0, nullptr, nullptr, 0),
        cudaErrorInvalidPtx);
}

void test_devices() {
  int count = 0;
  CUDA(cudaGetDeviceCount(&count));
  EXPECT(count == 2, "%d devices", count);
  CUDA(cudaSetDevice(1));
  int value = 0;
  CUDA(cudaMemcpyFromSymbol(&value, scale, sizeof value));
  EXPECT(value == 2, "each device has its own variables: %d", value);
  Device<int> there(std::vector<int>{4, 5});
  CUDA(cudaSetDevice(0));
  Device<int> here(2);
  CUDA(cudaMemcpyPeer(here, 0, there, 1, 8));
  EXPECT(here.host()[1] == 5, "%d", here.host()[1]);
  CUDA(cudaDeviceEnablePeerAccess(1, 0));
  FAILS(cudaDeviceEnablePeerAccess(1, 0), cudaErrorPeerAccessAlreadyEnabled);
  CUDA(cudaDeviceDisablePeerAccess(1));
  FAILS(cudaDeviceDisablePeerAccess(1), cudaErrorPeerAccessNotEnabled);
  cudaStream_t stream;
  CUDA(cudaStreamCreate(&stream));
  CUDA(cudaSetDevice(1));
  increment<<<1, 2, 0, stream>>>(there);
  FAILS(cudaGetLastError(), cudaErrorInvalidResourceHandle);
  CUDA(cudaSetDevice(0));
  CUDA(cudaStreamDestroy(stream));
}

// Arguments that are nothing, or not what they should be, get an error.
void test_arguments() {
  int value = 0;
  float time;
  size_t size;
  cudaGraphExec_t exec;
  cudaLibrary_t library;
  cudaKernel_t kernel;
  cudaEvent_t event, gone;
  cudaStream_t stream;
  CUDA(cudaEventCreate(&event));
  CUDA(cudaEventCreate(&gone));
  CUDA(cudaEventDestroy(gone));
  const auto no_stream = reinterpret_cast<cudaStream_t>(&value);
  FAILS(cudaEventCreate(nullptr), cudaErrorInvalidValue);
  FAILS(cudaEventCreateWithFlags(&event, 0x999), cudaErrorInvalidValue);
  FAILS(cudaEventDestroy(gone), cudaErrorInvalidResourceHandle);
  FAILS(cudaEventRecord(gone, nullptr), cudaErrorInvalidResourceHandle);
  FAILS(cudaEventSynchronize(nullptr), cudaErrorInvalidResourceHandle);
  FAILS(cudaEventElapsedTime(&time, event, gone), cudaErrorInvalidResourceHandle);
  FAILS(cudaStreamWaitEvent(nullptr, gone, 0), cudaErrorInvalidResourceHandle);
  FAILS(cudaStreamCreateWithFlags(&stream, 77), cudaErrorInvalidValue);
  FAILS(cudaStreamGetPriority(no_stream, &value), cudaErrorInvalidResourceHandle);
  FAILS(cudaLaunchHostFunc(nullptr, nullptr, nullptr), cudaErrorInvalidValue);
  FAILS(cudaGraphLaunch(nullptr, nullptr), cudaErrorInvalidValue);
  FAILS(cudaGraphInstantiate(&exec, nullptr, 0), cudaErrorInvalidValue);
  FAILS(cudaGraphDestroy(nullptr), cudaErrorInvalidValue);
  FAILS(cudaGetDevice(nullptr), cudaErrorInvalidValue);
  FAILS(cudaGetDeviceProperties(nullptr, 0), cudaErrorInvalidValue);
  FAILS(cudaLibraryLoadData(&library, nullptr, nullptr, nullptr, 0, nullptr, nullptr, 0),
        cudaErrorInvalidValue);
  FAILS(cudaLibraryGetKernel(&kernel, nullptr, "k"), cudaErrorInvalidResourceHandle);
  FAILS(cudaMemGetInfo(nullptr, &size), cudaErrorInvalidValue);
  FAILS(cudaDeviceGetLimit(&size, static_cast<cudaLimit>(77)), cudaErrorUnsupportedLimit);
  FAILS(cudaMemcpyPeer(&value, 0, &value, 7, 4), cudaErrorInvalidDevice);
  CUDA(cudaEventDestroy(event));
}

void test_sticky() {
  int* p;
  CUDA(cudaMalloc(&p, 64));
  faulty<<<1, 1>>>(p);
  EXPECT(cudaDeviceSynchronize() == cudaErrorIllegalAddress, "the fault is not reported");
  EXPECT(cudaMalloc(&p, 64) == cudaErrorIllegalAddress, "the error does not stick");
}

int main() {
  test_limits();
  test_symbols();
  test_graphs();
  test_cooperative();
  test_warp();
  test_atomics();
  test_library();
  test_devices();
  test_arguments();
  test_sticky();
  return finish();
}
