#include "kernels/common/stream.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "kernels/common/check.h"
#ifdef CUCLIP_WITH_CUDA
#include "kernels/common/cuda_check.cuh"
#endif

namespace cuclip {

// Destruction fails only after the device has failed, or at the end of the process: neither is its concern.
#ifdef CUCLIP_WITH_CUDA

DeviceStream::DeviceStream(Device device) {
  if (device == Device::cpu) return;
  cudaStream_t stream = nullptr;
  CUCLIP_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  handle_.reset(stream);
}

void DeviceStream::Destroy::operator()(void* stream) const {
  (void)cudaStreamDestroy(static_cast<cudaStream_t>(stream));
}

DeviceEvent::DeviceEvent(Device device) {
  if (device == Device::cpu) return;
  cudaEvent_t event = nullptr;
  CUCLIP_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  handle_.reset(event);
}

void DeviceEvent::Destroy::operator()(void* event) const {
  (void)cudaEventDestroy(static_cast<cudaEvent_t>(event));
}

void DeviceEvent::record(void* stream) {
  if (!handle_) return;
  CUCLIP_CUDA_CHECK(
      cudaEventRecord(static_cast<cudaEvent_t>(handle_.get()), static_cast<cudaStream_t>(stream)));
}

void DeviceEvent::make_stream_wait(void* stream) const {
  if (!handle_) return;
  CUCLIP_CUDA_CHECK(
      cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), static_cast<cudaEvent_t>(handle_.get()), 0));
}

void DeviceEvent::synchronize() const {
  if (handle_) CUCLIP_CUDA_CHECK(cudaEventSynchronize(static_cast<cudaEvent_t>(handle_.get())));
}

HostStaging::HostStaging(Device device, size_t bytes) : memory_(nullptr, Free{device}), bytes_(bytes) {
  void* memory = nullptr;
  if (device == Device::cuda) {
    CUCLIP_CUDA_CHECK(cudaMallocHost(&memory, bytes));
  } else {
    memory = device_allocate(device, bytes);
  }
  memory_.reset(static_cast<std::byte*>(memory));
}

void HostStaging::Free::operator()(std::byte* memory) const {
  if (device == Device::cuda) {
    (void)cudaFreeHost(memory);
  } else {
    device_free(device, memory);
  }
}

namespace {

std::vector<cudaGraphNode_t> nodes_of(cudaGraph_t graph) {
  size_t count = 0;
  CUCLIP_CUDA_CHECK(cudaGraphGetNodes(graph, nullptr, &count));
  std::vector<cudaGraphNode_t> nodes(count);
  CUCLIP_CUDA_CHECK(cudaGraphGetNodes(graph, nodes.data(), &count));
  return nodes;
}

bool is_kernel(cudaGraphNode_t node) {
  cudaGraphNodeType type{};
  CUCLIP_CUDA_CHECK(cudaGraphNodeGetType(node, &type));
  return type == cudaGraphNodeTypeKernel;
}

// The most kernels of which each has to wait for the one before.
int64_t longest_chain_of(cudaGraph_t graph, const std::vector<cudaGraphNode_t>& nodes) {
  size_t count = 0;
  CUCLIP_CUDA_CHECK(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &count));
  std::vector<cudaGraphNode_t> from(count), to(count);
  std::vector<cudaGraphEdgeData> data(count);
  CUCLIP_CUDA_CHECK(cudaGraphGetEdges(graph, from.data(), to.data(), data.data(), &count));
  struct Place {
    std::vector<cudaGraphNode_t> next;
    int64_t waits_for = 0, chain = 0;  // nodes that have not come yet; of kernels before it
  };
  std::unordered_map<cudaGraphNode_t, Place> places;
  for (size_t i = 0; i < count; ++i) {
    places[from[i]].next.push_back(to[i]);
    ++places[to[i]].waits_for;
  }
  std::vector<cudaGraphNode_t> ready;
  for (cudaGraphNode_t node : nodes) {
    if (places[node].waits_for == 0) ready.push_back(node);
  }
  int64_t longest = 0;
  while (!ready.empty()) {
    const cudaGraphNode_t node = ready.back();
    ready.pop_back();
    const int64_t chain = places[node].chain + is_kernel(node);
    longest = std::max(longest, chain);
    for (cudaGraphNode_t next : places[node].next) {
      places[next].chain = std::max(places[next].chain, chain);
      if (--places[next].waits_for == 0) ready.push_back(next);
    }
  }
  return longest;
}

struct DestroyGraph {
  void operator()(cudaGraph_t graph) const { (void)cudaGraphDestroy(graph); }
};

}  // namespace

RecordedWork::RecordedWork(void* stream, const std::function<void()>& work) {
  const auto recorded = static_cast<cudaStream_t>(stream);
  // Relaxed: what is recorded may allocate memory, which is not work on a stream.
  CUCLIP_CUDA_CHECK(cudaStreamBeginCapture(recorded, cudaStreamCaptureModeRelaxed));
  cudaGraph_t captured = nullptr;
  try {
    work();
  } catch (...) {
    (void)cudaStreamEndCapture(recorded, &captured);
    (void)cudaGetLastError();
    if (captured) (void)cudaGraphDestroy(captured);
    throw;
  }
  CUCLIP_CUDA_CHECK(cudaStreamEndCapture(recorded, &captured));
  const std::unique_ptr<CUgraph_st, DestroyGraph> graph(captured);
  const std::vector<cudaGraphNode_t> nodes = nodes_of(captured);
  kernels_ = std::count_if(nodes.begin(), nodes.end(), is_kernel);
  longest_chain_ = longest_chain_of(captured, nodes);
  cudaGraphExec_t executable = nullptr;
  CUCLIP_CUDA_CHECK(cudaGraphInstantiate(&executable, captured, 0));
  executable_.reset(executable);
}

void RecordedWork::launch(void* stream) const {
  CUCLIP_CUDA_CHECK(
      cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable_.get()), static_cast<cudaStream_t>(stream)));
}

void RecordedWork::Destroy::operator()(void* executable) const {
  (void)cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(executable));
}

#else

namespace {

void refuse_cuda(Device device) {
  CUCLIP_CHECK(device == Device::cpu, "device cuda: this cuclip was built without CUDA");
}

}  // namespace

DeviceStream::DeviceStream(Device device) { refuse_cuda(device); }
void DeviceStream::Destroy::operator()(void*) const {}

DeviceEvent::DeviceEvent(Device device) { refuse_cuda(device); }
void DeviceEvent::Destroy::operator()(void*) const {}
void DeviceEvent::record(void*) {}
void DeviceEvent::make_stream_wait(void*) const {}
void DeviceEvent::synchronize() const {}

HostStaging::HostStaging(Device device, size_t bytes)
    : memory_(static_cast<std::byte*>(device_allocate(device, bytes)), Free{device}), bytes_(bytes) {}
void HostStaging::Free::operator()(std::byte* memory) const { device_free(device, memory); }

RecordedWork::RecordedWork(void*, const std::function<void()>&) { refuse_cuda(Device::cuda); }
void RecordedWork::launch(void*) const {}
void RecordedWork::Destroy::operator()(void*) const {}

#endif

}  // namespace cuclip
