#include "kernels/common/exec_context.h"

#include "kernels/common/check.h"

namespace cuclip {

void* Scratch::reserve(size_t bytes) {
  if (bytes > capacity_) {
    const size_t rounded = static_cast<size_t>(round_up(static_cast<int64_t>(bytes), kAlignment));
    memory_.reset();
    capacity_ = 0;
    memory_.reset(std::aligned_alloc(kAlignment, rounded));
    if (!memory_) fail("out of memory: {} bytes of scratch were asked for", rounded);
    capacity_ = rounded;
  }
  return memory_.get();
}

}  // namespace cuclip
