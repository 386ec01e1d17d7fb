#include "kernels/common/exec_context.h"

namespace cuclip {

Scratch::Scratch(Device device)
    : Scratch(device, [device](size_t bytes) {
        return std::shared_ptr<void>(device_allocate(device, bytes),
                                     [device](void* memory) { device_free(device, memory); });
      }) {}

void* Scratch::reserve(size_t bytes) {
  if (bytes > capacity_) {
    const size_t rounded = static_cast<size_t>(round_up(static_cast<int64_t>(bytes), kAlignment));
    release();
    memory_ = allocate_(rounded);
    capacity_ = rounded;
  }
  return memory_.get();
}

}  // namespace cuclip
