// The names that nvcc --default-stream per-thread calls: the same functions, for which the null stream is the
// calling thread's own.
#include "runtime/runtime.h"

namespace {

cudaStream_t own(cudaStream_t stream) { return stream == nullptr ? cudaStreamPerThread : stream; }

}  // namespace

// FORWARD(name, (parameters), (arguments)): the arguments have own(stream) where a stream stands.
#define FORWARD(name, parameters, arguments) \
  cudaError_t name parameters { return arguments; }

extern "C" {

FORWARD(cudaLaunchKernel_ptsz, (const void* f, dim3 g, dim3 b, void** a, size_t m, cudaStream_t s),
        cudaLaunchKernel(f, g, b, a, m, own(s)))
FORWARD(__cudaLaunchKernel_ptsz, (cudaKernel_t k, dim3 g, dim3 b, void** a, size_t m, cudaStream_t s),
        cudaLaunchKernel(k, g, b, a, m, own(s)))
FORWARD(cudaLaunchCooperativeKernel_ptsz, (const void* f, dim3 g, dim3 b, void** a, size_t m, cudaStream_t s),
        cudaLaunchCooperativeKernel(f, g, b, a, m, own(s)))
cudaError_t cudaLaunchKernelExC_ptsz(const cudaLaunchConfig_t* config, const void* function,
                                     void** arguments) {
  cudaLaunchConfig_t mine = *config;
  mine.stream = own(config->stream);
  return cudaLaunchKernelExC(&mine, function, arguments);
}
FORWARD(cudaLaunchHostFunc_ptsz, (cudaStream_t s, cudaHostFn_t f, void* d), cudaLaunchHostFunc(own(s), f, d))

FORWARD(cudaMemcpy_ptds, (void* t, const void* f, size_t n, cudaMemcpyKind k), cudaMemcpy(t, f, n, k))
FORWARD(cudaMemcpyAsync_ptsz, (void* t, const void* f, size_t n, cudaMemcpyKind k, cudaStream_t s),
        cudaMemcpyAsync(t, f, n, k, own(s)))
FORWARD(cudaMemcpy2D_ptds,
        (void* t, size_t tp, const void* f, size_t fp, size_t w, size_t h, cudaMemcpyKind k),
        cudaMemcpy2D(t, tp, f, fp, w, h, k))
FORWARD(cudaMemcpy2DAsync_ptsz,
        (void* t, size_t tp, const void* f, size_t fp, size_t w, size_t h, cudaMemcpyKind k, cudaStream_t s),
        cudaMemcpy2DAsync(t, tp, f, fp, w, h, k, own(s)))
FORWARD(cudaMemcpy3D_ptds, (const cudaMemcpy3DParms* p), cudaMemcpy3D(p))
FORWARD(cudaMemcpy3DAsync_ptsz, (const cudaMemcpy3DParms* p, cudaStream_t s), cudaMemcpy3DAsync(p, own(s)))
FORWARD(cudaMemcpy3DPeer_ptds, (const cudaMemcpy3DPeerParms* p), cudaMemcpy3DPeer(p))
FORWARD(cudaMemcpy3DPeerAsync_ptsz, (const cudaMemcpy3DPeerParms* p, cudaStream_t s),
        cudaMemcpy3DPeerAsync(p, own(s)))
FORWARD(cudaMemcpyToSymbol_ptds, (const void* t, const void* f, size_t n, size_t o, cudaMemcpyKind k),
        cudaMemcpyToSymbol(t, f, n, o, k))
FORWARD(cudaMemcpyFromSymbol_ptds, (void* t, const void* f, size_t n, size_t o, cudaMemcpyKind k),
        cudaMemcpyFromSymbol(t, f, n, o, k))
FORWARD(cudaMemcpyToSymbolAsync_ptsz,
        (const void* t, const void* f, size_t n, size_t o, cudaMemcpyKind k, cudaStream_t s),
        cudaMemcpyToSymbolAsync(t, f, n, o, k, own(s)))
FORWARD(cudaMemcpyFromSymbolAsync_ptsz,
        (void* t, const void* f, size_t n, size_t o, cudaMemcpyKind k, cudaStream_t s),
        cudaMemcpyFromSymbolAsync(t, f, n, o, k, own(s)))
FORWARD(cudaMemcpyBatchAsync_ptsz,
        (void* const* t, const void* const* f, const size_t* n, size_t c, cudaMemcpyAttributes* a, size_t* i,
         size_t m, cudaStream_t s),
        cudaMemcpyBatchAsync(t, f, n, c, a, i, m, own(s)))
FORWARD(cudaMemset_ptds, (void* t, int v, size_t n), cudaMemsetAsync(t, v, n, own(nullptr)))
FORWARD(cudaMemsetAsync_ptsz, (void* t, int v, size_t n, cudaStream_t s), cudaMemsetAsync(t, v, n, own(s)))
FORWARD(cudaMemset2D_ptds, (void* t, size_t p, int v, size_t w, size_t h),
        cudaMemset2DAsync(t, p, v, w, h, own(nullptr)))
FORWARD(cudaMemset2DAsync_ptsz, (void* t, size_t p, int v, size_t w, size_t h, cudaStream_t s),
        cudaMemset2DAsync(t, p, v, w, h, own(s)))
FORWARD(cudaMemset3D_ptds, (cudaPitchedPtr t, int v, cudaExtent e), cudaMemset3DAsync(t, v, e, own(nullptr)))
FORWARD(cudaMemset3DAsync_ptsz, (cudaPitchedPtr t, int v, cudaExtent e, cudaStream_t s),
        cudaMemset3DAsync(t, v, e, own(s)))
FORWARD(cudaMemPrefetchAsync_ptsz, (const void* p, size_t n, cudaMemLocation l, unsigned f, cudaStream_t s),
        cudaMemPrefetchAsync(p, n, l, f, own(s)))
FORWARD(cudaMallocAsync_ptsz, (void** p, size_t n, cudaStream_t s), cudaMallocAsync(p, n, own(s)))
FORWARD(cudaMallocFromPoolAsync_ptsz, (void** p, size_t n, cudaMemPool_t m, cudaStream_t s),
        cudaMallocFromPoolAsync(p, n, m, own(s)))
FORWARD(cudaFreeAsync_ptsz, (void* p, cudaStream_t s), cudaFreeAsync(p, own(s)))

FORWARD(cudaStreamSynchronize_ptsz, (cudaStream_t s), cudaStreamSynchronize(own(s)))
FORWARD(cudaStreamQuery_ptsz, (cudaStream_t s), cudaStreamQuery(own(s)))
FORWARD(cudaStreamWaitEvent_ptsz, (cudaStream_t s, cudaEvent_t e, unsigned f),
        cudaStreamWaitEvent(own(s), e, f))
FORWARD(cudaStreamAddCallback_ptsz, (cudaStream_t s, cudaStreamCallback_t c, void* d, unsigned f),
        cudaStreamAddCallback(own(s), c, d, f))
FORWARD(cudaStreamAttachMemAsync_ptsz, (cudaStream_t s, void* p, size_t n, unsigned f),
        cudaStreamAttachMemAsync(own(s), p, n, f))
FORWARD(cudaStreamGetPriority_ptsz, (cudaStream_t s, int* p), cudaStreamGetPriority(own(s), p))
FORWARD(cudaStreamGetFlags_ptsz, (cudaStream_t s, unsigned* f), cudaStreamGetFlags(own(s), f))
FORWARD(cudaStreamGetId_ptsz, (cudaStream_t s, unsigned long long* i), cudaStreamGetId(own(s), i))
FORWARD(cudaStreamGetDevice_ptsz, (cudaStream_t s, int* d), cudaStreamGetDevice(own(s), d))
FORWARD(cudaStreamSetAttribute_ptsz, (cudaStream_t s, cudaStreamAttrID a, const cudaStreamAttrValue* v),
        cudaStreamSetAttribute(own(s), a, v))
FORWARD(cudaStreamGetAttribute_ptsz, (cudaStream_t s, cudaStreamAttrID a, cudaStreamAttrValue* v),
        cudaStreamGetAttribute(own(s), a, v))
FORWARD(cudaStreamBeginCapture_ptsz, (cudaStream_t s, cudaStreamCaptureMode m),
        cudaStreamBeginCapture(own(s), m))
FORWARD(cudaStreamBeginCaptureToGraph_ptsz,
        (cudaStream_t s, cudaGraph_t g, const cudaGraphNode_t* d, const cudaGraphEdgeData* e, size_t n,
         cudaStreamCaptureMode m),
        cudaStreamBeginCaptureToGraph(own(s), g, d, e, n, m))
FORWARD(cudaStreamUpdateCaptureDependencies_ptsz,
        (cudaStream_t s, cudaGraphNode_t* d, const cudaGraphEdgeData* e, size_t n, unsigned f),
        cudaStreamUpdateCaptureDependencies(own(s), d, e, n, f))
FORWARD(cudaStreamCopyAttributes_ptsz, (cudaStream_t t, cudaStream_t f),
        cudaStreamCopyAttributes(own(t), own(f)))
FORWARD(cudaStreamEndCapture_ptsz, (cudaStream_t s, cudaGraph_t* g), cudaStreamEndCapture(own(s), g))
FORWARD(cudaStreamIsCapturing_ptsz, (cudaStream_t s, cudaStreamCaptureStatus* c),
        cudaStreamIsCapturing(own(s), c))
FORWARD(cudaStreamGetCaptureInfo_ptsz,
        (cudaStream_t s, cudaStreamCaptureStatus* c, unsigned long long* i, cudaGraph_t* g,
         const cudaGraphNode_t** d, const cudaGraphEdgeData** e, size_t* n),
        cudaStreamGetCaptureInfo(own(s), c, i, g, d, e, n))
FORWARD(cudaEventRecord_ptsz, (cudaEvent_t e, cudaStream_t s), cudaEventRecord(e, own(s)))
FORWARD(cudaEventRecordWithFlags_ptsz, (cudaEvent_t e, cudaStream_t s, unsigned f),
        cudaEventRecordWithFlags(e, own(s), f))
FORWARD(cudaGraphLaunch_ptsz, (cudaGraphExec_t g, cudaStream_t s), cudaGraphLaunch(g, own(s)))
FORWARD(cudaGraphUpload_ptsz, (cudaGraphExec_t g, cudaStream_t s), cudaGraphUpload(g, own(s)))

}  // extern "C"
