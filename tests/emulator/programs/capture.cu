// run:
// run: --check full --error-exitcode 9
// What a stream captures, asked and changed node by node as if it had been built so, and what a capture
// forbids.
#include <thread>

#include "programs/check.h"

__global__ void add(int* x, int v) { x[threadIdx.x] += v; }
void CUDART_CB count_call(void* p) { ++*static_cast<int*>(p); }

std::vector<cudaGraphNode_t> nodes_of(cudaGraph_t graph) {
  size_t count = 0;
  CUDA(cudaGraphGetNodes(graph, nullptr, &count));
  std::vector<cudaGraphNode_t> nodes(count);
  CUDA(cudaGraphGetNodes(graph, nodes.data(), &count));
  return nodes;
}
void expect_type(cudaGraphNode_t node, cudaGraphNodeType expected) {
  cudaGraphNodeType type;
  CUDA(cudaGraphNodeGetType(node, &type));
  EXPECT(type == expected, "type %d for %d", type, expected);
}

// x = 0x05050505; x += 3; rows of it to the host; a call of the host.
struct Captured {
  int *device = nullptr, *other = nullptr, *host = nullptr, calls = 0;
  cudaStream_t stream;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  cudaGraphNode_t clear, kernel, copy, call;

  Captured() {
    CUDA(cudaMalloc(&device, 256));
    CUDA(cudaMalloc(&other, 256));
    CUDA(cudaMemset(other, 0, 256));
    CUDA(cudaMallocHost(&host, 256));
    CUDA(cudaStreamCreate(&stream));
    CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    CUDA(cudaMemset2DAsync(device, 128, 0x105, 64, 2, stream));
    add<<<1, 16, 0, stream>>>(device, 3);
    CUDA(cudaMemcpy2DAsync(host, 64, device, 128, 64, 2, cudaMemcpyDeviceToHost, stream));
    CUDA(cudaLaunchHostFunc(stream, count_call, &calls));
    CUDA(cudaStreamEndCapture(stream, &graph));
    const auto nodes = nodes_of(graph);
    EXPECT(nodes.size() == 4, "%zu nodes", nodes.size());
    clear = nodes[0], kernel = nodes[1], copy = nodes[2], call = nodes[3];
    CUDA(cudaGraphInstantiate(&exec, graph, 0));
  }
  ~Captured() {
    CUDA(cudaGraphExecDestroy(exec));
    CUDA(cudaGraphDestroy(graph));
    CUDA(cudaStreamDestroy(stream));
    CUDA(cudaFree(device));
    CUDA(cudaFree(other));
    CUDA(cudaFreeHost(host));
  }
  void expect(int first, int second) {
    for (int i = 0; i < 32; ++i) host[i] = -1;
    CUDA(cudaGraphLaunch(exec, stream));
    CUDA(cudaStreamSynchronize(stream));
    EXPECT(host[0] == first && host[16] == second, "%x %x", host[0], host[16]);
  }
};

void test_questions() {
  Captured c;
  cudaMemsetParams clear{};
  CUDA(cudaGraphMemsetNodeGetParams(c.clear, &clear));
  EXPECT(clear.dst == c.device && clear.pitch == 128 && clear.value == 5 && clear.elementSize == 1 &&
             clear.width == 64 && clear.height == 2,
         "memset");
  cudaMemcpy3DParms copy{};
  CUDA(cudaGraphMemcpyNodeGetParams(c.copy, &copy));
  EXPECT(copy.srcPtr.ptr == c.device && copy.srcPtr.pitch == 128 && copy.dstPtr.ptr == c.host &&
             copy.dstPtr.pitch == 64 && copy.extent.width == 64 && copy.extent.height == 2 &&
             copy.extent.depth == 1,
         "copy");
  cudaKernelNodeParams kernel{};
  CUDA(cudaGraphKernelNodeGetParams(c.kernel, &kernel));
  EXPECT(kernel.func == reinterpret_cast<void*>(add) && kernel.blockDim.x == 16, "kernel");
  EXPECT(*static_cast<int**>(kernel.kernelParams[0]) == c.device &&
             *static_cast<int*>(kernel.kernelParams[1]) == 3,
         "arguments");
  cudaHostNodeParams call{};
  CUDA(cudaGraphHostNodeGetParams(c.call, &call));
  EXPECT(call.fn == count_call && call.userData == &c.calls, "call");
  EXPECT(cudaGraphMemsetNodeGetParams(c.copy, &clear) == cudaErrorInvalidValue, "a copy is not a memset");
  cudaGetLastError();
}

