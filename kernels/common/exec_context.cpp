#include "kernels/common/exec_context.h"

namespace cuclip {

void* Scratch::reserve(size_t bytes) {
  if (bytes > capacity_) {
    const size_t rounded = static_cast<size_t>(round_up(static_cast<int64_t>(bytes), kAlignment));
    memory_.reset();
    capacity_ = 0;
    memory_.reset(device_allocate(device_, rounded, stream_));
    capacity_ = rounded;
  }
  return memory_.get();
}

}  // namespace cuclip
