// Streams. Work is carried out when it is enqueued, which is one of the orders that streams allow;
// while a stream captures, it becomes a node of a graph instead.
#include <algorithm>
#include <set>

#include "runtime/graph.h"

namespace emu {
namespace {

Runtime& rt() { return Runtime::get(); }

std::set<Stream*>& live_streams() {
  static auto* streams = new std::set<Stream*>;
  return *streams;
}
std::mutex stream_mutex;

// A thread's default stream.
struct OwnStream : Stream {
  OwnStream() {
    const std::lock_guard lock(stream_mutex);
    live_streams().insert(this);
  }
  ~OwnStream() {
    const std::lock_guard lock(stream_mutex);
    live_streams().erase(this);
  }
};

bool is_default(cudaStream_t stream) {
  return stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread;
}

cudaError_t create(cudaStream_t* stream, unsigned flags, int priority) {
  if (stream == nullptr || (flags & ~unsigned{cudaStreamNonBlocking}) != 0)
    return note(cudaErrorInvalidValue);
  static std::atomic<u64> next{2};
  auto* made = new Stream;
  made->device = current_device();
  made->flags = flags;
  made->priority = std::clamp(priority, -5, 0);
  made->id = next++;
  const std::lock_guard lock(stream_mutex);
  live_streams().insert(made);
  *stream = reinterpret_cast<cudaStream_t>(made);
  return cudaSuccess;
}

std::atomic<int> captures{0};  // under way
thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

/// Spoils the captures of the streams that `which` chooses; true when there are any.
template <class Which>
bool invalidate(const Which& which) {
  bool any = false;
  const std::lock_guard lock(stream_mutex);
  for (Stream* stream : live_streams()) {
    if (stream->capture == nullptr || !which(*stream)) continue;
    stream->capture->invalidated = any = true;
  }
  return any;
}

bool is_under_way(const Graph* capture) {
  const std::lock_guard lock(stream_mutex);
  return std::any_of(live_streams().begin(), live_streams().end(),
                     [&](const Stream* s) { return s->capture == capture; });
}

// Work of the legacy stream comes after that of all blocking streams, also of those that only capture.
cudaError_t check_legacy_work() {
  const bool spoilt =
      captures != 0 && invalidate([](const Stream& s) { return (s.flags & cudaStreamNonBlocking) == 0; });
  return spoilt ? cudaErrorStreamCaptureImplicit : cudaSuccess;
}

bool is_hint(cudaStreamAttrID id) {
  return id == cudaLaunchAttributeAccessPolicyWindow || id == cudaLaunchAttributeSynchronizationPolicy ||
         id == cudaLaunchAttributePriority || id == cudaLaunchAttributeMemSyncDomain ||
         id == cudaLaunchAttributeMemSyncDomainMap;
}
cudaError_t refuse_attribute(cudaStreamAttrID id) {
  report("stream attribute " + std::to_string(id) + " is not supported");
  return note(cudaErrorNotSupported);
}

cudaError_t begin_capture(cudaStream_t stream, Graph* into, cudaStreamCaptureMode mode) {
  if (is_default(stream) && stream != cudaStreamPerThread) return note(cudaErrorStreamCaptureUnsupported);
  if (!is_stream(stream)) return note(cudaErrorInvalidResourceHandle);
  Stream& s = stream_of(stream);
  if (s.capture != nullptr) return note(cudaErrorIllegalState);
  static std::atomic<u64> next{1};
  s.capture = into != nullptr ? into : new Graph;
  s.capture->id = next++;
  s.capture_origin = true;
  s.capture_given = into != nullptr;
  s.capture->invalidated = false;
  s.mode = mode;
  s.capture_thread = std::this_thread::get_id();
  ++captures;
  s.frontier.clear();
  return cudaSuccess;
}

template <class Member, class Out>
cudaError_t tell(cudaStream_t stream, Member Stream::*member, Out* out) {
  if (!is_stream(stream)) return note(cudaErrorInvalidResourceHandle);
  *out = stream_of(stream).*member;
  return cudaSuccess;
}

cudaError_t wait(cudaStream_t stream) {
  if (!is_stream(stream)) return note(cudaErrorInvalidResourceHandle);
  Stream& s = stream_of(stream);
  if (s.capture != nullptr) {
    s.capture->invalidated = true;
    return note(cudaErrorStreamCaptureUnsupported);
  }
  return synchronised();
}

}  // namespace

bool is_stream(cudaStream_t stream) {
  if (is_default(stream)) return true;
  const std::lock_guard lock(stream_mutex);
  return live_streams().contains(reinterpret_cast<Stream*>(stream));
}

Stream& stream_of(cudaStream_t stream) {
  static Stream* default_stream = new Stream;
  if (stream == cudaStreamPerThread) {
    thread_local OwnStream own;
    return own;
  }
  return is_default(stream) ? *default_stream : *reinterpret_cast<Stream*>(stream);
}

cudaError_t check_no_capture(bool any) {
  if (captures == 0 || (!any && thread_mode == cudaStreamCaptureModeRelaxed)) return cudaSuccess;
  const bool spoilt = invalidate([&](const Stream& s) {
    if (any) return true;
    const bool own = s.capture_thread == std::this_thread::get_id();
    return s.capture_origin && (own ? s.mode != cudaStreamCaptureModeRelaxed
                                    : s.mode == cudaStreamCaptureModeGlobal && s.mode == thread_mode);
  });
  return spoilt ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

Graph* capturing(cudaStream_t stream) { return is_stream(stream) ? stream_of(stream).capture : nullptr; }

cudaError_t Runtime::enqueue(cudaStream_t stream, cudaGraphNodeType type, std::function<cudaError_t()> work,
                             NodeParameters parameters) {
  if (!is_stream(stream)) return cudaErrorInvalidResourceHandle;
  Stream& s = stream_of(stream);
  const auto* launch = std::get_if<LaunchRequest>(&parameters);
  if (launch != nullptr && !is_default(stream) && s.device != launch->device)
    return cudaErrorInvalidResourceHandle;
  if (stream == nullptr || stream == cudaStreamLegacy) {
    if (const cudaError_t error = check_legacy_work(); error != cudaSuccess) return error;
  }
  if (s.capture == nullptr) return work();
  if (s.capture->invalidated) return cudaErrorStreamCaptureInvalidated;
  GraphNode* node = s.capture->add(type, std::move(work), s.frontier);
  node->parameters = std::move(parameters);
  s.frontier = {node};
  return cudaSuccess;
}

}  // namespace emu

using namespace emu;

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return create(stream, 0, 0); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return create(stream, flags, 0);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  return create(stream, flags, priority);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (is_default(stream) || !is_stream(stream)) return note(cudaErrorInvalidResourceHandle);
  const std::lock_guard lock(stream_mutex);
  live_streams().erase(reinterpret_cast<Stream*>(stream));
  delete reinterpret_cast<Stream*>(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return wait(stream); }
cudaError_t cudaStreamQuery(cudaStream_t stream) { return wait(stream); }
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  return tell(stream, &Stream::priority, priority);
}
cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned* flags) {
  return tell(stream, &Stream::flags, flags);
}
cudaError_t cudaStreamGetId(cudaStream_t stream, unsigned long long* id) {
  return tell(stream, &Stream::id, id);
}
cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  if (!is_stream(stream)) return note(cudaErrorInvalidResourceHandle);
  *device = is_default(stream) ? current_device() : stream_of(stream).device;
  return cudaSuccess;
}
// Hints all; they are kept for those who ask.
cudaError_t cudaStreamSetAttribute(cudaStream_t stream, cudaStreamAttrID id,
                                   const cudaStreamAttrValue* value) {
  if (!is_stream(stream)) return note(cudaErrorInvalidResourceHandle);
  if (!is_hint(id)) return refuse_attribute(id);
  stream_of(stream).attributes[id] = *value;
  return cudaSuccess;
}
cudaError_t cudaStreamGetAttribute(cudaStream_t stream, cudaStreamAttrID id, cudaStreamAttrValue* value) {
  if (!is_stream(stream)) return note(cudaErrorInvalidResourceHandle);
  if (!is_hint(id)) return refuse_attribute(id);
  *value = stream_of(stream).attributes[id];
  if (id == cudaLaunchAttributePriority) value->priority = stream_of(stream).priority;
  return cudaSuccess;
}
cudaError_t cudaStreamCopyAttributes(cudaStream_t to, cudaStream_t from) {
  if (!is_stream(to) || !is_stream(from)) return note(cudaErrorInvalidResourceHandle);
  stream_of(to).attributes = stream_of(from).attributes;
  return cudaSuccess;
}
cudaError_t cudaStreamAttachMemAsync(cudaStream_t, void*, size_t, unsigned) { return cudaSuccess; }
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  if (function == nullptr) return note(cudaErrorInvalidValue);
  const auto work = [=] {
    function(data);
    return cudaSuccess;
  };
  return note(rt().enqueue(stream, cudaGraphNodeTypeHost, work, cudaHostNodeParams{function, data}));
}
cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void* data, unsigned) {
  if (!is_stream(stream)) return note(cudaErrorInvalidResourceHandle);
  if (stream_of(stream).capture != nullptr) return note(cudaErrorStreamCaptureUnsupported);
  callback(stream, rt().sticky(), data);
  return cudaSuccess;
}

