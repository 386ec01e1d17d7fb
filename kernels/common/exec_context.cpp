#include "kernels/common/exec_context.h"

namespace cuclip {

Scratch::Scratch(Device device)
    : Scratch(device, [device](size_t bytes) {
        return std::shared_ptr<void>(device_allocate(device, bytes),
                                     [device](void* memory) { device_free(device, memory); });
      }) {}

void* Scratch::reserve(size_t bytes) {
  if (bytes > capacity_) {
    const size_t rounded = round_up(bytes, kAlignment);
    release();
    memory_ = allocate_(rounded);
    capacity_ = rounded;
  }
  return memory_.get();
}

}  // namespace cuclip
