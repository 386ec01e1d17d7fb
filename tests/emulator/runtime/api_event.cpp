// Events: since work is carried out when it is enqueued, they note the time; in a capture, where a stream
// stands.
#include <chrono>
#include <set>

#include "runtime/graph.h"

namespace emu {
namespace {

Runtime& rt() { return Runtime::get(); }

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Event& event_of(cudaEvent_t event) { return *reinterpret_cast<Event*>(event); }

std::set<Event*>& live_events() {
  static auto* events = new std::set<Event*>;
  return *events;
}
std::mutex event_mutex;

}  // namespace

bool is_event(cudaEvent_t event) {
  const std::lock_guard lock(event_mutex);
  return live_events().contains(reinterpret_cast<Event*>(event));
}

}  // namespace emu

using namespace emu;

extern "C" {

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  constexpr unsigned known = cudaEventBlockingSync | cudaEventDisableTiming | cudaEventInterprocess;
  if (event == nullptr || (flags & ~known) != 0) return note(cudaErrorInvalidValue);
  auto* made = new Event;
  made->flags = flags;
  const std::lock_guard lock(event_mutex);
  live_events().insert(made);
  *event = reinterpret_cast<cudaEvent_t>(made);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (!is_event(event)) return note(cudaErrorInvalidResourceHandle);
  const std::lock_guard lock(event_mutex);
  live_events().erase(reinterpret_cast<Event*>(event));
  delete reinterpret_cast<Event*>(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  if (!is_event(event) || !is_stream(stream)) return note(cudaErrorInvalidResourceHandle);
  if (flags == cudaEventRecordExternal && capturing(stream) != nullptr) {
    const auto work = [event] { return cudaEventRecord(event, nullptr); };
    return note(rt().enqueue(stream, cudaGraphNodeTypeEventRecord, work, event));
  }
  Event& e = event_of(event);
  const Stream& s = stream_of(stream);
  e.capture = s.capture;
  e.frontier = s.frontier;
  if (s.capture != nullptr) return cudaSuccess;
  e.recorded = true;
  e.seconds = now();
  return note(rt().sticky());
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, 0);
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (!is_event(event)) return note(cudaErrorInvalidResourceHandle);
  if (event_of(event).capture != nullptr) return note(cudaErrorCapturedEvent);
  return synchronised();
}
cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (!is_event(start) || !is_event(end)) return note(cudaErrorInvalidResourceHandle);
  const Event &a = event_of(start), &b = event_of(end);
  if (!a.recorded || !b.recorded || ((a.flags | b.flags) & cudaEventDisableTiming))
    return note(cudaErrorInvalidResourceHandle);
  *milliseconds = static_cast<float>((b.seconds - a.seconds) * 1e3);
  return note(rt().sticky());
}

}  // extern "C"
