// run:
// run: --check full
// run: --schedule random:5
// Graphs built node by node, asked, changed, updated, cloned; memory nodes by capture.
#include "programs/check.h"

__global__ void add(int* x, int v) { x[threadIdx.x] += v; }
__global__ void multiply(int* x, int v) { x[threadIdx.x] *= v; }
void CUDART_CB count_call(void* p) { ++*static_cast<int*>(p); }

// x = 0; x += 3; x *= 5; to the host; a call of the host.
struct Chain {
  int *device = nullptr, *host = nullptr, calls = 0;
  int added = 3, factor = 5;
  void* add_arguments[2] = {&device, &added};
  void* multiply_arguments[2] = {&device, &factor};
  cudaGraph_t graph = nullptr;
  cudaGraphNode_t clear, first, second, copy, call;
  cudaMemsetParams memset{};
  cudaKernelNodeParams adding{}, multiplying{};
  cudaStream_t stream;

  Chain() {
    CUDA(cudaMalloc(&device, 128));
    CUDA(cudaMallocHost(&host, 128));
    CUDA(cudaStreamCreate(&stream));
    CUDA(cudaGraphCreate(&graph, 0));
    memset.dst = device;
    memset.elementSize = 4;
    memset.width = 32;
    memset.height = 1;
    memset.pitch = 128;
    CUDA(cudaGraphAddMemsetNode(&clear, graph, nullptr, 0, &memset));
    adding.gridDim = multiplying.gridDim = dim3(1);
    adding.blockDim = multiplying.blockDim = dim3(32);
    adding.func = reinterpret_cast<void*>(add);
    adding.kernelParams = add_arguments;
    multiplying.func = reinterpret_cast<void*>(multiply);
    multiplying.kernelParams = multiply_arguments;
    CUDA(cudaGraphAddKernelNode(&first, graph, &clear, 1, &adding));
    CUDA(cudaGraphAddKernelNode(&second, graph, &first, 1, &multiplying));
    cudaMemcpy3DParms back{};
    back.srcPtr = make_cudaPitchedPtr(device, 128, 32, 1);
    back.dstPtr = make_cudaPitchedPtr(host, 128, 32, 1);
    back.extent = make_cudaExtent(128, 1, 1);
    back.kind = cudaMemcpyDeviceToHost;
    CUDA(cudaGraphAddMemcpyNode(&copy, graph, &second, 1, &back));
    const cudaHostNodeParams calling{count_call, &calls};
    CUDA(cudaGraphAddHostNode(&call, graph, &copy, 1, &calling));
  }
  ~Chain() {
    CUDA(cudaGraphDestroy(graph));
    CUDA(cudaStreamDestroy(stream));
    CUDA(cudaFree(device));
    CUDA(cudaFreeHost(host));
  }
  int run(cudaGraphExec_t exec) {
    CUDA(cudaGraphLaunch(exec, stream));
    CUDA(cudaStreamSynchronize(stream));
    return host[7];
  }
};

void test_questions() {
  Chain c;
  size_t count = 0;
  CUDA(cudaGraphGetNodes(c.graph, nullptr, &count));
  EXPECT(count == 5, "%zu nodes", count);
  cudaGraphNode_t found[2];
  count = 2;
  CUDA(cudaGraphGetRootNodes(c.graph, found, &count));
  EXPECT(count == 1 && found[0] == c.clear, "%zu roots", count);
  CUDA(cudaGraphGetEdges(c.graph, nullptr, nullptr, nullptr, &count));
  EXPECT(count == 4, "%zu edges", count);
  count = 2;
  CUDA(cudaGraphNodeGetDependencies(c.second, found, nullptr, &count));
  EXPECT(count == 1 && found[0] == c.first, "%zu before", count);
  count = 2;
  CUDA(cudaGraphNodeGetDependentNodes(c.second, found, nullptr, &count));
  EXPECT(count == 1 && found[0] == c.copy, "%zu after", count);
  cudaKernelNodeParams kernel{};
  CUDA(cudaGraphKernelNodeGetParams(c.first, &kernel));
  EXPECT(kernel.func == reinterpret_cast<void*>(add) && kernel.blockDim.x == 32, "kernel");
  EXPECT(*static_cast<int*>(kernel.kernelParams[1]) == 3, "argument");
  cudaMemsetParams clear{};
  CUDA(cudaGraphMemsetNodeGetParams(c.clear, &clear));
  EXPECT(clear.width == 32 && clear.dst == c.device, "memset");
  EXPECT(cudaGraphMemsetNodeGetParams(c.first, &clear) == cudaErrorInvalidValue, "a kernel is not a memset");
  cudaGetLastError();
  CUDA(cudaGraphDebugDotPrint(c.graph, "/dev/null", 0));
}

