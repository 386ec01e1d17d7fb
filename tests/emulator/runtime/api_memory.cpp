// Allocation, copies, memsets, symbols.
#include <cstring>

#include "runtime/graph.h"

namespace emu {
namespace {

Runtime& rt() { return Runtime::get(); }

}  // namespace

bool range_fits(const void* pointer, size_t size, bool device) {
  if (size == 0) return true;
  const auto allocation = rt().heap().find(reinterpret_cast<u64>(pointer));
  if (!allocation) return !device;
  return reinterpret_cast<u64>(pointer) + size <= allocation->end();
}

void fill_rows(const cudaMemsetParams& p) {
  for (size_t row = 0; row < p.height; ++row) {
    u8* at = static_cast<u8*>(p.dst) + row * p.pitch;
    if (p.elementSize == 1) std::memset(at, static_cast<int>(p.value), p.width);
    for (size_t i = 0; p.elementSize != 1 && i < p.width; ++i)
      std::memcpy(at + i * p.elementSize, &p.value, p.elementSize);
    rt().heap().define(reinterpret_cast<u64>(at), p.width * p.elementSize);
  }
}

void move_bytes(void* to, const void* from, size_t size) {
  std::memmove(to, from, size);
  rt().heap().define(reinterpret_cast<u64>(to), size);
}

}  // namespace emu

using namespace emu;

namespace {

cudaError_t allocate(void** pointer, size_t size, Allocation::Kind kind) {
  if (pointer == nullptr) return note(cudaErrorInvalidValue);
  if (rt().sticky() != cudaSuccess) return note(rt().sticky());
  *pointer = nullptr;
  if (size == 0) return cudaSuccess;
  const u64 address = rt().heap().allocate(size, kind, current_device());
  if (address == 0) return note(cudaErrorMemoryAllocation);
  // What the host may write is not tracked byte by byte.
  if (kind == Allocation::Kind::pinned || kind == Allocation::Kind::managed)
    rt().heap().define(address, size);
  *pointer = reinterpret_cast<void*>(address);
  return cudaSuccess;
}

cudaError_t release(void* pointer) {
  if (rt().sticky() != cudaSuccess) return note(rt().sticky());
  if (pointer == nullptr) return cudaSuccess;
  if (GraphMemory* memory = GraphMemory::at(pointer)) return note(memory->release());
  if (rt().heap().release(reinterpret_cast<u64>(pointer))) return cudaSuccess;
  report_mistake(rt().heap().describe_free(reinterpret_cast<u64>(pointer)));
  return note(cudaErrorInvalidValue);
}

// Outside of streams' order, and so not while they capture.
cudaError_t allocate_now(void** pointer, size_t size, Allocation::Kind kind) {
  const cudaError_t error = check_no_capture();
  return error != cudaSuccess ? note(error) : allocate(pointer, size, kind);
}
cudaError_t release_now(void* pointer) {
  const cudaError_t error = check_no_capture();
  return error != cudaSuccess ? note(error) : release(pointer);
}

cudaError_t check_copy(const void* to, const void* from, size_t size, cudaMemcpyKind kind) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  if (size != 0 && (to == nullptr || from == nullptr)) return cudaErrorInvalidValue;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (range_fits(to, size, to_device) && range_fits(from, size, from_device)) return cudaSuccess;
  report_mistake("copy of " + std::to_string(size) + " bytes outside its allocation");
  return cudaErrorInvalidValue;
}

cudaError_t copy(void* to, const void* from, size_t size, cudaMemcpyKind kind, cudaStream_t stream,
                 bool waits) {
  if (rt().sticky() != cudaSuccess) return note(rt().sticky());
  const cudaError_t error = check_copy(to, from, size, kind);
  if (error != cudaSuccess) return note(error);
  const cudaError_t done = enqueue_copy(row_copy(to, size, from, size, size, 1, kind), stream);
  return done != cudaSuccess || !waits ? note(done) : synchronised();
}

cudaError_t copy_rows(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                      size_t height, cudaMemcpyKind kind, cudaStream_t stream, bool waits) {
  if (rt().sticky() != cudaSuccess) return note(rt().sticky());
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return note(cudaErrorInvalidMemcpyDirection);
  if (width > to_pitch || width > from_pitch) return note(cudaErrorInvalidPitchValue);
  if (width == 0 || height == 0) return cudaSuccess;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (!range_fits(to, to_pitch * (height - 1) + width, to_device)) return note(cudaErrorInvalidValue);
  if (!range_fits(from, from_pitch * (height - 1) + width, from_device)) return note(cudaErrorInvalidValue);
  const cudaError_t error =
      enqueue_copy(row_copy(to, to_pitch, from, from_pitch, width, height, kind), stream);
  return error != cudaSuccess || !waits ? note(error) : synchronised();
}

