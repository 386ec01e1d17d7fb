// Memory that graphs allocate. Its address is fixed when the node is made; the program, or a node of any
// graph, may free it, and a further launch of the allocating node gives it back. It lies in the heap as long
// as a graph with the node lives; what was not freed by then is the program's.
#include <algorithm>

#include "runtime/graph.h"

namespace emu {
namespace {

std::mutex memory_mutex;
std::map<u64, GraphMemory*>& all_memory() {
  static auto* all = new std::map<u64, GraphMemory*>;
  return *all;
}

}  // namespace

GraphMemory::GraphMemory(size_t bytes, int device)
    : address(Runtime::get().heap().allocate(bytes, Allocation::Kind::device, device)), size(bytes) {
  if (address == 0) return;
  const std::lock_guard lock(memory_mutex);
  all_memory()[address] = this;
}

GraphMemory::~GraphMemory() {
  {
    const std::lock_guard lock(memory_mutex);
    all_memory().erase(address);
  }
  if (!allocated_) Runtime::get().heap().release(address);
}

GraphMemory* GraphMemory::at(const void* pointer) {
  const std::lock_guard lock(memory_mutex);
  const auto found = all_memory().find(reinterpret_cast<u64>(pointer));
  return found != all_memory().end() ? found->second : nullptr;
}

u64 GraphMemory::allocated_bytes() {
  const std::lock_guard lock(memory_mutex);
  u64 sum = 0;
  for (const auto& [address, memory] : all_memory()) sum += memory->allocated_ ? memory->size : 0;
  return sum;
}

cudaError_t GraphMemory::allocate() {
  allocated_ = true;
  return cudaSuccess;
}

cudaError_t GraphMemory::release() {
  if (!allocated_) {
    report_mistake("free of a graph's memory that is not allocated");
    return cudaErrorInvalidValue;
  }
  allocated_ = false;
  return cudaSuccess;
}

GraphMemory* Graph::allocate(size_t bytes, int device) {
  auto memory = std::make_shared<GraphMemory>(bytes, device);
  if (memory->address == 0) return nullptr;
  kept.push_back(memory);
  return memory.get();
}

}  // namespace emu

using namespace emu;

namespace {

struct UserObject {
  void* pointer;
  cudaHostFn_t destroy;
  unsigned references;
};

cudaError_t drop(UserObject* object, unsigned count) {
  if (count == 0 || count > object->references) return cudaErrorInvalidValue;
  object->references -= count;
  if (object->references != 0) return cudaSuccess;
  object->destroy(object->pointer);
  delete object;
  return cudaSuccess;
}

UserObject* object_of(cudaUserObject_t object) { return reinterpret_cast<UserObject*>(object); }

}  // namespace

extern "C" {

cudaError_t cudaDeviceGetGraphMemAttribute(int, cudaGraphMemAttributeType attribute, void* value) {
  if (attribute != cudaGraphMemAttrUsedMemCurrent && attribute != cudaGraphMemAttrReservedMemCurrent) {
    report("graph memory's high-water marks are not supported");
    return note(cudaErrorNotSupported);
  }
  *static_cast<u64*>(value) = GraphMemory::allocated_bytes();
  return cudaSuccess;
}
cudaError_t cudaDeviceGraphMemTrim(int) { return cudaSuccess; }

// A graph's references die with it and all that was made of it.
cudaError_t cudaUserObjectCreate(cudaUserObject_t* object, void* pointer, cudaHostFn_t destroy,
                                 unsigned count, unsigned flags) {
  if (object == nullptr || destroy == nullptr || count == 0 || flags != cudaUserObjectNoDestructorSync)
    return note(cudaErrorInvalidValue);
  *object = reinterpret_cast<cudaUserObject_t>(new UserObject{pointer, destroy, count});
  return cudaSuccess;
}
cudaError_t cudaUserObjectRetain(cudaUserObject_t object, unsigned count) {
  if (count == 0) return note(cudaErrorInvalidValue);
  object_of(object)->references += count;
  return cudaSuccess;
}
cudaError_t cudaUserObjectRelease(cudaUserObject_t object, unsigned count) {
  return note(drop(object_of(object), count));
}
cudaError_t cudaGraphRetainUserObject(cudaGraph_t graph, cudaUserObject_t object, unsigned count,
                                      unsigned flags) {
  if (count == 0) return note(cudaErrorInvalidValue);
  if (flags != cudaGraphUserObjectMove) object_of(object)->references += count;
  for (unsigned i = 0; i < count; ++i)
    graph_of(graph)->kept.emplace_back(object_of(object), [](UserObject* each) { drop(each, 1); });
  return cudaSuccess;
}
cudaError_t cudaGraphReleaseUserObject(cudaGraph_t graph, cudaUserObject_t object, unsigned count) {
  auto& kept = graph_of(graph)->kept;
  for (unsigned i = 0; i < count; ++i) {
    const auto found = std::find_if(kept.begin(), kept.end(),
                                    [&](const auto& each) { return each.get() == object_of(object); });
    if (found == kept.end()) return note(cudaErrorInvalidValue);
    kept.erase(found);
  }
  return cudaSuccess;
}

}  // extern "C"
