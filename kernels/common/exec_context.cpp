#include "kernels/common/exec_context.h"

#include "kernels/common/check.h"

namespace cuclip {

void* Scratch::reserve(size_t bytes) {
  if (bytes > capacity_) {
    const size_t rounded = static_cast<size_t>(round_up(static_cast<int64_t>(bytes), kAlignment));
    memory_.reset();
    capacity_ = 0;
    memory_.reset(device_try_allocate(device_, rounded, stream_));
    if (!memory_) {
      fail(
          "out of memory on device {}: {} bytes of scratch were asked for; use a smaller batch, --accum-freq "
          "or --grad-checkpointing",
          name_of(device_), rounded);
    }
    capacity_ = rounded;
  }
  return memory_.get();
}

}  // namespace cuclip
