#include "core/allocator.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "kernels/common/check.h"

namespace cuclip {

size_t round_to_size_class(size_t bytes) {
  if (bytes <= 512) return 512;
  const size_t step = std::bit_floor(bytes - 1) / 8;
  return (bytes + step - 1) / step * step;
}

struct CachingAllocator::State {
  std::mutex mutex;
  std::map<size_t, std::vector<std::byte*>> free_blocks;  // by size class
  Statistics statistics;

  ~State() { release(); }

  void release() {
    for (auto& [size, blocks] : free_blocks) {
      for (std::byte* block : blocks) {
        std::free(block);
        statistics.bytes_reserved -= size;
      }
    }
    free_blocks.clear();
  }

  std::byte* take(size_t size) {
    std::lock_guard lock(mutex);
    std::byte* block = nullptr;
    if (auto it = free_blocks.find(size); it != free_blocks.end() && !it->second.empty()) {
      block = it->second.back();
      it->second.pop_back();
    } else {
      block = allocate_from_system(size);
    }
    statistics.allocations++;
    statistics.bytes_in_use += size;
    statistics.peak_in_use = std::max(statistics.peak_in_use, statistics.bytes_in_use);
    return block;
  }

  std::byte* allocate_from_system(size_t size) {
    auto* block = static_cast<std::byte*>(std::aligned_alloc(kAlignment, size));
    if (!block) {  // cached blocks of other sizes may make room
      release();
      block = static_cast<std::byte*>(std::aligned_alloc(kAlignment, size));
    }
    if (!block) {
      fail(
          "out of memory: {} bytes were asked for with {} in use; use a smaller batch, --accum-freq or "
          "--grad-checkpointing",
          size, statistics.bytes_in_use);
    }
    statistics.bytes_reserved += size;
    statistics.system_allocations++;
    return block;
  }

  void give_back(std::byte* block, size_t size) {
    std::lock_guard lock(mutex);
    free_blocks[size].push_back(block);
    statistics.bytes_in_use -= size;
  }
};

CachingAllocator::CachingAllocator() : state_(std::make_shared<State>()) {}

Block CachingAllocator::allocate(size_t bytes) {
  const size_t size = round_to_size_class(bytes);
  std::byte* block = state_->take(size);
  return Block(block, [state = state_, size](std::byte* p) { state->give_back(p, size); });
}

CachingAllocator::Statistics CachingAllocator::statistics() const {
  std::lock_guard lock(state_->mutex);
  return state_->statistics;
}

void CachingAllocator::reset_peak() {
  std::lock_guard lock(state_->mutex);
  state_->statistics.peak_in_use = state_->statistics.bytes_in_use;
}

void CachingAllocator::release_cached() {
  std::lock_guard lock(state_->mutex);
  state_->release();
}

}  // namespace cuclip