void test_changes() {
  Chain c;
  cudaGraphExec_t exec, other;
  CUDA(cudaGraphInstantiate(&exec, c.graph, 0));
  EXPECT(c.run(exec) == 15 && c.calls == 1, "%d %d", c.host[7], c.calls);
  c.factor = 7;
  CUDA(cudaGraphExecKernelNodeSetParams(exec, c.second, &c.multiplying));
  EXPECT(c.run(exec) == 21, "%d", c.host[7]);
  c.memset.value = 1;
  CUDA(cudaGraphExecMemsetNodeSetParams(exec, c.clear, &c.memset));
  EXPECT(c.run(exec) == 28, "%d", c.host[7]);
  unsigned enabled = 1;
  CUDA(cudaGraphNodeSetEnabled(exec, c.first, 0));
  CUDA(cudaGraphNodeGetEnabled(exec, c.first, &enabled));
  EXPECT(c.run(exec) == 7 && enabled == 0, "%d", c.host[7]);
  CUDA(cudaGraphNodeSetEnabled(exec, c.first, 1));
  c.factor = 2;
  CUDA(cudaGraphKernelNodeSetParams(c.second, &c.multiplying));
  CUDA(cudaGraphInstantiateWithFlags(&other, c.graph, 0));
  EXPECT(c.run(other) == 6, "%d", c.host[7]);
  cudaGraphExecUpdateResultInfo info;
  CUDA(cudaGraphExecUpdate(exec, c.graph, &info));
  EXPECT(c.run(exec) == 6, "%d", c.host[7]);
  c.factor = 11;  // still named by the nodes of the first graph
  CUDA(cudaGraphExecKernelNodeSetParams(exec, c.second, &c.multiplying));
  EXPECT(c.run(exec) == 33, "%d", c.host[7]);
  CUDA(cudaGraphExecDestroy(exec));
  CUDA(cudaGraphExecDestroy(other));
}

void test_structure() {
  Chain c;
  cudaGraphNodeParams params{};
  params.type = cudaGraphNodeTypeKernel;
  params.kernel.func = reinterpret_cast<void*>(add);
  params.kernel.gridDim = dim3(1);
  params.kernel.blockDim = dim3(32);
  params.kernel.kernelParams = c.add_arguments;
  cudaGraphNode_t third;
  CUDA(cudaGraphAddNode(&third, c.graph, &c.call, nullptr, 1, &params));
  CUDA(cudaGraphRemoveDependencies(c.graph, &c.call, &third, nullptr, 1));
  CUDA(cudaGraphAddDependencies(c.graph, &c.copy, &third, nullptr, 1));
  CUDA(cudaGraphDestroyNode(c.call));
  cudaGraphExec_t exec;
  CUDA(cudaGraphInstantiate(&exec, c.graph, 0));
  EXPECT(c.run(exec) == 15 && c.calls == 0, "%d %d", c.host[7], c.calls);
  int after[32];
  CUDA(cudaMemcpy(after, c.device, 128, cudaMemcpyDeviceToHost));
  EXPECT(after[3] == 18, "%d", after[3]);
  CUDA(cudaGraphExecDestroy(exec));
  // The chain as a child, between events; then all of it cloned.
  cudaGraph_t parent, clone;
  cudaGraphNode_t child, record, wait, twin;
  cudaEvent_t event;
  CUDA(cudaEventCreate(&event));
  CUDA(cudaGraphCreate(&parent, 0));
  CUDA(cudaGraphAddChildGraphNode(&child, parent, nullptr, 0, c.graph));
  CUDA(cudaGraphAddEventRecordNode(&record, parent, &child, 1, event));
  CUDA(cudaGraphAddEventWaitNode(&wait, parent, &record, 1, event));
  CUDA(cudaGraphClone(&clone, parent));
  CUDA(cudaGraphNodeFindInClone(&twin, child, clone));
  EXPECT(twin != child, "the clone's node is the original's");
  cudaGraphInstantiateParams how{};
  CUDA(cudaGraphInstantiateWithParams(&exec, clone, &how));
  CUDA(cudaGraphUpload(exec, c.stream));
  c.host[7] = 0;
  EXPECT(c.run(exec) == 15 && how.result_out == cudaGraphInstantiateSuccess, "%d", c.host[7]);
  CUDA(cudaEventQuery(event));
  CUDA(cudaGraphExecDestroy(exec));
  CUDA(cudaGraphDestroy(parent));
  CUDA(cudaGraphDestroy(clone));
  CUDA(cudaEventDestroy(event));
}

