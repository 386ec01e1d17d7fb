// Copies and memsets of boxes.
#include "runtime/runtime.h"

namespace emu {
namespace {

Runtime& rt() { return Runtime::get(); }

// One end of a copy: its first byte, and the distances between rows and between slices.
struct End {
  u8* first;
  size_t row, slice;
};
End end_of(const cudaPitchedPtr& pointer, const cudaPos& at) {
  const size_t row = pointer.pitch, slice = pointer.pitch * pointer.ysize;
  return {static_cast<u8*>(pointer.ptr) + at.x + at.y * row + at.z * slice, row, slice};
}

bool end_fits(const End& end, const cudaExtent& extent, bool device) {
  const size_t last = (extent.depth - 1) * end.slice + (extent.height - 1) * end.row + extent.width;
  return range_fits(end.first, last, device);
}

bool is_empty(const cudaExtent& e) { return e.width == 0 || e.height == 0 || e.depth == 0; }

cudaError_t run(const cudaMemcpy3DParms& p, cudaStream_t stream, bool waits) {
  if (rt().sticky() != cudaSuccess) return note(rt().sticky());
  const cudaError_t error = check_copy_3d(p);
  if (error != cudaSuccess) return note(error);
  const cudaError_t done = enqueue_copy(p, stream);
  return done != cudaSuccess || !waits ? note(done) : synchronised();
}

cudaMemcpy3DParms plain(const cudaMemcpy3DPeerParms& p) {
  cudaMemcpy3DParms result{};
  result.srcArray = p.srcArray;
  result.srcPos = p.srcPos;
  result.srcPtr = p.srcPtr;
  result.dstArray = p.dstArray;
  result.dstPos = p.dstPos;
  result.dstPtr = p.dstPtr;
  result.extent = p.extent;
  result.kind = cudaMemcpyDefault;
  return result;
}

cudaError_t fill(const cudaPitchedPtr& to, int value, const cudaExtent& extent, cudaStream_t stream) {
  if (rt().sticky() != cudaSuccess) return note(rt().sticky());
  if (is_empty(extent)) return cudaSuccess;
  const End end = end_of(to, {0, 0, 0});
  if (extent.width > to.pitch || extent.height > to.ysize || !end_fits(end, extent, true))
    return note(cudaErrorInvalidValue);
  for (size_t z = 0; z < extent.depth; ++z) {
    const cudaError_t error =
        cudaMemset2DAsync(end.first + z * end.slice, end.row, value, extent.width, extent.height, stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace

cudaMemcpy3DParms row_copy(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                           size_t height, cudaMemcpyKind kind) {
  cudaMemcpy3DParms p{};
  p.srcPtr = {const_cast<void*>(from), from_pitch, width, height};
  p.dstPtr = {to, to_pitch, width, height};
  p.extent = {width, height, 1};
  p.kind = kind;
  return p;
}

cudaError_t enqueue_copy(const cudaMemcpy3DParms& p, cudaStream_t stream) {
  const auto work = [p] {
    copy_3d(p);
    return cudaSuccess;
  };
  return rt().enqueue(stream, cudaGraphNodeTypeMemcpy, work, p);
}

cudaError_t check_copy_3d(const cudaMemcpy3DParms& p) {
  if (p.srcArray != nullptr || p.dstArray != nullptr) {
    report("copies to and from arrays are not supported");
    return cudaErrorNotSupported;
  }
  if (p.kind < cudaMemcpyHostToHost || p.kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  if (is_empty(p.extent)) return cudaSuccess;
  if (p.srcPtr.ptr == nullptr || p.dstPtr.ptr == nullptr) return cudaErrorInvalidValue;
  const bool to_device = p.kind == cudaMemcpyHostToDevice || p.kind == cudaMemcpyDeviceToDevice;
  const bool from_device = p.kind == cudaMemcpyDeviceToHost || p.kind == cudaMemcpyDeviceToDevice;
  const auto right = [&](const cudaPitchedPtr& pointer, const cudaPos& at, bool device) {
    const bool inside = at.x + p.extent.width <= pointer.pitch &&
                        (p.extent.depth == 1 || at.y + p.extent.height <= pointer.ysize);
    return inside && end_fits(end_of(pointer, at), p.extent, device);
  };
  const bool fits = right(p.srcPtr, p.srcPos, from_device) && right(p.dstPtr, p.dstPos, to_device);
  return fits ? cudaSuccess : cudaErrorInvalidValue;
}

void copy_3d(const cudaMemcpy3DParms& p) {
  const End from = end_of(p.srcPtr, p.srcPos), to = end_of(p.dstPtr, p.dstPos);
  for (size_t z = 0; z < p.extent.depth; ++z) {
    for (size_t y = 0; y < p.extent.height; ++y) {
      move_bytes(to.first + z * to.slice + y * to.row, from.first + z * from.slice + y * from.row,
                 p.extent.width);
    }
  }
}

}  // namespace emu

using namespace emu;

extern "C" {

cudaError_t cudaMemcpy3D(const cudaMemcpy3DParms* p) { return run(*p, nullptr, true); }
cudaError_t cudaMemcpy3DAsync(const cudaMemcpy3DParms* p, cudaStream_t stream) {
  return run(*p, stream, false);
}
cudaError_t cudaMemcpy3DPeer(const cudaMemcpy3DPeerParms* p) { return run(plain(*p), nullptr, true); }
cudaError_t cudaMemcpy3DPeerAsync(const cudaMemcpy3DPeerParms* p, cudaStream_t stream) {
  return run(plain(*p), stream, false);
}
cudaError_t cudaMemset3D(cudaPitchedPtr to, int value, cudaExtent extent) {
  return fill(to, value, extent, nullptr);
}
cudaError_t cudaMemset3DAsync(cudaPitchedPtr to, int value, cudaExtent extent, cudaStream_t stream) {
  return fill(to, value, extent, stream);
}

}  // extern "C"