void test_changes() {
  Captured c;
  c.expect(0x05050508, 0x05050505);
  EXPECT(c.calls == 1, "%d", c.calls);
  // Each change begins with what the node says of itself.
  cudaMemsetParams clear{};
  CUDA(cudaGraphMemsetNodeGetParams(c.clear, &clear));
  clear.elementSize = 2;
  clear.width = 32;
  clear.value = 0x0102;
  CUDA(cudaGraphExecMemsetNodeSetParams(c.exec, c.clear, &clear));
  c.expect(0x01020105, 0x01020102);
  int added = 7;
  cudaKernelNodeParams kernel{};
  CUDA(cudaGraphKernelNodeGetParams(c.kernel, &kernel));
  kernel.kernelParams[1] = &added;
  CUDA(cudaGraphExecKernelNodeSetParams(c.exec, c.kernel, &kernel));
  c.expect(0x01020109, 0x01020102);
  cudaMemcpy3DParms copy{};
  CUDA(cudaGraphMemcpyNodeGetParams(c.copy, &copy));
  copy.srcPtr.ptr = c.other;
  CUDA(cudaGraphExecMemcpyNodeSetParams(c.exec, c.copy, &copy));
  c.expect(0, 0);
  CUDA(cudaGraphExecMemcpyNodeSetParams1D(c.exec, c.copy, c.host, c.device, 4, cudaMemcpyDeviceToHost));
  c.expect(0x01020109, -1);
  // The graph has kept what was captured; changed itself, it changes what is made of it.
  cudaGraphExecUpdateResultInfo info;
  CUDA(cudaGraphExecUpdate(c.exec, c.graph, &info));
  c.expect(0x05050508, 0x05050505);
  CUDA(cudaGraphMemsetNodeSetParams(c.clear, &clear));
  CUDA(cudaGraphMemcpyNodeSetParams1D(c.copy, c.host, c.device, 64, cudaMemcpyDeviceToHost));
  CUDA(cudaGraphExecUpdate(c.exec, c.graph, &info));
  c.expect(0x01020105, -1);
}

// A batch of copies, boxes, memory, events that others see, and a graph, all in one capture.
void test_kinds() {
  Captured c;
  cudaGraph_t graph, child;
  cudaEvent_t event;
  CUDA(cudaEventCreate(&event));
  int *scratch, from[2][4] = {{1, 2, 3, 4}, {5, 6, 7, 8}};
  CUDA(cudaStreamBeginCapture(c.stream, cudaStreamCaptureModeThreadLocal));
  CUDA(cudaMallocAsync(&scratch, 64, c.stream));
  void* targets[] = {scratch, scratch + 4};
  const void* sources[] = {from[0], from[1]};
  const size_t sizes[] = {16, 12};
  cudaMemcpyAttributes how{};
  how.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
  size_t first = 0;
  CUDA(cudaMemcpyBatchAsync(targets, sources, sizes, 2, &how, &first, 1, c.stream));
  CUDA(cudaEventRecordWithFlags(event, c.stream, cudaEventRecordExternal));
  CUDA(cudaStreamWaitEvent(c.stream, event, cudaEventWaitExternal));
  CUDA(cudaMemset3DAsync(make_cudaPitchedPtr(c.other, 16, 16, 2), 1, make_cudaExtent(8, 1, 2), c.stream));
  CUDA(cudaGraphLaunch(c.exec, c.stream));
  CUDA(cudaMemcpyAsync(c.host, scratch, 28, cudaMemcpyDefault, c.stream));
  CUDA(cudaFreeAsync(scratch, c.stream));
  CUDA(cudaStreamEndCapture(c.stream, &graph));
  const auto nodes = nodes_of(graph);
  const cudaGraphNodeType types[] = {cudaGraphNodeTypeMemAlloc,  cudaGraphNodeTypeMemcpy,
                                     cudaGraphNodeTypeMemcpy,    cudaGraphNodeTypeEventRecord,
                                     cudaGraphNodeTypeWaitEvent, cudaGraphNodeTypeMemset,
                                     cudaGraphNodeTypeMemset,    cudaGraphNodeTypeGraph,
                                     cudaGraphNodeTypeMemcpy,    cudaGraphNodeTypeMemFree};
  EXPECT(nodes.size() == std::size(types), "%zu nodes", nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) expect_type(nodes[i], types[i]);
  cudaMemAllocNodeParams memory{};
  CUDA(cudaGraphMemAllocNodeGetParams(nodes[0], &memory));
  EXPECT(memory.dptr == scratch && memory.bytesize == 64, "memory");
  void* freed = nullptr;
  CUDA(cudaGraphMemFreeNodeGetParams(nodes.back(), &freed));
  EXPECT(freed == scratch, "freed");
  cudaEvent_t recorded;
  CUDA(cudaGraphEventRecordNodeGetEvent(nodes[3], &recorded));
  EXPECT(recorded == event, "event");
  CUDA(cudaGraphChildGraphNodeGetGraph(nodes[7], &child));
  EXPECT(nodes_of(child).size() == 4, "child");
  CUDA(cudaGraphExecDestroy(c.exec));
  CUDA(cudaGraphInstantiate(&c.exec, graph, 0));
  from[0][0] = 9;
  c.expect(9, 0x05050505);
  EXPECT(c.host[6] == 7 && c.calls == 1, "%d", c.host[6]);
  CUDA(cudaEventSynchronize(event));
  int other[12];
  CUDA(cudaMemcpy(other, c.other, 48, cudaMemcpyDeviceToHost));
  EXPECT(other[1] == 0x01010101 && other[2] == 0 && other[4] == 0 && other[9] == 0x01010101, "box");
  CUDA(cudaGraphDestroy(graph));
  CUDA(cudaEventDestroy(event));
}