cudaError_t fill(void* to, int value, size_t pitch, size_t width, size_t height, cudaStream_t stream) {
  if (rt().sticky() != cudaSuccess) return note(rt().sticky());
  if (width == 0 || height == 0) return cudaSuccess;
  if (!range_fits(to, pitch * (height - 1) + width, true)) return note(cudaErrorInvalidValue);
  const cudaMemsetParams params{to, pitch, static_cast<u8>(value), 1, width, height};
  const auto work = [params] {
    fill_rows(params);
    return cudaSuccess;
  };
  return note(rt().enqueue(stream, cudaGraphNodeTypeMemset, work, params));
}

u8* symbol_range(const void* symbol, size_t size, size_t offset, cudaError_t& error) {
  LockedModules modules = rt().modules();
  Symbol* found = modules->find_symbol(symbol);
  error = cudaErrorInvalidSymbol;
  if (found == nullptr) return nullptr;
  const u64 address = modules->symbol_address(*found, current_device());
  if (address == 0) return nullptr;
  error = offset + size <= found->size ? cudaSuccess : cudaErrorInvalidValue;
  return reinterpret_cast<u8*>(address) + offset;
}

bool is_device(int which) { return which >= 0 && which < rt().settings.device_count; }

constexpr size_t kPitch = 512;

