// run:
// The runtime API: boxes, host and managed memory, streams, attributes, symbols, pools, limits, and what must
// fail.
#include <cuda_profiler_api.h>
#include <cstring>
#include "check.h"
#define FAILS(call, error)                                             \
  do {                                                                 \
    const cudaError_t got = (call);                                    \
    EXPECT(got == error, "%s gives %s", #call, cudaGetErrorName(got)); \
    cudaGetLastError();                                                \
  } while (0)
__global__ void inc(int* x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i]++;
}
__global__ void __launch_bounds__(128, 2) bounded(int* x) { x[threadIdx.x] = threadIdx.x; }
__global__ void dyn(float* o) {
  extern __shared__ float s[];
  s[threadIdx.x] = threadIdx.x;
  __syncthreads();
  o[threadIdx.x] = s[blockDim.x - 1 - threadIdx.x];
}
__constant__ float coef[16];
__device__ int counter;
__device__ float big[1000];
static void CUDART_CB cb(cudaStream_t, cudaError_t st, void* p) { *(int*)p = 77; }
template <class T>
__global__ void tmpl(T* p, T a) {
  p[threadIdx.x] = a;
}
struct Big {
  int a[100];
  double d;
};
__global__ void bigarg(Big b, int* out) { out[threadIdx.x] = b.a[threadIdx.x] + int(b.d); }
int main() {
  int dev = -1;
  CUDA(cudaGetDevice(&dev));
  CUDA(cudaSetDevice(0));
  CUDA(cudaSetDeviceFlags(cudaDeviceScheduleAuto));
  CUDA(cudaFree(nullptr));
  cudaDeviceProp p;
  CUDA(cudaGetDeviceProperties(&p, 0));
  int v;
  CUDA(cudaDeviceGetAttribute(&v, cudaDevAttrMultiProcessorCount, 0));
  EXPECT(v == p.multiProcessorCount, "sm");
  CUDA(cudaDriverGetVersion(&v));
  CUDA(cudaRuntimeGetVersion(&v));
  CUDA(cudaProfilerStart());
  CUDA(cudaProfilerStop());
  size_t fr, tot;
  CUDA(cudaMemGetInfo(&fr, &tot));
  EXPECT(fr <= tot, "mem");
  // 3D
  cudaExtent ext = make_cudaExtent(64, 8, 4);
  cudaPitchedPtr pp;
  CUDA(cudaMalloc3D(&pp, ext));
  CUDA(cudaMemset3D(pp, 0, ext));
  std::vector<unsigned char> h(64 * 8 * 4), r(h.size());
  for (auto& x : h) x = rng()();
  cudaMemcpy3DParms c{};
  c.srcPtr = make_cudaPitchedPtr(h.data(), 64, 64, 8);
  c.dstPtr = pp;
  c.extent = ext;
  c.kind = cudaMemcpyHostToDevice;
  CUDA(cudaMemcpy3D(&c));
  cudaMemcpy3DParms b{};
  b.srcPtr = pp;
  b.dstPtr = make_cudaPitchedPtr(r.data(), 64, 64, 8);
  b.extent = ext;
  b.kind = cudaMemcpyDeviceToHost;
  CUDA(cudaMemcpy3DAsync(&b, 0));
  CUDA(cudaDeviceSynchronize());
  EXPECT(h == r, "3d");
  CUDA(cudaFree(pp.ptr));
  // host memory
  int* hp;
  CUDA(cudaHostAlloc(&hp, 4096, cudaHostAllocMapped | cudaHostAllocPortable));
  int* dp;
  CUDA(cudaHostGetDevicePointer(&dp, hp, 0));
  memset(hp, 0, 4096);
  inc<<<4, 256>>>(dp, 1024);
  CUDA(cudaDeviceSynchronize());
  EXPECT(hp[1023] == 1, "mapped");
  unsigned fl;
  CUDA(cudaHostGetFlags(&fl, hp));
  EXPECT(fl == (cudaHostAllocMapped | cudaHostAllocPortable), "flags %u", fl);
  std::vector<int> mine(1024, 5);
  CUDA(cudaHostRegister(mine.data(), 4096, cudaHostRegisterDefault));
  CUDA(cudaHostGetDevicePointer(&dp, mine.data(), 0));
  inc<<<4, 256>>>(dp, 1024);
  CUDA(cudaDeviceSynchronize());
  EXPECT(mine[5] == 6, "registered");
  FAILS(cudaHostRegister(mine.data(), 4096, 0), cudaErrorHostMemoryAlreadyRegistered);
  CUDA(cudaHostUnregister(mine.data()));
  int* ma;
  CUDA(cudaMallocManaged(&ma, 4096));
  cudaMemLocation loc{cudaMemLocationTypeDevice, 0};
  CUDA(cudaMemPrefetchAsync(ma, 4096, loc, 0, 0));
  CUDA(cudaMemAdvise(ma, 4096, cudaMemAdviseSetReadMostly, loc));
  memset(ma, 0, 4096);
  inc<<<4, 256>>>(ma, 1024);
  CUDA(cudaDeviceSynchronize());
  EXPECT(ma[0] == 1, "managed");
  cudaPointerAttributes at;
  CUDA(cudaPointerGetAttributes(&at, ma));
  EXPECT(at.type == cudaMemoryTypeManaged, "type");
  CUDA(cudaPointerGetAttributes(&at, hp));
  EXPECT(at.type == cudaMemoryTypeHost && at.hostPointer == hp, "type");
  CUDA(cudaPointerGetAttributes(&at, h.data()));
  EXPECT(at.type == cudaMemoryTypeUnregistered, "type");
  int* d;
  CUDA(cudaMalloc(&d, 4096));
  CUDA(cudaPointerGetAttributes(&at, d + 5));
  EXPECT(at.type == cudaMemoryTypeDevice && at.devicePointer == d + 5, "type");
  FAILS(cudaMemcpy(d, hp, 5000, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  FAILS(cudaFree((char*)d + 4), cudaErrorInvalidValue);
  FAILS(cudaMemcpy(d, hp, 16, (cudaMemcpyKind)9), cudaErrorInvalidMemcpyDirection);
  // streams
  cudaStream_t s1, s2;
  CUDA(cudaStreamCreateWithPriority(&s1, cudaStreamNonBlocking, -1));
  CUDA(cudaStreamCreate(&s2));
  int pr;
  CUDA(cudaStreamGetPriority(s1, &pr));
  cudaEvent_t e1, e2;
  CUDA(cudaEventCreate(&e1));
  CUDA(cudaEventCreateWithFlags(&e2, cudaEventDisableTiming));
  CUDA(cudaEventRecord(e1, s1));
  inc<<<1, 32, 0, s1>>>(d, 32);
  CUDA(cudaEventRecord(e2, s1));
  CUDA(cudaStreamWaitEvent(s2, e2));
  CUDA(cudaEventSynchronize(e2));
  CUDA(cudaEventQuery(e2));
  float ms;
  FAILS(cudaEventElapsedTime(&ms, e1, e2), cudaErrorInvalidResourceHandle);
  int called = 0;
  CUDA(cudaStreamAddCallback(s2, cb, &called, 0));
  CUDA(cudaStreamSynchronize(s2));
  EXPECT(called == 77, "callback");
  CUDA(cudaStreamQuery(s2));
  // attributes
  cudaFuncAttributes fa;
  CUDA(cudaFuncGetAttributes(&fa, bounded));
  EXPECT(fa.maxThreadsPerBlock == 128 && fa.numRegs > 0, "%d", fa.maxThreadsPerBlock);
  bounded<<<1, 256>>>(d);
  EXPECT(cudaGetLastError() != cudaSuccess, "launch bounds");
  int mg, bs;
  CUDA(cudaOccupancyMaxPotentialBlockSize(&mg, &bs, inc, 0, 0));
  EXPECT(bs == 1024 && mg > 0, "%d %d", bs, mg);
  CUDA(cudaOccupancyMaxPotentialBlockSize(&mg, &bs, bounded));
  EXPECT(bs == 128, "%d", bs);
  CUDA(cudaFuncSetAttribute(dyn, cudaFuncAttributeMaxDynamicSharedMemorySize, 65536));
  CUDA(cudaFuncSetAttribute(dyn, cudaFuncAttributePreferredSharedMemoryCarveout, 100));
  CUDA(cudaFuncSetCacheConfig(dyn, cudaFuncCachePreferShared));
  float* fo;
  CUDA(cudaMalloc(&fo, 4096));
  cudaLaunchConfig_t lc{};
  lc.gridDim = 1;
  lc.blockDim = 64;
  lc.dynamicSmemBytes = 60000;
  lc.stream = s1;
  cudaLaunchAttribute la[1];
  la[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  la[0].val.programmaticStreamSerializationAllowed = 1;
  lc.attrs = la;
  lc.numAttrs = 1;
  CUDA(cudaLaunchKernelEx(&lc, dyn, fo));
  CUDA(cudaStreamSynchronize(s1));
  float f0;
  CUDA(cudaMemcpy(&f0, fo, 4, cudaMemcpyDefault));
  EXPECT(f0 == 63, "%g", f0);
  // symbols
  float hc[16];
  for (int i = 0; i < 16; ++i) hc[i] = i;
  CUDA(cudaMemcpyToSymbol(coef, hc, sizeof hc));
  CUDA(cudaMemcpyToSymbol(coef, hc + 5, 4, 8));
  float b16[16];
  CUDA(cudaMemcpyFromSymbol(b16, coef, sizeof hc));
  EXPECT(b16[2] == 5, "sym");
  void* sp;
  size_t ss;
  CUDA(cudaGetSymbolAddress(&sp, big));
  CUDA(cudaGetSymbolSize(&ss, big));
  EXPECT(ss == 4000, "size");
  CUDA(cudaMemset(sp, 0, ss));
  FAILS(cudaMemcpyToSymbol(coef, hc, 100), cudaErrorInvalidValue);
  Big bg;
  for (int i = 0; i < 100; ++i) bg.a[i] = i;
  bg.d = 10.5;
  bigarg<<<1, 100>>>(bg, d);
  int got[100];
  CUDA(cudaMemcpy(got, d, 400, cudaMemcpyDeviceToHost));
  EXPECT(got[99] == 109, "%d", got[99]);
  tmpl<double><<<1, 3>>>((double*)d, 2.5);
  tmpl<char><<<1, 3>>>((char*)d, 'x');
  CUDA(cudaGetLastError());
  // pools
  cudaMemPool_t pool;
  CUDA(cudaDeviceGetDefaultMemPool(&pool, 0));
  unsigned long long th = ~0ull;
  CUDA(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &th));
  unsigned long long back = 0;
  CUDA(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &back));
  EXPECT(back == th, "threshold");
  int* as;
  CUDA(cudaMallocAsync(&as, 1000, s1));
  CUDA(cudaMemsetAsync(as, 1, 1000, s1));
  CUDA(cudaFreeAsync(as, s1));
  CUDA(cudaMemPoolTrimTo(pool, 0));
  cudaMemPoolProps props{};
  props.allocType = cudaMemAllocationTypePinned;
  props.location = {cudaMemLocationTypeDevice, 0};
  cudaMemPool_t own;
  CUDA(cudaMemPoolCreate(&own, &props));
  CUDA(cudaMallocFromPoolAsync((void**)&as, 100, own, s1));
  CUDA(cudaFreeAsync(as, s1));
  CUDA(cudaMemPoolDestroy(own));
  size_t pitch;
  char* pt;
  CUDA(cudaMallocPitch(&pt, &pitch, 100, 7));
  CUDA(cudaMemset2D(pt, pitch, 3, 100, 7));
  std::vector<char> rows(700);
  CUDA(cudaMemcpy2D(rows.data(), 100, pt, pitch, 100, 7, cudaMemcpyDeviceToHost));
  EXPECT(rows[699] == 3, "2d");
  size_t lim;
  CUDA(cudaDeviceGetLimit(&lim, cudaLimitMallocHeapSize));
  CUDA(cudaDeviceSetLimit(cudaLimitPrintfFifoSize, 1 << 22));
  CUDA(cudaDeviceGetLimit(&lim, cudaLimitPrintfFifoSize));
  EXPECT(lim == 1 << 22, "limit %zu", lim);
  char bus[32];
  CUDA(cudaDeviceGetPCIBusId(bus, 32, 0));
  int dd;
  CUDA(cudaDeviceGetByPCIBusId(&dd, bus));
  EXPECT(dd == 0, "bus");
  int can;
  CUDA(cudaDeviceCanAccessPeer(&can, 0, 0));
  cudaChannelFormatDesc cf = cudaCreateChannelDesc<float>();
  EXPECT(cf.x == 32, "channel");
  EXPECT(!strcmp(cudaGetErrorString(cudaErrorInvalidValue), "invalid argument"), "text");
  EXPECT(!strcmp(cudaGetErrorName(cudaErrorLaunchTimeout), "cudaErrorLaunchTimeout"), "name");
  const char* kn;
  CUDA(cudaFuncGetName(&kn, (const void*)inc));
  size_t off, sz;
  CUDA(cudaFuncGetParamInfo((const void*)inc, 1, &off, &sz));
  EXPECT(off == 8 && sz == 4, "param");
  int lo, hi;
  CUDA(cudaDeviceGetStreamPriorityRange(&lo, &hi));
  cudaSharedMemConfig sm;
  CUDA(cudaDeviceGetSharedMemConfig(&sm));
  CUDA(cudaDeviceSetCacheConfig(cudaFuncCachePreferL1));
  cudaStreamAttrValue sav{};
  CUDA(cudaStreamGetAttribute(s1, cudaStreamAttributeSynchronizationPolicy, &sav));
  FAILS(cudaStreamSynchronize((cudaStream_t)0x1234567), cudaErrorInvalidResourceHandle);
  FAILS(cudaMalloc(nullptr, 5), cudaErrorInvalidValue);
  FAILS(cudaMemset(d, 0, 1 << 20), cudaErrorInvalidValue);
  FAILS(cudaSetDevice(50), cudaErrorInvalidDevice);
  inc<<<0, 32>>>(d, 1);
  FAILS(cudaGetLastError(), cudaErrorInvalidConfiguration);
  void* fp = nullptr;
  cudaDriverEntryPointQueryResult q;
  FAILS(cudaGetDriverEntryPointByVersion("cuMemAlloc", &fp, 12000, cudaEnableDefault, &q),
        cudaErrorNotSupported);

  CUDA(cudaFree(d));
  CUDA(cudaFree(fo));
  CUDA(cudaFree(pt));
  CUDA(cudaFree(ma));
  CUDA(cudaFreeHost(hp));
  CUDA(cudaEventDestroy(e1));
  CUDA(cudaEventDestroy(e2));
  CUDA(cudaStreamDestroy(s1));
  CUDA(cudaStreamDestroy(s2));
  CUDA(cudaDeviceReset());
  return finish();
}