// Memory that a captured stream allocates and frees lives as long as the graph.
void test_memory() {
  Chain c;
  cudaGraph_t graph;
  int* scratch = nullptr;
  CUDA(cudaStreamBeginCapture(c.stream, cudaStreamCaptureModeThreadLocal));
  CUDA(cudaMallocAsync(&scratch, 128, c.stream));
  CUDA(cudaMemsetAsync(scratch, 0, 128, c.stream));
  add<<<1, 32, 0, c.stream>>>(scratch, 9);
  CUDA(cudaMemcpyAsync(c.host, scratch, 128, cudaMemcpyDeviceToHost, c.stream));
  CUDA(cudaFreeAsync(scratch, c.stream));
  CUDA(cudaStreamEndCapture(c.stream, &graph));
  cudaGraphExec_t exec;
  CUDA(cudaGraphInstantiate(&exec, graph, 0));
  CUDA(cudaGraphDestroy(graph));
  for (int i = 0; i < 3; ++i) EXPECT(c.run(exec) == 9, "%d", c.host[7]);
  CUDA(cudaGraphExecDestroy(exec));
}

// Memory of a graph's own nodes: freed by a node, or by the program between launches.
void test_memory_nodes() {
  Chain c;
  cudaGraph_t graph;
  cudaGraphNode_t take, set, back, drop;
  CUDA(cudaGraphCreate(&graph, 0));
  cudaMemAllocNodeParams memory{};
  memory.poolProps.allocType = cudaMemAllocationTypePinned;
  memory.poolProps.location = {cudaMemLocationTypeDevice, 0};
  memory.bytesize = 128;
  CUDA(cudaGraphAddMemAllocNode(&take, graph, nullptr, 0, &memory));
  cudaMemsetParams params = c.memset;
  params.dst = memory.dptr;
  params.value = 6;
  CUDA(cudaGraphAddMemsetNode(&set, graph, &take, 1, &params));
  CUDA(cudaGraphAddMemcpyNode1D(&back, graph, &set, 1, c.host, memory.dptr, 128, cudaMemcpyDeviceToHost));
  cudaGraphExec_t keeps, frees;
  CUDA(cudaGraphInstantiate(&keeps, graph, 0));
  CUDA(cudaGraphAddMemFreeNode(&drop, graph, &back, 1, memory.dptr));
  CUDA(cudaGraphInstantiate(&frees, graph, 0));
  void* freed = nullptr;
  CUDA(cudaGraphMemFreeNodeGetParams(drop, &freed));
  EXPECT(freed == memory.dptr, "%p", freed);
  CUDA(cudaGraphDestroy(graph));
  for (int i = 0; i < 2; ++i) {
    c.host[7] = 0;
    EXPECT(c.run(keeps) == 6, "%d", c.host[7]);
    CUDA(cudaFreeAsync(memory.dptr, c.stream));
    EXPECT(c.run(frees) == 6, "%d", c.host[7]);
  }
  unsigned long long used = 1;
  CUDA(cudaDeviceGetGraphMemAttribute(0, cudaGraphMemAttrUsedMemCurrent, &used));
  EXPECT(used == 0, "%llu", used);
  CUDA(cudaGraphExecDestroy(frees));
  c.run(keeps);
  CUDA(cudaGraphExecDestroy(keeps));
  CUDA(cudaMemset(memory.dptr, 0, 128));  // it outlives the graph
  CUDA(cudaFree(memory.dptr));
}