std::map<std::pair<cudaMemPool_t, int>, u64>& pool_attributes() {
  static auto* all = new std::map<std::pair<cudaMemPool_t, int>, u64>;
  return *all;
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** pointer, size_t size) {
  return allocate_now(pointer, size, Allocation::Kind::device);
}
cudaError_t cudaMallocHost(void** pointer, size_t size) {
  return allocate_now(pointer, size, Allocation::Kind::pinned);
}
cudaError_t cudaHostAlloc(void** pointer, size_t size, unsigned flags) {
  constexpr unsigned known = cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined;
  if ((flags & ~known) != 0) return note(cudaErrorInvalidValue);
  const cudaError_t error = allocate_now(pointer, size, Allocation::Kind::pinned);
  if (error == cudaSuccess && *pointer != nullptr)
    rt().heap().set_flags(reinterpret_cast<u64>(*pointer), flags);
  return error;
}
cudaError_t cudaMallocManaged(void** pointer, size_t size, unsigned) {
  return allocate_now(pointer, size, Allocation::Kind::managed);
}
cudaError_t cudaFree(void* pointer) { return release_now(pointer); }
cudaError_t cudaFreeHost(void* pointer) { return release_now(pointer); }
cudaError_t cudaHostRegister(void* pointer, size_t size, unsigned) {
  return note(rt().heap().add_host(reinterpret_cast<u64>(pointer), size)
                  ? cudaSuccess
                  : cudaErrorHostMemoryAlreadyRegistered);
}
cudaError_t cudaHostUnregister(void* pointer) {
  return note(rt().heap().remove_host(reinterpret_cast<u64>(pointer)) ? cudaSuccess
                                                                      : cudaErrorHostMemoryNotRegistered);
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  if (device == nullptr || !rt().heap().find(reinterpret_cast<u64>(host))) return note(cudaErrorInvalidValue);
  *device = host;
  return cudaSuccess;
}
cudaError_t cudaHostGetFlags(unsigned* flags, void* pointer) {
  const auto allocation = rt().heap().find(reinterpret_cast<u64>(pointer));
  if (!allocation || allocation->kind != Allocation::Kind::pinned) return note(cudaErrorInvalidValue);
  *flags = allocation->flags;
  return cudaSuccess;
}
cudaError_t cudaMallocPitch(void** pointer, size_t* pitch, size_t width, size_t height) {
  if (pitch == nullptr) return note(cudaErrorInvalidValue);
  *pitch = (width + kPitch - 1) / kPitch * kPitch;
  return cudaMalloc(pointer, *pitch * height);
}
cudaError_t cudaMalloc3D(cudaPitchedPtr* pointer, cudaExtent extent) {
  pointer->xsize = extent.width;
  pointer->ysize = extent.height;
  return cudaMallocPitch(&pointer->ptr, &pointer->pitch, extent.width, extent.height * extent.depth);
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  if (free == nullptr || total == nullptr) return note(cudaErrorInvalidValue);
  *total = rt().heap().limit();
  *free = rt().heap().limit() - rt().heap().used();
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind kind) {
  return copy(to, from, size, kind, nullptr, true);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return copy(to, from, size, kind, stream, false);
}
cudaError_t cudaMemcpyBatchAsync(void* const* to, const void* const* from, const size_t* sizes, size_t count,
                                 cudaMemcpyAttributes*, size_t*, size_t, cudaStream_t stream) {
  if (count == 0) return note(cudaErrorInvalidValue);
  for (size_t i = 0; i < count; ++i) {
    const cudaError_t error = cudaMemcpyAsync(to[i], from[i], sizes[i], cudaMemcpyDefault, stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}
cudaError_t cudaMemcpyPeer(void* to, int to_device, const void* from, int from_device, size_t size) {
  if (!is_device(to_device) || !is_device(from_device)) return note(cudaErrorInvalidDevice);
  return copy(to, from, size, cudaMemcpyDefault, nullptr, true);
}
cudaError_t cudaMemcpyPeerAsync(void* to, int to_device, const void* from, int from_device, size_t size,
                                cudaStream_t stream) {
  if (!is_device(to_device) || !is_device(from_device)) return note(cudaErrorInvalidDevice);
  return copy(to, from, size, cudaMemcpyDefault, stream, false);
}
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                         size_t height, cudaMemcpyKind kind) {
  return copy_rows(to, to_pitch, from, from_pitch, width, height, kind, nullptr, true);
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return copy_rows(to, to_pitch, from, from_pitch, width, height, kind, stream, false);
}
cudaError_t cudaMemset(void* to, int value, size_t size) { return fill(to, value, size, size, 1, nullptr); }
cudaError_t cudaMemsetAsync(void* to, int value, size_t size, cudaStream_t stream) {
  return fill(to, value, size, size, 1, stream);
}
cudaError_t cudaMemset2D(void* to, size_t pitch, int value, size_t width, size_t height) {
  return fill(to, value, pitch, width, height, nullptr);
}
cudaError_t cudaMemset2DAsync(void* to, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream) {
  return fill(to, value, pitch, width, height, stream);
}

cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, size_t size, size_t offset,
                               cudaMemcpyKind kind) {
  cudaError_t error;
  u8* to = symbol_range(symbol, size, offset, error);
  return error != cudaSuccess ? note(error) : cudaMemcpy(to, from, size, kind);
}
cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, size_t size, size_t offset,
                                 cudaMemcpyKind kind) {
  cudaError_t error;
  const u8* from = symbol_range(symbol, size, offset, error);
  return error != cudaSuccess ? note(error) : cudaMemcpy(to, from, size, kind);
}
cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, size_t size, size_t offset,
                                    cudaMemcpyKind kind, cudaStream_t stream) {
  cudaError_t error;
  u8* to = symbol_range(symbol, size, offset, error);
  return error != cudaSuccess ? note(error) : cudaMemcpyAsync(to, from, size, kind, stream);
}
cudaError_t cudaMemcpyFromSymbolAsync(void* to, const void* symbol, size_t size, size_t offset,
                                      cudaMemcpyKind kind, cudaStream_t stream) {
  cudaError_t error;
  const u8* from = symbol_range(symbol, size, offset, error);
  return error != cudaSuccess ? note(error) : cudaMemcpyAsync(to, from, size, kind, stream);
}
cudaError_t cudaGetSymbolAddress(void** pointer, const void* symbol) {
  cudaError_t error;
  *pointer = symbol_range(symbol, 0, 0, error);
  return note(error);
}
cudaError_t cudaGetSymbolSize(size_t* size, const void* symbol) {
  const Symbol* found = rt().modules()->find_symbol(symbol);
  if (found == nullptr) return note(cudaErrorInvalidSymbol);
  *size = found->size;
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  if (attributes == nullptr) return note(cudaErrorInvalidValue);
  *attributes = {};
  const auto allocation = rt().heap().find(reinterpret_cast<u64>(pointer));
  if (!allocation) {
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->device = -2;
    attributes->hostPointer = const_cast<void*>(pointer);
    return cudaSuccess;
  }
  const bool pinned = allocation->kind == Allocation::Kind::pinned,
             managed = allocation->kind == Allocation::Kind::managed;
  attributes->type = pinned ? cudaMemoryTypeHost : managed ? cudaMemoryTypeManaged : cudaMemoryTypeDevice;
  attributes->device = allocation->device;
  attributes->devicePointer = const_cast<void*>(pointer);
  attributes->hostPointer = pinned || managed ? const_cast<void*>(pointer) : nullptr;
  return cudaSuccess;
}
cudaChannelFormatDesc cudaCreateChannelDesc(int x, int y, int z, int w, cudaChannelFormatKind kind) {
  return {x, y, z, w, kind};
}
cudaError_t cudaMemAdvise(const void*, size_t, cudaMemoryAdvise, cudaMemLocation) { return cudaSuccess; }
cudaError_t cudaMemPrefetchAsync(const void*, size_t, cudaMemLocation, unsigned, cudaStream_t) {
  return cudaSuccess;
}