// Calls that a capture cannot hold fail, and so does the capture's end.
template <class Call>
void expect_spoilt(const char* name, cudaError_t expected, const Call& call,
                   cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal,
                   unsigned flags = cudaStreamDefault) {
  cudaStream_t stream;
  cudaGraph_t graph;
  CUDA(cudaStreamCreateWithFlags(&stream, flags));
  CUDA(cudaStreamBeginCapture(stream, mode));
  const cudaError_t error = call(stream);
  EXPECT(error == expected, "%s: %s", name, cudaGetErrorName(error));
  const cudaError_t end = cudaStreamEndCapture(stream, &graph);
  EXPECT(end == (expected == cudaSuccess ? cudaSuccess : cudaErrorStreamCaptureInvalidated),
         "%s: %s at the end", name, cudaGetErrorName(end));
  if (end == cudaSuccess) CUDA(cudaGraphDestroy(graph));
  CUDA(cudaStreamDestroy(stream));
  cudaGetLastError();
}

void test_forbidden() {
  Device<int> x(16);
  CUDA(cudaMemset(x, 0, 64));
  const auto allocate = [](cudaStream_t) {
    void* p = nullptr;
    const cudaError_t error = cudaMalloc(&p, 64);
    return error == cudaSuccess ? cudaFree(p) : error;
  };
  const auto legacy = [&](cudaStream_t) {
    add<<<1, 16>>>(x, 1);
    return cudaGetLastError();
  };
  const auto elsewhere = [&](cudaStream_t stream) {
    cudaError_t error;
    std::thread([&] { error = allocate(stream); }).join();
    return error;
  };
  const auto relaxed = [&](cudaStream_t stream) {
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    CUDA(cudaThreadExchangeStreamCaptureMode(&mode));
    const cudaError_t error = allocate(stream);
    CUDA(cudaThreadExchangeStreamCaptureMode(&mode));
    return error;
  };
  expect_spoilt("cudaMalloc", cudaErrorStreamCaptureUnsupported, allocate);
  expect_spoilt("cudaMalloc, relaxed", cudaSuccess, allocate, cudaStreamCaptureModeRelaxed);
  expect_spoilt("cudaMalloc, relaxed thread", cudaSuccess, relaxed);
  expect_spoilt("cudaMalloc of another thread", cudaErrorStreamCaptureUnsupported, elsewhere);
  expect_spoilt("cudaMalloc of another thread", cudaSuccess, elsewhere, cudaStreamCaptureModeThreadLocal);
  expect_spoilt("stream", cudaErrorStreamCaptureUnsupported, cudaStreamSynchronize,
                cudaStreamCaptureModeRelaxed);
  expect_spoilt("device", cudaErrorStreamCaptureUnsupported,
                [](cudaStream_t) { return cudaDeviceSynchronize(); });
  expect_spoilt("legacy launch", cudaErrorStreamCaptureImplicit, legacy);
  expect_spoilt("legacy launch beside", cudaSuccess, legacy, cudaStreamCaptureModeGlobal,
                cudaStreamNonBlocking);
  expect_spoilt("cudaMemset", cudaErrorStreamCaptureImplicit,
                [&](cudaStream_t) { return cudaMemset(x, 0, 64); });
  EXPECT(x.host()[3] == 1, "%d", x.host()[3]);
}

// An event of a capture that has ended leads nowhere.
void test_late_wait() {
  cudaStream_t stream, other;
  cudaGraph_t graph;
  cudaEvent_t event;
  CUDA(cudaStreamCreate(&stream));
  CUDA(cudaStreamCreate(&other));
  CUDA(cudaEventCreate(&event));
  CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CUDA(cudaEventRecord(event, stream));
  CUDA(cudaStreamEndCapture(stream, &graph));
  CUDA(cudaGraphDestroy(graph));
  EXPECT(cudaStreamWaitEvent(other, event, 0) == cudaErrorCapturedEvent, "waited");
  cudaGetLastError();
  CUDA(cudaEventRecord(event, stream));
  CUDA(cudaStreamWaitEvent(other, event, 0));
  CUDA(cudaEventDestroy(event));
  CUDA(cudaStreamDestroy(stream));
  CUDA(cudaStreamDestroy(other));
}

int main() {
  test_questions();
  test_changes();
  test_kinds();
  test_forbidden();
  test_late_wait();
  return finish();
}