__device__ int variable[4];
void CUDART_CB count_end(void* p) { ++*static_cast<int*>(p); }

void test_capture_into() {
  Chain c;
  cudaGraph_t graph, same;
  cudaGraphNode_t to, from;
  int values[4] = {1, 2, 3, 4}, ends = 0;
  CUDA(cudaGraphCreate(&graph, 0));
  CUDA(cudaGraphAddMemcpyNodeToSymbol(&to, graph, nullptr, 0, variable, values, 12, 4,
                                      cudaMemcpyHostToDevice));
  void* address = nullptr;
  CUDA(cudaGetSymbolAddress(&address, variable));
  CUDA(cudaStreamBeginCaptureToGraph(c.stream, graph, &to, nullptr, 1, cudaStreamCaptureModeGlobal));
  add<<<1, 4, 0, c.stream>>>(static_cast<int*>(address), 10);
  CUDA(cudaStreamEndCapture(c.stream, &same));
  EXPECT(same == graph, "another graph");
  cudaGraphNode_t nodes[2];
  size_t count = 2;
  CUDA(cudaGraphGetNodes(graph, nodes, &count));
  CUDA(cudaGraphAddMemcpyNodeFromSymbol(&from, graph, &nodes[1], 1, c.host + 7, variable, 4, 8,
                                        cudaMemcpyDeviceToHost));
  cudaUserObject_t object;
  CUDA(cudaUserObjectCreate(&object, &ends, count_end, 1, cudaUserObjectNoDestructorSync));
  CUDA(cudaGraphRetainUserObject(graph, object, 1, cudaGraphUserObjectMove));
  cudaGraphExec_t exec;
  CUDA(cudaGraphInstantiate(&exec, graph, 0));
  CUDA(cudaGraphDestroy(graph));
  EXPECT(c.run(exec) == 12 && ends == 0, "%d %d", c.host[7], ends);
  CUDA(cudaGraphExecDestroy(exec));
  EXPECT(ends == 1, "%d", ends);
}

// Two branches without an order: in a random schedule either may come first.
void test_branches() {
  Chain c;
  const char* schedule = std::getenv("EMULATE_SCHEDULE");
  const bool random = schedule != nullptr && std::strncmp(schedule, "random", 6) == 0;
  cudaStream_t beside;
  cudaEvent_t fork, join;
  CUDA(cudaStreamCreateWithFlags(&beside, cudaStreamNonBlocking));
  CUDA(cudaEventCreate(&fork));
  CUDA(cudaEventCreate(&join));
  int first = 0;
  for (int i = 0; i < 40; ++i) {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CUDA(cudaStreamBeginCapture(c.stream, cudaStreamCaptureModeGlobal));
    CUDA(cudaMemsetAsync(c.device, 0, 64, c.stream));
    CUDA(cudaEventRecord(fork, c.stream));
    CUDA(cudaStreamWaitEvent(beside, fork, 0));
    add<<<1, 16, 0, c.stream>>>(c.device, 1);
    multiply<<<1, 16, 0, beside>>>(c.device, 2);
    CUDA(cudaEventRecord(join, beside));
    CUDA(cudaStreamWaitEvent(c.stream, join, 0));
    CUDA(cudaMemcpyAsync(c.host, c.device, 64, cudaMemcpyDeviceToHost, c.stream));
    CUDA(cudaStreamEndCapture(c.stream, &graph));
    CUDA(cudaGraphInstantiate(&exec, graph, 0));
    CUDA(cudaGraphLaunch(exec, c.stream));
    CUDA(cudaStreamSynchronize(c.stream));
    first += c.host[7] == 1;  // multiplied before anything was added
    CUDA(cudaGraphExecDestroy(exec));
    CUDA(cudaGraphDestroy(graph));
  }
  EXPECT(random ? first > 0 && first < 40 : first == 0, "%d of 40", first);
  CUDA(cudaEventDestroy(fork));
  CUDA(cudaEventDestroy(join));
  CUDA(cudaStreamDestroy(beside));
}

int main() {
  test_branches();
  test_questions();
  test_changes();
  test_structure();
  test_memory();
  test_memory_nodes();
  test_capture_into();
  return finish();
}