// Pools: memory comes from the heap immediately; the order of the stream holds by itself.
// A capturing stream gets its memory from the graph.
cudaError_t cudaMallocAsync(void** pointer, size_t size, cudaStream_t stream) {
  Graph* graph = capturing(stream);
  if (graph == nullptr) {
    const cudaError_t error = rt().enqueue(stream, cudaGraphNodeTypeEmpty, [] { return cudaSuccess; });
    return error != cudaSuccess ? note(error) : allocate(pointer, size, Allocation::Kind::device);
  }
  GraphMemory* memory = graph->allocate(size, current_device());
  if (memory == nullptr) return note(cudaErrorMemoryAllocation);
  *pointer = reinterpret_cast<void*>(memory->address);
  cudaMemAllocNodeParams params{};
  params.poolProps.allocType = cudaMemAllocationTypePinned;
  params.poolProps.location = {cudaMemLocationTypeDevice, current_device()};
  params.bytesize = size;
  params.dptr = *pointer;
  return note(rt().enqueue(
      stream, cudaGraphNodeTypeMemAlloc, [memory] { return memory->allocate(); }, params));
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  return note(rt().enqueue(
      stream, cudaGraphNodeTypeMemFree, [pointer] { return release(pointer); }, FreedPointer{pointer}));
}
cudaError_t cudaMallocFromPoolAsync(void** pointer, size_t size, cudaMemPool_t, cudaStream_t stream) {
  return cudaMallocAsync(pointer, size, stream);
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int which) {
  *pool = reinterpret_cast<cudaMemPool_t>(static_cast<uintptr_t>(which) + 1);
  return cudaSuccess;
}
cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* pool, int which) {
  return cudaDeviceGetDefaultMemPool(pool, which);
}
cudaError_t cudaMemGetDefaultMemPool(cudaMemPool_t* pool, cudaMemLocation* location,
                                     cudaMemAllocationType type) {
  const bool known = location->type == cudaMemLocationTypeDevice && type == cudaMemAllocationTypePinned;
  return known ? cudaDeviceGetDefaultMemPool(pool, location->id) : note(cudaErrorInvalidValue);
}
cudaError_t cudaMemGetMemPool(cudaMemPool_t* pool, cudaMemLocation* location, cudaMemAllocationType type) {
  return cudaMemGetDefaultMemPool(pool, location, type);
}
cudaError_t cudaDeviceSetMemPool(int, cudaMemPool_t) { return cudaSuccess; }
// All pools share the heap; a new one has a name of its own, for its attributes.
cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  if (properties->allocType != cudaMemAllocationTypePinned) return note(cudaErrorInvalidValue);
  static std::atomic<uintptr_t> next{1 << 16};
  *pool = reinterpret_cast<cudaMemPool_t>(next++);
  return cudaSuccess;
}
cudaError_t cudaMemPoolDestroy(cudaMemPool_t) { return cudaSuccess; }
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  pool_attributes()[{pool, attribute}] = attribute >= cudaMemPoolAttrReleaseThreshold
                                             ? *static_cast<u64*>(value)
                                             : *static_cast<unsigned*>(value);
  return cudaSuccess;
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  const bool wide = attribute >= cudaMemPoolAttrReleaseThreshold;
  const bool used =
      attribute == cudaMemPoolAttrUsedMemCurrent || attribute == cudaMemPoolAttrReservedMemCurrent;
  const auto set = pool_attributes().find({pool, attribute});
  const u64 found = set != pool_attributes().end() ? set->second : used ? rt().heap().used() : wide ? 0 : 1;
  wide ? static_cast<void>(*static_cast<u64*>(value) = found)
       : static_cast<void>(*static_cast<int*>(value) = static_cast<int>(found));
  return cudaSuccess;
}
cudaError_t cudaMemPoolGetAccess(cudaMemAccessFlags* flags, cudaMemPool_t, cudaMemLocation*) {
  *flags = cudaMemAccessFlagsProtReadWrite;
  return cudaSuccess;
}
cudaError_t cudaMemPoolSetAccess(cudaMemPool_t, const cudaMemAccessDesc*, size_t) { return cudaSuccess; }

}  // extern "C"