// A wait inside a capture joins the waiting stream to it.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  if (!is_event(event) || !is_stream(stream)) return note(cudaErrorInvalidResourceHandle);
  if (flags == cudaEventWaitExternal && capturing(stream) != nullptr)
    return note(rt().enqueue(
        stream, cudaGraphNodeTypeWaitEvent, [] { return cudaSuccess; }, event));
  const Event& e = *reinterpret_cast<Event*>(event);
  Stream& s = stream_of(stream);
  if (e.capture == nullptr)
    return s.capture != nullptr ? note(cudaErrorStreamCaptureIsolation) : note(rt().sticky());
  if (!is_under_way(e.capture)) return note(cudaErrorCapturedEvent);
  if (s.capture != nullptr && s.capture != e.capture) return note(cudaErrorStreamCaptureMerge);
  s.capture = e.capture;
  for (GraphNode* node : e.frontier) {
    if (std::find(s.frontier.begin(), s.frontier.end(), node) == s.frontier.end()) s.frontier.push_back(node);
  }
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return begin_capture(stream, nullptr, mode);
}
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t stream, cudaGraph_t graph,
                                          const cudaGraphNode_t* after, const cudaGraphEdgeData*,
                                          size_t count, cudaStreamCaptureMode mode) {
  const cudaError_t error = begin_capture(stream, graph_of(graph), mode);
  if (error != cudaSuccess) return error;
  for (size_t i = 0; i < count; ++i) stream_of(stream).frontier.push_back(node_of(after[i]));
  return cudaSuccess;
}
// What the stream's next node comes after.
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t stream, cudaGraphNode_t* after,
                                                const cudaGraphEdgeData*, size_t count, unsigned flags) {
  if (capturing(stream) == nullptr) return note(cudaErrorIllegalState);
  std::vector<GraphNode*>& frontier = stream_of(stream).frontier;
  if (flags == cudaStreamSetCaptureDependencies) frontier.clear();
  for (size_t i = 0; i < count; ++i) frontier.push_back(node_of(after[i]));
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!is_stream(stream)) return note(cudaErrorInvalidResourceHandle);
  Stream& s = stream_of(stream);
  if (s.capture == nullptr) return note(cudaErrorIllegalState);
  if (!s.capture_origin) return note(cudaErrorStreamCaptureUnmatched);
  if (s.mode != cudaStreamCaptureModeRelaxed && s.capture_thread != std::this_thread::get_id())
    return note(cudaErrorStreamCaptureWrongThread);
  Graph* captured = s.capture;
  bool unjoined = false;
  // Work of joined streams must lie before the origin's last nodes.
  std::set<GraphNode*> reached;
  std::vector<GraphNode*> open = s.frontier;
  while (!open.empty()) {
    GraphNode* node = open.back();
    open.pop_back();
    if (!reached.insert(node).second) continue;
    open.insert(open.end(), node->after.begin(), node->after.end());
  }
  {
    const std::lock_guard lock(stream_mutex);
    for (Stream* other : live_streams()) {
      if (other->capture != captured) continue;
      for (GraphNode* node : other->frontier) unjoined |= !reached.contains(node);
      other->capture = nullptr;
      other->frontier.clear();
    }
  }
  --captures;
  s.capture_origin = false;
  if (captured->invalidated || unjoined) {
    const cudaError_t error =
        captured->invalidated ? cudaErrorStreamCaptureInvalidated : cudaErrorStreamCaptureUnjoined;
    if (!s.capture_given) delete captured;
    return note(error);
  }
  *graph = reinterpret_cast<cudaGraph_t>(captured);
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const Stream& s = stream_of(stream);
  *status = s.capture == nullptr     ? cudaStreamCaptureStatusNone
            : s.capture->invalidated ? cudaStreamCaptureStatusInvalidated
                                     : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status,
                                     unsigned long long* id, cudaGraph_t* graph,
                                     const cudaGraphNode_t** dependencies, const cudaGraphEdgeData** edges,
                                     size_t* count) {
  cudaStreamIsCapturing(stream, status);
  Stream& s = stream_of(stream);
  if (s.capture == nullptr) return cudaSuccess;
  if (id != nullptr) *id = s.capture->id;
  if (graph != nullptr) *graph = reinterpret_cast<cudaGraph_t>(s.capture);
  if (dependencies != nullptr) *dependencies = reinterpret_cast<const cudaGraphNode_t*>(s.frontier.data());
  if (edges != nullptr) *edges = nullptr;
  if (count != nullptr) *count = s.frontier.size();
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(thread_mode, *mode);
  return cudaSuccess;
}

}  // extern "C"
